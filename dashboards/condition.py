"""How this platform itself is, in words: notices of what needs attention, and the figures that matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from dashboards.core import store_report
from dashboards.i18n import english, si, size, span, stamp
from dashboards.scope import backend
from monitor.metrics.condition import RemoteReport, StoreReport, Trouble, troubles
from monitor.metrics.refusals import Refusal

# Kind of damage -> how it is told.
PIECES = {
    "wal": _l("写前日志 %(n)s 处"),
    "chunk": _l("数据块 %(n)s 处"),
    "index": _l("索引 %(n)s 处"),
    "file": _l("数据文件 %(n)s 个"),
    "catalog": _l("序列目录 %(n)s 处"),
}
SEVERE = {Trouble.REFUSING: "critical", Trouble.DAMAGED: "major", Trouble.SEALING: "major",
          Trouble.DISK_FULL: "major", Trouble.REMOTE_DROPPED: "major"}  # fmt: skip
_MOST_SITES = 4


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that needs attention: what, how bad (a state of i18n.MARKS), the particulars, what to do."""

    kind: str
    state: str
    title: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the self-check; `state` is ok, off, or how bad it is."""

    name: str
    value: str
    state: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """The whole self-check; without a core there are no figures."""

    notices: Sequence[Notice]
    figures: Sequence[Figure]
    report: StoreReport | None


def condition() -> Condition:
    """How the platform is at this moment, in the reader's language."""
    report = store_report()
    if report is None:
        return Condition([_core_down()], [], None)
    notices = [_notice(trouble, report) for trouble in troubles(report)]
    return Condition(notices, list(_figures(report, {n.kind: n.state for n in notices})), report)


def _core_down() -> Notice:
    return Notice(
        "core_down",
        "critical",
        _("核心进程没有应答"),
        _("告警判断和数据接收可能已停止，页面上是最后已知的状态。"),
        _("在服务器上运行 zhishou doctor，并确认服务已启动。"),
    )


def _notice(trouble: Trouble, report: StoreReport) -> Notice:
    title, text, remedy = _words(trouble, report)
    return Notice(trouble.value, SEVERE.get(trouble, "minor"), title, text, remedy)


def _words(trouble: Trouble, report: StoreReport) -> tuple[str, str, str]:
    if trouble.value.startswith("remote") and report.remote is not None:
        return _remote_words(trouble, report.remote)
    match trouble:
        case Trouble.DAMAGED:
            return _damage_words(report)
        case Trouble.REFUSING:
            return (
                _("磁盘不接收指标样本"),
                _why(report.writing) + _("。"),
                _("采集器会在本地缓存，恢复后自动补传。"),
            )
        case Trouble.SEALING:
            return (
                _("指标数据不能归档"),
                _why(report.sealing) + _("。"),
                _("每分钟自动重试，新样本照常接收。"),
            )
        case Trouble.DISK_FULL:
            return (
                _("数据磁盘只剩 %(size)s", size=size(report.free_bytes)),
                _("写满后不再接收样本。"),
                _("请清理磁盘空间，或减少样本保留天数（retention_days）。"),
            )
        case Trouble.SERIES_REFUSED:
            return (
                _(
                    "近 1 小时有 %(n)s 次新序列超过上限，未接收",
                    n=sum(site.count for site in report.series_refused),
                ),
                _("来自：%(sites)s。已有序列照常接收。", sites=_sites(report)),
                _("请检查这些机构的采集配置：标签的值不应随时间变化。"),
            )
        case _:
            return (
                _("近 1 小时有 %(n)s 个查询因并发已满未执行", n=report.queries_refused),
                _("同时最多 %(n)s 个查询。", n=report.queries_places),
                _("请检查外部看板的刷新间隔，或调大 query_concurrency。"),
            )


def _damage_words(report: StoreReport) -> tuple[str, str, str]:
    return (
        _("%(n)s 处指标数据损坏，其余数据照常提供", n=report.pieces),
        _(
            "%(kinds)s，与写入时的校验不符，已隔离，不参与查询和告警；其余数据完好，照常提供。",
            kinds=damage(report),
        ),
        _(
            "在服务器上运行 zhishou metrics verify --data %(data)s 查看位置；"
            "如需找回这部分数据，停止服务后用最近的快照或备份恢复 metrics 文件夹。",
            data=backend().settings.data,
        ),
    )


def _remote_words(trouble: Trouble, remote: RemoteReport) -> tuple[str, str, str]:
    remedy = _("请检查长期存储的服务、网络和 remote_* 设置。")
    waiting = _("本地数据不受影响，%(size)s 样本日志待转发。", size=size(remote.pending_bytes))
    if trouble is Trouble.REMOTE_DROPPED:
        text = _("长期存储拒收，或等待超过保留上限；本地数据不受影响。")
        return _("近 1 小时有 %(n)s 个样本未能转发到长期存储", n=remote.dropped), text, remedy
    if trouble is Trouble.REMOTE_DOWN:
        title = _("长期存储自 %(t)s 起不接收样本", t=stamp(remote.failing_since_ms))
        return title, f"{remote.failure}{_('。')}{waiting}", remedy
    return _("长期存储落后 %(t)s", t=span(remote.lag_seconds)), waiting, remedy


def damage(report: StoreReport) -> str:
    """The damaged pieces by kind."""
    return str(_("、")).join(str(PIECES[kind.name]) % {"n": kind.count} for kind in report.damaged)


def _why(refusal: Refusal | None) -> str:
    if refusal is None:
        return ""
    return refusal.text if english() else refusal.zh


def _sites(report: StoreReport) -> str:
    sites = backend().directory.inventory().sites
    names = {str(site.id): site.name for site in sites.values()}
    worst = sorted(report.series_refused, key=lambda site: -site.count)
    shown = [names.get(site.name, site.name) or str(_("未标明机构")) for site in worst[:_MOST_SITES]]
    return str(_("、")).join(shown) + ("…" if len(worst) > _MOST_SITES else "")


def _figures(report: StoreReport, bad: dict[str, str]) -> Iterator[Figure]:
    def state(*kinds: Trouble) -> str:
        return next((bad[kind.value] for kind in kinds if kind.value in bad), "ok")

    yield Figure(
        _("写入"),
        _("%(n)s 个样本/秒", n=si(report.samples_per_second)),
        state(Trouble.REFUSING, Trouble.SEALING),
    )
    yield Figure(
        _("数据完整性"),
        _("%(n)s 处损坏", n=report.pieces) if report.pieces else _("未发现损坏"),
        state(Trouble.DAMAGED),
        damage(report)
        or (_("以前隔离的文件 %(n)s 个", n=report.set_aside) if report.set_aside else _("读取时逐块校验")),
    )
    yield Figure(
        _("磁盘"),
        size(report.chunk_bytes + report.wal_bytes),
        state(Trouble.DISK_FULL),
        _("剩余 %(size)s", size=size(report.free_bytes)),
    )
    yield Figure(_("写前日志"), size(report.wal_bytes), "ok", _("尚未归档的样本"))
    yield Figure(
        _("序列"),
        f"{report.series:,}",
        state(Trouble.SERIES_REFUSED),
        _("内存 %(size)s", size=size(report.memory_bytes)),
    )
    yield Figure(
        _("最早数据"),
        stamp(report.held_from_ms)[:16] or "–",
        "ok",
        _("保留 %(n)s 天", n=backend().settings.retention_days),
    )
    yield Figure(
        _("查询"),
        f"{report.queries_running} / {report.queries_places}",
        state(Trouble.QUERIES_REFUSED),
        _("%(n)s 个在等待", n=report.queries_waiting),
    )
    yield _remote_figure(
        report.remote, state(Trouble.REMOTE_DROPPED, Trouble.REMOTE_DOWN, Trouble.REMOTE_BEHIND)
    )


def _remote_figure(remote: RemoteReport | None, state: str) -> Figure:
    if remote is None:
        return Figure(_("长期存储"), "–", "off")
    return Figure(
        _("长期存储"),
        _("落后 %(t)s", t=span(remote.lag_seconds)),
        state,
        _("%(size)s 待转发", size=size(remote.pending_bytes)),
    )
