"""What kind of device a find is, as a suggestion: by its profile, by what it calls itself, by its sysServices. Pure."""

from __future__ import annotations

import re
from typing import Final

from monitor.model import Kind

# The first that fits is taken; against profile name, vendor, hardware and the first line of sysDescr.
_WORDS: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (
            Kind.ENVIRONMENT,
            r"\bups\b|-ups|ups-|akcp|sensorprobe|entity-sensor|vertiv|liebert|emerson|kstar|eaton|\bpdu\b|netbotz",
        ),
        (
            Kind.STORAGE,
            r"oceanstor|dorado|compellent|netapp|ontap|isilon|onefs|synology|diskstation|qnap|fabos|brocade|storage",
        ),
        (
            Kind.SECURITY,
            (
                r"fortinet|fortigate|palo ?alto|pan-os|check ?point|gaia|hillstone|stoneos|sangfor|topsec|venustech"
                r"|nsfocus|dptech|netentsec|legendsec|secworld|\busg|eudemon|secpath|\basa\b|adaptive security|firewall"
                r"|防火墙|big-?ip|\bf5\b|\bwaf\b|\bips\b"
            ),
        ),
        (
            Kind.SERVER,
            r"idrac|ilo\b|ibmc|inspur|\bbmc\b|windows|vmware|esxi|linux|hyper-v|freebsd|supermicro",
        ),
        (
            Kind.NETWORK,
            (
                r"vrp|comware|ruijie|zxr10|\bzte|maipu|\bdcn|cisco|ios|nx-os|junos|juniper|aruba|switch|router|wlan"
                r"|access point|airengine"
            ),
        ),
    )
)
_LINK_OR_INTERNET: Final = 0x02 | 0x04  # sysServices: layer 2 or 3 (RFC 3418)
_APPLICATIONS: Final = 0x40


def suggest(
    profile: str, vendor: str, hardware: str, descr: str, services: int | None, *, generic: bool
) -> str:
    """A Kind, or empty when nothing tells. `generic`: the profile fits everything, so its name says nothing.

    A Linux box that forwards may be a firewall: words about the product outweigh those about the system beneath it.
    """
    text = " ".join(("" if generic else profile, vendor, hardware, descr.splitlines()[0] if descr else ""))
    for kind, words in _WORDS:
        if words.search(text):
            return str(kind)
    if services is not None:
        if services & _LINK_OR_INTERNET and not services & _APPLICATIONS:
            return str(Kind.NETWORK)
        if services & _APPLICATIONS:
            return str(Kind.SERVER)
    return ""
