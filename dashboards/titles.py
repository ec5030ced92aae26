"""An alert's sentence, shortened by the names that stand beside it on the page.

Annotations are written to be read alone ("H 的 R 接口 GE0 上联中断", "Uplink GE0 of R at H is down"). A list that shows
the site and the device in its second line would say both twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dashboards.i18n import annotation
from dashboards.scope import backend
from monitor.model import DeviceId, SiteId
from rules.alerting.interface import AlertView

_AFTER = r"(?![\w-])"  # "srv-1" is not the beginning of "srv-10"
_POSSESSIVE = r"(?: ?\u7684 ?| +(?=[^\x00-\x7f]))"  # the Chinese "of", or only a space before a Chinese word


def title_of(alert: AlertView) -> str:
    """The alert's sentence in the reader's language."""
    return annotation(alert.annotations, "summary") or alert.name


def title_here(alert: AlertView, *, device: bool = False) -> str:
    """The sentence for where the site (and with `device` also the device) is shown beside it."""
    of_device = (device_name(alert), alert.device) if device else ()
    return short_title(title_of(alert), (_site_name(alert), alert.site), of_device)


def headline_of(alert: AlertView) -> str:
    """The sentence for where nothing is shown beside it: it names the site once."""
    return headline(title_of(alert), (_site_name(alert), alert.site))


def device_name(alert: AlertView) -> str:
    """What people call the alert's device; its id when it is not registered any more."""
    device = backend().directory.inventory().devices.get(DeviceId(alert.device))
    return device.name if device is not None else alert.device


def _site_name(alert: AlertView) -> str:
    site = backend().directory.inventory().sites.get(SiteId(alert.site))
    return site.name if site is not None else ""


def short_title(text: str, site: Sequence[str] = (), device: Sequence[str] = ()) -> str:
    """`text` without the site and, where the rest still has a subject, without the device.

    `site` and `device` are the names and ids they may stand under. A text that names neither is returned as it is.
    """
    without_site = _without(text, _ranked(site), " at ")
    shorter = _without(without_site, _ranked(device), " of ")
    return shorter if _stands_alone(shorter) else without_site


def headline(text: str, site: Sequence[str]) -> str:
    """The sentence with its site in it exactly once. The first name of `site` is the one people know it by."""
    names = [name for name in site if name]
    if not names or any(re.search(rf" at {re.escape(name)}{_AFTER}", text) for name in names):
        return text
    short = short_title(text, names)
    return text if short == text and text.startswith(names[0]) else f"{names[0]} {short}"


def _ranked(names: Sequence[str]) -> list[str]:
    # The longest first: "srv-1" must not cut "srv-10".
    return sorted({name for name in names if name}, key=len, reverse=True)


def _without(text: str, names: Sequence[str], joint: str) -> str:
    for name in names:
        leading = rf"^{re.escape(name)}{_POSSESSIVE}"
        for pattern in (leading, rf"{joint}{re.escape(name)}{_AFTER}"):
            shorter, found = re.subn(pattern, "", text, count=1)
            if found and shorter.strip():
                return shorter.strip()
    return text


def _stands_alone(text: str) -> bool:
    """Whether something is left to be the subject: "失联" is not a title, "接口 GE0 上联中断" is."""
    return " " in text
