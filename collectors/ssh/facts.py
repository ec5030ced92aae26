"""The FactReader of monitor.devices: files and exact commands from a host over SSH or from an unpacked root.

One session a target; files are read by SFTP, or by `cat --` where there is none; commands run under LC_ALL=C, a few
at a time on the same connection. A fact that fails is a result.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import paramiko
import structlog

from collectors.ssh.rootfs import Root
from collectors.ssh.session import Output, SshError, SshSession, connect, hang_up
from monitor.clock import Clock, SystemClock
from monitor.devices import FactReader, FactRequest, RawFact, RootfsTarget, SshTarget

NOT_FOUND = 127
OFFLINE = "not available offline"
STDERR_CHARS = 500
PARALLEL_COMMANDS = 4  # sshd allows ten sessions a connection by default
_MISSING = (errno.ENOENT, errno.ENOTDIR)
log = structlog.get_logger(__name__)


class SystemFactReader:
    """Reads facts from SshTarget and RootfsTarget."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def read(self, target: SshTarget | RootfsTarget, requests: Sequence[FactRequest]) -> list[RawFact]:
        """One RawFact a request, in order. SshError (an UnreachableError) when the session cannot be opened,
        InputError when the target is wrong.
        """
        if isinstance(target, RootfsTarget):
            with Root(target.path) as root:
                return [self._from_root(root, request) for request in requests]
        session = connect(target)
        try:
            found = self._by_sftp(session, requests, target.timeout)
            rest = [place for place in range(len(requests)) if place not in found]
            with ThreadPoolExecutor(PARALLEL_COMMANDS) as pool:
                facts = pool.map(partial(self._by_command, session), [requests[place] for place in rest])
                found.update(zip(rest, facts, strict=True))
        finally:
            session.close()
        return [found[place] for place in range(len(requests))]

    def _by_sftp(
        self, session: SshSession, requests: Sequence[FactRequest], timeout: float
    ) -> dict[int, RawFact]:
        """By place, the files that SFTP could judge; a host without SFTP, or one that hangs in it, leaves some out."""
        found: dict[int, RawFact] = {}
        client = session.files(timeout) if any(request.path for request in requests) else None
        if client is None:
            return found
        for place, request in enumerate(requests):
            if not request.path:
                continue
            try:
                fact = self._sftp_file(client, request)
            except (TimeoutError, EOFError, paramiko.SSHException, paramiko.SFTPError) as error:
                log.info("sftp given up", target=session.where, fact=request.id, reason=type(error).__name__)
                break
            found[place] = replace(fact, host_key=session.host_key)
        hang_up(client)
        return found

    def _sftp_file(self, client: paramiko.SFTPClient, request: FactRequest) -> RawFact:
        channel = client.get_channel()
        if channel is not None:
            channel.settimeout(request.timeout)
        try:
            mode = client.stat(request.path).st_mode
            if mode is not None and not stat.S_ISREG(mode):  # a pipe or a device could block or never end
                return self._fact(request, request.path, exit_code=1, error="not a regular file")
            with client.open(request.path, "rb") as file:
                data = file.read(request.max_bytes + 1)
        except TimeoutError:
            raise
        except OSError as error:
            return self._unread(request, error)
        return self._read(request, data)

    def _by_command(self, session: SshSession, request: FactRequest) -> RawFact:
        argv = ("cat", "--", request.path) if request.path else request.argv
        source = request.path or " ".join(argv)
        try:
            output = session.run(
                ("env", "LC_ALL=C", *argv), timeout=request.timeout, max_bytes=request.max_bytes
            )
        except SshError as error:
            log.info("fact not read", target=session.where, fact=request.id, code=error.code)
            return self._fact(request, source, error=error.message, host_key=session.host_key)
        complaint, missing = _judge(request, output)
        return self._fact(
            request,
            source,
            text="" if complaint else output.stdout.decode("utf-8", "replace"),
            exit_code=output.exit_code,
            error=complaint,
            missing=missing,
            host_key=session.host_key,
            stderr=output.stderr.decode("utf-8", "replace").strip()[:STDERR_CHARS],
        )

    def _from_root(self, root: Root, request: FactRequest) -> RawFact:
        if not request.path:
            return self._fact(request, " ".join(request.argv), error=OFFLINE)
        try:
            data = root.read(request.path, request.max_bytes)
        except OSError as error:
            return self._unread(request, error)
        return self._read(request, data)

    def _unread(self, request: FactRequest, error: OSError) -> RawFact:
        reason = os.strerror(error.errno) if error.errno else str(error) or "cannot be read"
        return self._fact(request, request.path, exit_code=1, error=reason, missing=error.errno in _MISSING)

    def _read(self, request: FactRequest, data: bytes) -> RawFact:
        if len(data) > request.max_bytes:
            return self._fact(request, request.path, error=_too_long(request))
        return self._fact(request, request.path, text=data.decode("utf-8", "replace"), exit_code=0)

    def _fact(
        self,
        request: FactRequest,
        source: str,
        *,
        text: str = "",
        exit_code: int = -1,
        error: str = "",
        missing: bool = False,
        host_key: str = "",
        stderr: str = "",
    ) -> RawFact:
        extra = {"stderr": stderr} if stderr else {}
        return RawFact(
            request.id,
            source,
            text,
            exit_code,
            self._clock.now_ms(),
            error,
            missing,
            host_key=host_key,
            extra=extra,
        )


def build() -> FactReader:
    """The reader the entry point `fact-reader` offers."""
    return SystemFactReader(SystemClock())


def _judge(request: FactRequest, output: Output) -> tuple[str, bool]:
    """(error, missing) of an answer; a command's own exit code is no error, only a file that did not read is."""
    if output.truncated:
        return _too_long(request), False
    complaint = output.stderr.decode("utf-8", "replace").strip().splitlines()
    if request.path and output.exit_code != 0:
        last = complaint[-1].rpartition(": ")[2] if complaint else f"cat ended with {output.exit_code}"
        return last, last in {"No such file or directory", "Not a directory"}
    if not request.path and output.exit_code == NOT_FOUND:
        return (complaint[-1] if complaint else "command not found"), True
    return "", False


def _too_long(request: FactRequest) -> str:
    return f"longer than {request.max_bytes} bytes"
