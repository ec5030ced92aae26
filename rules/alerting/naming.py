"""Alert texts in people's words: the ids that rules put into annotations become the registered names. Pure.

Rules can only know labels, and labels carry ids; names change without a rule having to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_EDGE = r"A-Za-z0-9_.:\-"
_WORD = re.compile(rf"[{_EDGE}]+")


def with_names(annotations: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """`annotations` with every whole-word id of `names` (id -> name) replaced; longer ids win."""
    known = {key: name for key, name in names.items() if key and name}
    if not known:
        return dict(annotations)
    if all(map(_WORD.fullmatch, known)):  # the usual case, without a pattern of its own for every alert

        def one(match: re.Match[str]) -> str:
            return known.get(match[0], match[0])

        pattern = _WORD
    else:
        ids = sorted(known, key=len, reverse=True)
        pattern = re.compile(rf"(?<![{_EDGE}])(?:{'|'.join(map(re.escape, ids))})(?![{_EDGE}])")

        def one(match: re.Match[str]) -> str:
            return known[match[0]]

    return {
        key: pattern.sub(one, text) if any(name in text for name in known) else text
        for key, text in annotations.items()
    }
