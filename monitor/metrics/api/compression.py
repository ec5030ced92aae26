"""gzip for answers: by ISA-L where it is installed, five times as fast as zlib and somewhat smaller."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

_LEVEL = 1
_GZIP = 31  # zlib's number for the largest window in a gzip wrapping


class _Stream(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


_new: Callable[[], _Stream]
try:
    from isal import isal_zlib
except ImportError:  # It exists for x86-64 and ARM only.
    _new = partial(zlib.compressobj, _LEVEL, zlib.DEFLATED, _GZIP)
else:
    _new = partial(isal_zlib.compressobj, _LEVEL, isal_zlib.DEFLATED, _GZIP)


def gzip_parts(parts: Iterable[bytes]) -> list[bytes]:
    """The parts as one gzip stream."""
    stream = _new()
    return [*map(stream.compress, parts), stream.flush()]
