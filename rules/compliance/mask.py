"""Secrets out of facts before anything is stored. Pure; line numbers never change.

What a judge needs stays visible: whether a password is empty or locked, the scheme of a hash, and the two
community words that every manual prints (`public`, `private`), which are findings and no secrets.
"""

from __future__ import annotations

import re

MASK = "<masked>"  # starts with neither `!` nor `*`, which would say that an account is locked
_CRYPT = re.compile(r"\$(1|2[abxy]?|5|6|7|y|gy|sm3|sha1|md5)\$[^\s:\"',;]+")
_ASSIGNED = re.compile(
    r"(?i)((?:^|[\s;,{\"'._-])(?:\w*(?:password|passwd|passphrase|secret|token|community|psk)"
    r"|api[_-]?key|private[_-]?key|access[_-]?key)[\"']?\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s;,}]+)"
)
_URL = re.compile(r"(?<=://)([^\s/:@]*):([^\s/@]+)@")
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----")
_COMMUNITY = re.compile(r"(?i)^(\s*#?\s*(?:ro|rw)community6?\s+)(\"[^\"]*\"|\S+)")
_SINK = re.compile(r"(?i)^(\s*#?\s*(?:trap|trap2|inform)sink\s+\S+\s+)(\S+)")
_COM2SEC = re.compile(r"(?i)^(\s*#?\s*com2sec6?\s+(?:-Cn\s+\S+\s+)?\S+\s+\S+\s+)(\S+)")
_CREATE_USER = re.compile(r"(?i)^(\s*#?\s*createUser\s+(?:-e\s+\S+\s+)?\S+)(\s+.+)$")
_USER_WORDS = frozenset(
    {"md5", "sha", "sha-224", "sha-256", "sha-384", "sha-512", "des", "aes", "aes-192", "aes-256"}
)
_PUBLISHED = frozenset({"public", "private"})


def mask(fact_id: str, text: str) -> str:
    """`text` of the fact without passwords, hashes, communities and keys; the same number of lines."""
    if not text:
        return text
    lines = text.split("\n")
    if fact_id in {"shadow", "passwd"}:
        lines = [_account(line) for line in lines]
    if fact_id == "snmpd":
        lines = [_snmpd(line) for line in lines]
    return "\n".join(_generic(line) for line in _keys(lines))


def _account(line: str) -> str:
    fields = line.split(":")
    if len(fields) > 1:
        fields[1] = _password(fields[1])
    return ":".join(fields)


def _password(field: str) -> str:
    bare = field.lstrip("!*")
    if bare in {"", "x"}:
        return field
    scheme = _CRYPT.match(bare)
    shown = f"${scheme[1]}${MASK}" if scheme else MASK
    return field[: len(field) - len(bare)] + shown


def _snmpd(line: str) -> str:
    line = _CREATE_USER.sub(lambda m: m[1] + _user(m[2]), line)
    for pattern in (_COMMUNITY, _SINK, _COM2SEC):
        line = pattern.sub(lambda m: m[1] + (m[2] if m[2].strip('"') in _PUBLISHED else MASK), line)
    return line


def _user(rest: str) -> str:
    words = re.findall(r"\"[^\"]*\"|\S+", rest)
    return "".join(" " + (word if word.lower() in _USER_WORDS else MASK) for word in words)


def _keys(lines: list[str]) -> list[str]:
    shown, inside = [], False
    for line in lines:
        if _PEM_BEGIN.search(line):
            inside = True
            shown.append(line if _PEM_BEGIN.fullmatch(line.strip()) else MASK)
        elif inside:
            inside = not _PEM_END.search(line)
            shown.append(MASK)
        else:
            shown.append(line)
    return shown


def _generic(line: str) -> str:
    line = _CRYPT.sub(lambda m: f"${m[1]}${MASK}" if MASK not in m[0] else m[0], line)
    line = _ASSIGNED.sub(lambda m: m[1] + MASK, line)
    return _URL.sub(lambda m: f"{m[1]}:{MASK}@", line)
