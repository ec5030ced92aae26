"""Verifies an evidence bundle. Stands alone: needs Python 3.11 and the `cryptography` package, nothing else.

    python verifier.py bundle.zip [--public-key HEX]

Says what was changed, removed, added or reordered; exit code 0 when nothing was, 1 otherwise, 2 on wrong use.
Without --public-key it proves that the bundle is whole, but not who signed it: compare the printed fingerprint.
A bundle is a ZIP in one canonical form: manifest.json, signature.json, then the entries the manifest lists with
SHA-256, SM3 and a hash chain, all stored. The signature covers the manifest; every byte follows from the entries.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MANIFEST, SIGNATURE, FORMAT = "manifest.json", "signature.json", "zhishou-evidence-1"
GENESIS = "0" * 64
MAX_GROWTH = 64 << 20  # bytes a bundle zipped again by another program may have saved
DOS_DATE = 33  # 1980-01-01, the earliest a ZIP can say
LOCAL, CENTRAL, END = "<4s5H3L2H", "<4s6H3L5H2L", "<4s4H2LH"
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    struct.error,
)
Entries = Sequence[tuple[str, bytes]]


def canonical_zip(entries: Entries) -> bytes:
    """The one ZIP these entries make: stored, dated 1980-01-01, no comments, no extra fields. Names are ASCII."""
    body, directory = bytearray(), bytearray()
    for name, data in entries:
        raw, offset = name.encode("ascii"), len(body)
        facts = (zlib.crc32(data), len(data), len(data), len(raw), 0)
        body += struct.pack(LOCAL, b"PK\x03\x04", 20, 0, 0, 0, DOS_DATE, *facts) + raw + data
        head = (b"PK\x01\x02", 20, 20, 0, 0, 0, DOS_DATE)
        directory += struct.pack(CENTRAL, *head, *facts, 0, 0, 0, 0, offset) + raw
    count = len(entries)
    end = struct.pack(END, b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)


def chained(previous: str, name: str, digest: str) -> str:
    """The next link of the hash chain over entries."""
    return hashlib.sha256(f"{previous}\n{name}\n{digest}".encode()).hexdigest()


def signature_file(public: str, signature: str) -> bytes:
    """The exact bytes of signature.json."""
    body = {"algorithm": "Ed25519", "public_key": public, "signature": signature}
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()


def fingerprint(public: str) -> str:
    """`SHA256:` and the hex digest of the raw public key."""
    return "SHA256:" + hashlib.sha256(bytes.fromhex(public)).hexdigest()


def verify(data: bytes, public_key: str = "") -> tuple[list[str], str]:
    """(what is wrong, fingerprint of the key that signed). Nothing wrong: an empty list."""
    try:
        entries = _read(data)
    except UNREADABLE as error:
        return [f"changed: the ZIP itself cannot be read ({error})"], ""
    found = dict(entries)
    if MANIFEST not in found or SIGNATURE not in found:
        return [f"removed: {name}" for name in (MANIFEST, SIGNATURE) if name not in found], ""
    wrong, mark = _signature(found[MANIFEST], found[SIGNATURE], public_key)
    problems = wrong + _structure(data, entries)
    try:
        manifest = json.loads(found[MANIFEST])
        listed = [(str(e["name"]), e) for e in manifest["entries"]]
        if manifest["format"] != FORMAT:
            problems.append(f"unknown format {manifest['format']!r}")
    except (ValueError, LookupError, TypeError) as error:
        return [*problems, f"changed: {MANIFEST} is not a manifest ({error})"], mark
    return [*problems, *_entries(listed, entries), *_chain(listed, str(manifest.get("chain")))], mark


def _read(data: bytes) -> list[tuple[str, bytes]]:
    """Every entry in the order in which it lies in the file; an entry that cannot be read is empty."""
    entries = []
    with zipfile.ZipFile(BytesIO(data)) as archive:
        # Entries of a bundle fit in the file; a far bigger sum is a file made to fill the memory of its reader.
        if (
            sum(max(info.file_size, info.compress_size) for info in archive.infolist())
            > len(data) + MAX_GROWTH
        ):
            raise zipfile.BadZipFile("its entries are much larger than the file")
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            try:
                entries.append((info.filename, archive.read(info)))
            except UNREADABLE:
                entries.append((info.filename, b""))
    return entries


def _structure(data: bytes, entries: Entries) -> list[str]:
    try:
        expected = canonical_zip(entries)
    except (ValueError, struct.error) as error:
        return [f"added: an entry with an impossible name or size ({error})"]
    if expected == data:
        return []
    first = next((i for i, (a, b) in enumerate(zip(data, expected, strict=False)) if a != b), len(expected))
    return [f"changed: the bytes of the ZIP are not those its entries make, first at offset {first}"]


def _signature(manifest: bytes, signature: bytes, wanted: str) -> tuple[list[str], str]:
    try:
        given = json.loads(signature)
        public, value = str(given["public_key"]), str(given["signature"])
        if signature_file(public, value) != signature or (public + value).lower() != public + value:
            return [f"changed: {SIGNATURE} is not in its exact form"], ""
        mark = fingerprint(public)
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(value), manifest)
    except InvalidSignature:
        return [f"changed: {MANIFEST} or {SIGNATURE}, the signature does not fit"], mark
    except (ValueError, LookupError, TypeError) as error:
        return [f"changed: {SIGNATURE} cannot be read ({error})"], ""
    if wanted and wanted.strip().lower() not in {public, mark.lower(), mark[7:]}:
        return [f"signed by another key: {mark}"], mark
    return [], mark


def _entries(listed: Sequence[tuple[str, dict[str, object]]], entries: Entries) -> list[str]:
    problems = []
    wanted = dict(listed)
    present = [name for name, _ in entries if name not in (MANIFEST, SIGNATURE)]
    contents = dict(entries)
    problems += [f"removed: {name}" for name in wanted if name not in contents]
    problems += [f"added: {name}" for name in present if name not in wanted]
    problems += [
        f"added: {name} occurs twice" for name in sorted({n for n in present if present.count(n) > 1})
    ]
    for name, facts in listed:
        data = contents.get(name)
        if data is None:
            continue
        hashes = (hashlib.sha256(data).hexdigest(), _sm3(data) or facts.get("sm3"), len(data))
        if hashes != (facts.get("sha256"), facts.get("sm3"), facts.get("size")):
            problems.append(f"changed: {name}")
    if [name for name in present if name in wanted] != [name for name, _ in listed if name in contents]:
        problems.append("reordered: the entries are not in the order of the manifest")
    return problems


def _chain(listed: Sequence[tuple[str, dict[str, object]]], head: str) -> list[str]:
    previous = GENESIS
    for name, facts in listed:
        previous = chained(previous, name, str(facts.get("sha256")))
        if facts.get("chain") != previous:
            return [f"changed: the hash chain breaks at {name}"]
    return [] if previous == head else ["changed: the hash chain does not end where the manifest says"]


def _sm3(data: bytes) -> str:
    """SM3 in hex, or nothing where this Python has none; SHA-256 decides then."""
    return hashlib.new("sm3", data).hexdigest() if "sm3" in hashlib.algorithms_available else ""


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, 1 or 2 (wrong use)."""
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[1] != "--public-key"):
        print("usage: python verifier.py BUNDLE.zip [--public-key HEX]", file=sys.stderr)
        return 2
    try:
        data = Path(arguments[0]).read_bytes()
    except OSError as error:
        print(f"{arguments[0]}: {error.strerror}", file=sys.stderr)
        return 2
    problems, mark = verify(data, arguments[2] if len(arguments) == 3 else "")
    for problem in problems:
        print(problem)
    print(f"signed by {mark}" if mark else "no usable signature")
    print(
        "BROKEN: this bundle was altered"
        if problems
        else "ok: nothing was changed, removed, added or reordered"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
