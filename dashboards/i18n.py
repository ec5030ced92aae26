"""Words, numbers and times for people. The Chinese text is the message id; English comes from translations/en."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Flask, g, request
from flask_babel import Babel, get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup

from monitor.errors import ZhishouError
from monitor.identity.roles import Role
from monitor.model import Grade, Kind, Severity

LANGUAGES = ("zh", "en")
LANGUAGE_COOKIE = "zs_lang"
ZONE = ZoneInfo("Asia/Shanghai")

SEVERITY_WORDS = {
    Severity.CRITICAL: _l("紧急"),
    Severity.MAJOR: _l("重要"),
    Severity.MINOR: _l("次要"),
    Severity.INFO: _l("提示"),
}
STATE_WORDS = {
    "ok": _l("正常"),
    "unknown": _l("未知"),
    "stale": _l("数据过期"),
    "maint": _l("维护中"),
    "suppressed": _l("已抑制"),
    "off": _l("未启用"),
}
SERVICE_WORDS = {"critical": _l("中断"), "minor": _l("降级"), "unknown": _l("未知"), "ok": _l("正常")}
GRADE_WORDS = {
    Grade.TERTIARY: _l("三级"),
    Grade.SECONDARY: _l("二级"),
    Grade.PRIMARY: _l("基层"),
    Grade.PRIVATE: _l("民营"),
}
KIND_WORDS = {
    Kind.SERVER: _l("服务器"),
    Kind.STORAGE: _l("存储"),
    Kind.NETWORK: _l("网络"),
    Kind.SECURITY: _l("安全"),
    Kind.ENVIRONMENT: _l("环境"),
    Kind.MEDICAL: _l("医疗"),
}
ORIGIN_WORDS = {"domestic": _l("国产"), "foreign": _l("国外"), "": _l("来源未登记")}
ROLE_WORDS = {
    Role.SYSTEM_ADMIN: _l("系统管理员"),
    Role.SECURITY_ADMIN: _l("安全管理员"),
    Role.AUDIT_ADMIN: _l("审计管理员"),
    Role.DUTY_OPERATOR: _l("值班员"),
    Role.SECURITY_OFFICER: _l("安全岗"),
    Role.SITE_STAFF: _l("院方人员"),
    Role.LEADER: _l("领导"),
    Role.ASSESSOR: _l("测评师"),
}
# State -> (icon, word). Lazy words: a macro file is evaluated once, in the language of whoever came first.
MARKS = {
    "critical": ("sev-critical", _l("紧急")),
    "major": ("sev-major", _l("重要")),
    "minor": ("sev-minor", _l("次要")),
    "info": ("sev-info", _l("提示")),
    "ok": ("st-ok", _l("正常")),
    "unknown": ("st-unknown", _l("未知")),
    "stale": ("st-stale", _l("数据过期")),
    "maint": ("st-maint", _l("维护中")),
    "suppressed": ("st-suppressed", _l("已抑制")),
    "off": ("st-off", _l("未启用")),
}
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def english() -> bool:
    """Whether this request speaks English."""
    locale = get_locale()
    return locale is not None and locale.language == "en"


def choose_locale() -> str:
    """Cookie, then the account's own setting, then the installation's."""
    from dashboards.scope import backend

    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    caller = getattr(g, "caller", None)
    if chosen not in LANGUAGES and caller is not None and caller.user is not None:
        chosen = caller.user.locale
    if chosen not in LANGUAGES:
        chosen = backend().settings.locale
    return chosen if chosen in LANGUAGES else "zh"


def error_text(error: ZhishouError) -> str:
    """An error in the reader's language."""
    return str(error) if english() else error.zh


def annotation(annotations: Mapping[str, str], name: str) -> str:
    """`summary` or `description` of an alert in the reader's language, falling back to the other one."""
    first, second = (f"{name}_en", name) if english() else (name, f"{name}_en")
    return annotations.get(first) or annotations.get(second) or ""


def local(ms: int) -> datetime:
    """A stored time in the city's time zone."""
    return datetime.fromtimestamp(ms / 1000, ZONE)


def clock(ms: int | None) -> str:
    """HH:MM."""
    return local(ms).strftime("%H:%M") if ms else ""


def day_time(ms: int | None) -> str:
    """MM-DD HH:MM."""
    return local(ms).strftime("%m-%d %H:%M") if ms else ""


def stamp(ms: int | None) -> str:
    """YYYY-MM-DD HH:MM:SS."""
    return local(ms).strftime("%Y-%m-%d %H:%M:%S") if ms else ""


def span(seconds: float) -> str:
    """A length of time in two units at most."""
    whole = max(0, int(seconds))
    if whole < 60:
        return str(_("%(s)s 秒", s=whole))
    if whole < 3600:
        return str(_("%(m)s 分 %(s)02d 秒", m=whole // 60, s=whole % 60))
    if whole < 86400:
        return str(_("%(h)s 时 %(m)02d 分", h=whole // 3600, m=whole % 3600 // 60))
    return str(_("%(d)s 天 %(h)s 时", d=whole // 86400, h=whole % 86400 // 3600))


def since(ms: int | None) -> Markup:
    """How long ago, ticking in the browser, with the absolute time on hover."""
    from dashboards.scope import backend

    if not ms:
        return Markup("")
    text = span((backend().clock.now_ms() - ms) / 1000)
    when = local(ms)
    return Markup('<time datetime="{}" title="{}" data-since="{}">{}</time>').format(
        when.isoformat(timespec="seconds"), stamp(ms), ms, text
    )


def until(ms: int | None) -> Markup:
    """How long still, ticking in the browser."""
    from dashboards.scope import backend

    if not ms:
        return Markup("")
    text = span((ms - backend().clock.now_ms()) / 1000)
    return Markup('<time title="{}" data-until="{}">{}</time>').format(stamp(ms), ms, text)


def si(value: float | None, unit: str = "", digits: int = 3) -> str:
    """A number with a decimal prefix: 3.42 G. A missing value is a dash, never a zero."""
    if value is None or value != value:  # noqa: PLR0124 - NaN is not equal to itself
        return "–"
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.{digits}g} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}".rstrip()


def size(value: float | None) -> str:
    """Bytes with a binary prefix."""
    if value is None or value != value:  # noqa: PLR0124 - NaN is not equal to itself
        return "–"
    for factor, name in _BINARY:
        if value >= factor:
            return f"{value / factor:.3g} {name}"
    return f"{value:.0f} B"


def percent(ratio: float | None, digits: int = 1) -> str:
    """A ratio as a percentage."""
    return "–" if ratio is None or ratio != ratio else f"{ratio * 100:.{digits}f}%"  # noqa: PLR0124 - NaN


def install(app: Flask) -> None:
    """Babel and the template filters."""
    app.config.setdefault("BABEL_DEFAULT_LOCALE", "zh")
    app.config.setdefault("BABEL_DEFAULT_TIMEZONE", "Asia/Shanghai")
    Babel(app, locale_selector=choose_locale)
    for name, function in (
        ("clock", clock),
        ("day_time", day_time),
        ("stamp", stamp),
        ("span", span),
        ("since", since),
        ("until", until),
        ("si", si),
        ("size", size),
        ("percent", percent),
    ):
        app.jinja_env.filters[name] = function
    app.jinja_env.globals.update(
        english=english,
        annotation=annotation,
        GRADE=GRADE_WORDS,
        STANDS=SERVICE_WORDS,
        KIND=KIND_WORDS,
        ORIGIN=ORIGIN_WORDS,
        ROLE=ROLE_WORDS,
        SEVERITY=SEVERITY_WORDS,
        MARKS=MARKS,
    )
