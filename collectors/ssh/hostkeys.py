"""Is the host key a server offers the one that was pinned? Pure, but for reading the known_hosts file.

Fingerprints are OpenSSH's: `SHA256:` + unpadded base64 of SHA-256 over the key blob (RFC 4253 section 6.6).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

import paramiko

from monitor.errors import InputError

DEFAULT_PORT = 22
MAX_KNOWN_HOSTS_BYTES = 4 << 20


def fingerprint(blob: bytes) -> str:
    """The SHA-256 fingerprint of a public key blob as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class PinnedKeys:
    """What is known about one host: accepted and revoked fingerprints, and the key types of the accepted ones.

    `types` is empty when only fingerprints are known, because a fingerprint does not tell its type.
    """

    accepted: frozenset[str]
    revoked: frozenset[str] = frozenset()
    types: tuple[str, ...] = ()

    def allows(self, offered: str) -> bool:
        """Whether a key with this fingerprint may be trusted."""
        return offered in self.accepted and offered not in self.revoked


def pinned_keys(host: str, port: int, host_key: str, known_hosts: str) -> PinnedKeys:
    """The keys pinned for a host by fingerprint and by known_hosts file. InputError when either cannot be read."""
    accepted = set()
    types: list[str] = []
    revoked: frozenset[str] = frozenset()
    if host_key:
        accepted.add(_checked_fingerprint(host_key))
    if known_hosts:
        entries, revoked = _known(Path(known_hosts), host if port == DEFAULT_PORT else f"[{host}]:{port}")
        for key in entries:
            accepted.add(fingerprint(key.asbytes()))
            types.append(key.get_name())
    return PinnedKeys(frozenset(accepted), revoked, () if host_key else tuple(types))


def _checked_fingerprint(text: str) -> str:
    text = text.strip().rstrip("=")
    encoded = text.removeprefix("SHA256:")
    try:
        if (
            encoded == text
            or len(base64.b64decode(encoded + "=", validate=True)) != hashlib.sha256().digest_size
        ):
            raise ValueError(text)
    except (ValueError, binascii.Error):
        raise InputError(
            "a host key is pinned as SHA256:<43 characters>",
            where=text[:80],
            hint="`ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` on the host prints it",
            zh=f"{text[:80]}:主机密钥须写成 SHA256: 指纹;在主机上用 ssh-keygen -l -f 公钥文件 查看",
        ) from None
    return text


def _known(path: Path, name: str) -> tuple[list[paramiko.PKey], frozenset[str]]:
    try:
        if path.stat().st_size > MAX_KNOWN_HOSTS_BYTES:
            raise InputError("the known_hosts file is too large", where=str(path))
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise InputError(f"cannot read known_hosts: {error.strerror}", where=str(path)) from error
    keys = paramiko.HostKeys()
    entries: list[paramiko.PKey] = []
    revoked: set[str] = set()
    for line in text.splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#") or fields[0] == "@cert-authority":
            continue
        if fields[0] == "@revoked":
            revoked.update(_revoked(fields))
            continue
        entry = _entry(line)
        if entry is not None and entry.key is not None and _names(keys, entry, name):
            entries.append(entry.key)
    return entries, frozenset(revoked)


def _entry(line: str) -> paramiko.hostkeys.HostKeyEntry | None:
    try:
        return paramiko.hostkeys.HostKeyEntry.from_line(line)
    except (paramiko.SSHException, paramiko.hostkeys.InvalidHostKey):
        return None  # a damaged line pins nothing; the other lines still count


def _revoked(fields: list[str]) -> list[str]:
    try:
        return [fingerprint(base64.b64decode(fields[3]))]
    except (IndexError, binascii.Error):
        return []


def _names(keys: paramiko.HostKeys, entry: paramiko.hostkeys.HostKeyEntry, name: str) -> bool:
    for candidate in entry.hostnames or ():
        if candidate == name:
            return True
        if candidate.startswith("|1|") and keys.hash_host(name, candidate) == candidate:
            return True
    return False
