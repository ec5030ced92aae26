"""Compile MIBs into the facts the trap receiver ships: OID to name, enumeration, type, unit. Run by developers only.

    pip download --no-deps pysnmp-mibs && unzip pysnmp_mibs-*.whl -d mibs
    python -m deploy.tools.compile_mibs --compiled mibs/pysnmp_mibs --text /usr/share/snmp/mibs

`--compiled` is a folder of modules for pysnmp (the IETF and IANA set is such a package), `--text` one of MIB texts,
which pysmi (a developer's package) compiles first. Only the modules that mibs.txt lists are kept. Names, numbers and
units are facts; descriptions, and so the texts of RFCs and vendors, do not ship.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pysnmp.smi import builder
from pysnmp.smi.error import SmiError

OUT = Path(__file__).parents[2] / "collectors" / "receivers" / "library" / "mib.json.gz"
LIST = Path(__file__).with_name("mibs.txt")
KINDS: Mapping[str, str] = {"1x:": "mac", "2d-1d-1d,1d:1d:1d.1d,1a1d:1d": "date"}


def wanted() -> list[str]:
    """The modules that mibs.txt lists."""
    lines = [line.partition("#")[0] for line in LIST.read_text("ascii").splitlines()]
    return " ".join(lines).split()


def compile_texts(folder: Path, out: Path, modules: Iterable[str]) -> None:
    """Compile the MIB texts of a folder (with what they import, or it fails) into modules for pysnmp."""
    from pysmi.codegen.pysnmp import PySnmpCodeGen
    from pysmi.compiler import MibCompiler
    from pysmi.parser.smi import parserFactory
    from pysmi.reader.localfile import FileReader
    from pysmi.searcher.stub import StubSearcher
    from pysmi.writer.pyfile import PyFileWriter

    compiler = MibCompiler(parserFactory()(), PySnmpCodeGen(), PyFileWriter(str(out)))
    compiler.add_sources(FileReader(str(folder)))
    compiler.add_searchers(StubSearcher(*PySnmpCodeGen.baseMibs))
    names = [path.stem for path in sorted(folder.iterdir()) if path.stem in set(modules)]
    for name, status in compiler.compile(*names, ignoreErrors=True).items():
        print(f"{name}: {status}", file=sys.stderr)


def collect(modules: Iterable[str], folders: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Facts of the modules that pysnmp finds in its own set and in these folders."""
    mibs = builder.MibBuilder()
    mibs.loadTexts = True  # units count as texts
    mibs.add_mib_sources(*[builder.DirMibSource(str(folder)) for folder in folders])
    objects: dict[str, Any] = {}
    names: dict[str, str] = {}
    for module in modules:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pysmi writes in pysnmp's older names
                mibs.load_modules(module)
        except SmiError as error:
            print(f"{module}: left out: {str(error).splitlines()[0][:200]}", file=sys.stderr)
            continue
        for label, symbol in sorted(mibs.mibSymbols[module].items()):
            kind = type(symbol).__name__
            if kind in {"NotificationType", "ObjectIdentity"}:
                names[_dotted(symbol.name)] = label
            elif kind in {"MibScalar", "MibTableColumn"}:
                objects[_dotted(symbol.name)] = _object(label, symbol)
    return {"objects": objects, "names": names}


def _object(label: str, symbol: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"n": label}
    syntax = symbol.syntax
    enum = {str(int(number)): str(name) for name, number in getattr(syntax, "namedValues", {}).items()}
    if enum:
        row["e"] = enum
    hint = str(getattr(syntax, "displayHint", "") or "")
    if type(syntax).__name__ == "Bits" or any(base.__name__ == "Bits" for base in type(syntax).__mro__):
        row["k"] = "bits"
    elif hint in KINDS:
        row["k"] = KINDS[hint]
    elif shift := re.fullmatch(r"d-(\d+)", hint):
        row["d"] = int(shift[1])
    unit = symbol.getUnits() if hasattr(symbol, "getUnits") else ""
    if unit and len(str(unit)) <= 24:
        row["u"] = str(unit)
    return row


def _dotted(name: Iterable[int]) -> str:
    return ".".join(map(str, name))


def main() -> None:
    """See the module's docstring."""
    arguments = argparse.ArgumentParser(description="compile MIBs for the trap receiver")
    arguments.add_argument("--compiled", type=Path, action="append", default=[])
    arguments.add_argument("--text", type=Path, action="append", default=[])
    arguments.add_argument("--out", type=Path, default=OUT)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for folder in given.text:
            compile_texts(folder, Path(scratch), wanted())
        found = collect(wanted(), [*given.compiled, Path(scratch)])
    data = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    given.out.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{len(found['objects'])} objects, {len(found['names'])} names -> {given.out}")


if __name__ == "__main__":
    main()
