"""Alert texts in people's words: the ids that rules put into annotations become the registered names. Pure.

Rules can only know labels, and labels carry ids; names change without a rule having to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_EDGE = r"A-Za-z0-9_.:\-"


def with_names(annotations: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """`annotations` with every whole-word id of `names` (id -> name) replaced; longer ids win."""
    known = sorted((key for key, name in names.items() if key and name), key=len, reverse=True)
    if not known:
        return dict(annotations)
    pattern = re.compile(rf"(?<![{_EDGE}])(?:{'|'.join(map(re.escape, known))})(?![{_EDGE}])")
    return {key: pattern.sub(lambda match: names[match[0]], text) for key, text in annotations.items()}
