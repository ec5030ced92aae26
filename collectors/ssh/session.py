"""One SSH connection: host key checked before anything is sent, exact commands, deadlines and output caps.

SshError(UnreachableError)   code is one of host-key, auth, timeout, refused, unreachable, malformed, closed

No agent, no forwarding, no terminal, no configuration of the user's is read. paramiko runs one daemon thread a
connection.
"""

from __future__ import annotations

import io
import logging
import select
import shlex
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
import structlog

from collectors.ssh.hostkeys import PinnedKeys, fingerprint, pinned_keys
from monitor.devices import SshTarget
from monitor.errors import InputError, UnreachableError

CHUNK = 65_536
STDERR_BYTES = 4_096
KEY_FAMILIES = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
log = structlog.get_logger(__name__)
# paramiko logs whole tracebacks of failed handshakes; every one of them reaches the caller as an SshError instead.
LOG_CHANNEL = "collectors.ssh.paramiko"
logging.getLogger(LOG_CHANNEL).setLevel(logging.CRITICAL)


class SshError(UnreachableError):
    """The session could not be opened or broke; `code` is stable (see the module docstring)."""

    def __init__(self, code: str, message: str, *, zh: str, where: str = "", hint: str = "") -> None:
        self.code = code
        super().__init__(message, zh=zh, where=where, hint=hint)


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed. `exit_code` is -1 when it was cut off (`truncated`) or ended by a signal."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    truncated: bool = False


class SshSession:
    """An open, authenticated connection whose host key was the pinned one."""

    def __init__(self, transport: paramiko.Transport, where: str, host_key: str) -> None:
        self._transport = transport
        self.where = where
        self.host_key = host_key

    @property
    def alive(self) -> bool:
        """Whether the connection still stands as far as this side knows."""
        return self._transport.is_active()

    def run(self, argv: Sequence[str], *, timeout: float, max_bytes: int) -> Output:
        """Run one exact command (every word quoted). SshError `timeout` or `closed`; more output than `max_bytes`
        is cut and marked.
        """
        deadline = time.monotonic() + timeout
        try:
            channel = self._transport.open_session(timeout=timeout)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._closed(error) from error
        try:
            channel.settimeout(timeout)
            channel.exec_command(shlex.join(argv))
            channel.shutdown_write()
            return self._collect(channel, deadline, max_bytes)
        except TimeoutError as error:
            raise self._late(timeout) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._closed(error) from error
        finally:
            hang_up(channel)

    def files(self, timeout: float) -> paramiko.SFTPClient | None:
        """The SFTP service, or None when the host does not offer it."""
        try:
            channel = self._transport.open_session(timeout=timeout)
            channel.settimeout(timeout)
            channel.invoke_subsystem("sftp")
            return paramiko.SFTPClient(channel)
        except (paramiko.SSHException, OSError, EOFError):
            return None

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def _collect(self, channel: paramiko.Channel, deadline: float, max_bytes: int) -> Output:
        poller = select.poll()
        poller.register(channel.fileno(), select.POLLIN)
        out, err = bytearray(), bytearray()
        while True:
            moved = False
            if channel.recv_ready():
                out += channel.recv(CHUNK)
                moved = True
            if channel.recv_stderr_ready():
                err += channel.recv_stderr(CHUNK)[: max(0, STDERR_BYTES - len(err))]
                moved = True
            if len(out) > max_bytes:
                return Output(bytes(out[:max_bytes]), bytes(err), -1, truncated=True)
            if moved:
                continue
            if channel.eof_received or channel.closed:
                break
            self._wait(poller, deadline)
        return Output(bytes(out), bytes(err), self._exit_code(channel, deadline))

    def _wait(self, poller: select.poll, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        if not self._transport.is_active():
            raise EOFError
        poller.poll(min(remaining, 0.5) * 1000)

    def _exit_code(self, channel: paramiko.Channel, deadline: float) -> int:
        if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        if not self._transport.is_active() and channel.exit_status < 0:
            raise EOFError
        return channel.exit_status

    def _late(self, timeout: float) -> SshError:
        return SshError(
            "timeout",
            f"the command did not end within {timeout:g} s",
            where=self.where,
            zh=f"{self.where}:命令在 {timeout:g} 秒内没有结束",
        )

    def _closed(self, error: Exception) -> SshError:
        return SshError(
            "closed",
            f"the connection broke: {error or type(error).__name__}",
            where=self.where,
            zh=f"{self.where}:SSH 连接中断",
        )


def hang_up(closable: paramiko.Channel | paramiko.SFTPClient) -> None:
    """Close a channel; a connection that has broken meanwhile cannot be told, and need not."""
    try:
        closable.close()
    except (paramiko.SSHException, OSError, EOFError) as error:
        log.debug("a channel could not be closed", reason=type(error).__name__)


def connect(target: SshTarget) -> SshSession:
    """Open a session. Raises SshError; InputError when the target itself is wrong (key file, fingerprint)."""
    where = f"{target.user}@{target.host}:{target.port}"
    pinned = pinned_keys(target.host, target.port, target.host_key, target.known_hosts)
    key = _private_key(target, where)
    transport = _handshake(target, pinned, where)
    try:
        offered = fingerprint(transport.get_remote_server_key().asbytes())
        _login(transport, target, key, where)
        transport.set_keepalive(0)
    except BaseException:
        transport.close()
        raise
    return SshSession(transport, where, offered)


def _handshake(target: SshTarget, pinned: PinnedKeys, where: str) -> paramiko.Transport:
    """A transport whose server proved possession of a pinned key; nothing but the key exchange was sent.

    A fingerprint does not tell its key type, and a server offers one type a connection: on a mismatch the other
    families are asked for before the host is refused.
    """
    wanted = tuple(dict.fromkeys(name for kind in pinned.types for name in _algorithms(kind)))
    attempts: list[tuple[str, ...]] = [wanted] if wanted else [()]
    offers: list[str] = []
    while attempts:
        transport = _exchange(target, attempts.pop(0), where, optional=bool(offers))
        if transport is None:
            continue
        key = transport.get_remote_server_key()
        offered = fingerprint(key.asbytes())
        if pinned.allows(offered):
            return transport
        transport.close()
        if not offers and pinned.accepted and not wanted:
            attempts = [family for family in KEY_FAMILIES if key.get_name() not in _kinds(family)]
        offers.append(f"{offered} ({key.get_name()})")
    raise _refused_key(pinned, offers, where)


def _algorithms(kind: str) -> tuple[str, ...]:
    return KEY_FAMILIES[2] if kind == "ssh-rsa" else (kind,)


def _kinds(family: tuple[str, ...]) -> tuple[str, ...]:
    return ("ssh-rsa",) if family == KEY_FAMILIES[2] else family


def _refused_key(pinned: PinnedKeys, offers: list[str], where: str) -> SshError:
    offered = ", ".join(offers)
    if not pinned.accepted:
        return SshError(
            "host-key",
            f"no host key is pinned; the server offers {offered}",
            where=where,
            hint="compare it with `ssh-keygen -l -f` on the host's own console, then set host_key in the inventory",
            zh=f"{where}:未登记主机密钥,对方提供 {offered};请在主机控制台核对指纹后写入清单的 host_key",
        )
    expected = ", ".join(sorted(pinned.accepted))
    return SshError(
        "host-key",
        f"wrong host key: expected {expected}, offered {offered}",
        where=where,
        hint="nothing was sent; if the host was rebuilt, verify its key on the console and change host_key, "
        "otherwise treat it as an attack",
        zh=f"{where}:主机密钥不符,应为 {expected},实为 {offered};未发送任何内容。"
        "主机若重装过,核对后更新 host_key,否则按攻击处置",
    )


def _exchange(
    target: SshTarget, families: tuple[str, ...], where: str, *, optional: bool
) -> paramiko.Transport | None:
    """Connect and exchange keys; None when `optional` and the server has no key of these types."""
    sock = _dial(target, where)
    transport = paramiko.Transport(sock)
    transport.set_log_channel(LOG_CHANNEL)
    # The time of the whole handshake is start_client's; paramiko's own for its parts must not come before it, because
    # it tells a late banner and a wrong one with the same words.
    transport.banner_timeout = transport.handshake_timeout = target.timeout + 5
    transport.auth_timeout = target.timeout
    transport.channel_timeout = target.timeout
    try:
        if families:
            transport.get_security_options().key_types = families
        transport.start_client(timeout=target.timeout)
        # start_client returns without an error, and without a session, when its time is over.
        if not transport.initial_kex_done:
            raise TimeoutError
    except paramiko.ssh_exception.IncompatiblePeer as error:
        transport.close()
        if optional:
            return None
        raise _incompatible(families, error, where) from error
    except (paramiko.SSHException, OSError, EOFError, ValueError) as error:
        transport.close()
        raise _no_ssh(error, where) from error
    return transport


def _incompatible(families: tuple[str, ...], error: Exception, where: str) -> SshError:
    if families and "host key" in str(error).lower():
        return SshError(
            "host-key",
            f"the server has no host key of the pinned type ({', '.join(families)})",
            where=where,
            hint="nothing was sent; verify the host's keys on its console and pin one it has",
            zh=f"{where}:对方没有所登记类型的主机密钥;未发送任何内容,请在控制台核对",
        )
    return SshError(
        "malformed",
        f"no algorithm in common: {error}",
        where=where,
        hint="the server offers only outdated algorithms; update its SSH service",
        zh=f"{where}:没有共同的 SSH 算法;请升级对方的 SSH 服务",
    )


def _no_ssh(error: Exception, where: str) -> SshError:
    if isinstance(error, TimeoutError) or "timeout" in str(error).lower():
        return SshError("timeout", "no SSH handshake in time", where=where, zh=f"{where}:SSH 握手超时")
    return SshError(
        "malformed",
        f"no SSH handshake: {error or type(error).__name__}",
        where=where,
        hint="check that the port is an SSH server's",
        zh=f"{where}:不是可用的 SSH 服务,请检查端口",
    )


def _dial(target: SshTarget, where: str) -> socket.socket:
    try:
        sock = socket.create_connection((target.host, target.port), timeout=target.timeout)
        # Requests are smaller than a segment: without this each one waits for the peer's delayed ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except TimeoutError as error:
        raise SshError(
            "timeout", "no answer to the connection", where=where, zh=f"{where}:连接超时"
        ) from error
    except ConnectionRefusedError as error:
        raise SshError(
            "refused", "the port is closed", where=where, zh=f"{where}:端口未开放,请检查 SSH 服务和防火墙"
        ) from error
    except OSError as error:
        raise SshError(
            "unreachable", f"cannot connect: {error.strerror or error}", where=where, zh=f"{where}:无法连接"
        ) from error
    return sock


def _private_key(target: SshTarget, where: str) -> paramiko.PKey | None:
    text = target.private_key
    if target.identity_file:
        try:
            text = Path(target.identity_file).read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the private key: {error}", where=target.identity_file) from error
    if not text:
        return None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException as error:
            raise _bad_key("the private key is protected by a passphrase", where) from error
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise _bad_key("the private key is not a readable Ed25519, ECDSA or RSA key", where)


def _bad_key(message: str, where: str) -> SshError:
    return SshError(
        "auth",
        message,
        where=where,
        hint="store an unencrypted OpenSSH or PEM key; the vault encrypts it at rest",
        zh=f"{where}:私钥无法使用(已加密或格式不对),请登记未加密的私钥,系统会加密保存",
    )


def _login(transport: paramiko.Transport, target: SshTarget, key: paramiko.PKey | None, where: str) -> None:
    try:
        if key is not None:
            transport.auth_publickey(target.user, key)
        elif target.password:
            transport.auth_password(target.user, target.password)
        else:
            raise SshError(
                "auth", "neither key nor password is given", where=where, zh=f"{where}:未登记密码或密钥"
            )
    except paramiko.AuthenticationException as error:
        raise SshError(
            "auth",
            "the server refuses this login",
            where=where,
            hint="check user, key or password, and that the account is not locked",
            zh=f"{where}:登录被拒绝;请检查账号、密钥或口令,以及账号是否锁定",
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise _no_ssh(error, where) from error
    if not transport.is_authenticated():
        raise SshError(
            "auth", "the server asks for a further factor", where=where, zh=f"{where}:服务器要求更多认证因素"
        )
