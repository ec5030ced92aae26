"""Files of an unpacked Linux root, read as the system itself would see them and never from outside it.

Every component is opened relative to its parent's descriptor without following links; links are resolved here, an
absolute one from the root, and `..` stops at the root. So neither a link nor a race leads out.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Self

from monitor.errors import InputError

MAX_LINKS = 40
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Root:
    """An unpacked root folder, open while it is read; a context manager."""

    def __init__(self, path: str) -> None:
        try:
            self._root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(
                f"cannot open the root folder: {error.strerror}",
                where=path,
                hint="rootfs:DIR names an unpacked root",
            ) from error

    def read(self, path: str, max_bytes: int) -> bytes:
        """The content of a regular file, at most `max_bytes + 1` bytes. Raises OSError as open(2) would."""
        handle = self._resolve(path)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            reader = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(handle)
        with os.fdopen(reader, "rb") as file:
            return file.read(max_bytes + 1)

    def close(self) -> None:
        """Release the folder."""
        os.close(self._root)

    def _resolve(self, path: str) -> int:
        """An O_PATH descriptor of what `path` names below the root."""
        todo = list(reversed(Path(path).parts))
        trail = [os.dup(self._root)]
        links = 0
        try:
            while todo:
                part = todo.pop()
                if part == "/":
                    _cut(trail, 1)
                elif part == "..":
                    _cut(trail, max(1, len(trail) - 1))
                else:
                    trail.append(os.open(part, _STEP, dir_fd=trail[-1]))
                    if stat.S_ISLNK(os.fstat(trail[-1]).st_mode):
                        links += 1
                        if links > MAX_LINKS:
                            raise OSError(errno.ELOOP, "too many symbolic links")
                        todo.extend(reversed(Path(os.readlink("", dir_fd=trail[-1])).parts))
                        _cut(trail, len(trail) - 1)
            return trail.pop()
        finally:
            _cut(trail, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cut(trail: list[int], length: int) -> None:
    while len(trail) > length:
        os.close(trail.pop())
