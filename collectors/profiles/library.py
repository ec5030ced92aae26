"""All profiles and modules of an installation: ours, then those of the operator's own folder (setting `profiles`).

A file of that folder is a profile, or an snmp.yml of snmp_exporter, unchanged: each of its modules is offered to
`/snmp` and is a profile that an inventory or another profile (`extends`) names. A profile that has the name of one
of ours says `replaces: true`; modules of the operator's files stand before ours of the same name. A file with an
error is left out and told of; the others count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collectors.place import Place, read_yaml
from collectors.profiles.loader import RawProfile, parse_profile, resolve
from collectors.profiles.modules import ModuleFile
from collectors.profiles.modules_loader import MAX_BYTES, is_module_file, load_modules, parse_modules
from collectors.profiles.modules_profile import as_profile
from collectors.profiles.profile import Profile
from monitor.errors import InputError

SHIPPED: Final = Path(__file__).parent
SHIPPED_MODULES: Final = SHIPPED.parent / "snmp" / "exposition" / "modules.yml"
_SUFFIXES: Final = (".yml", ".yaml")


@dataclass(frozen=True, slots=True)
class Library:
    """All there is: `raws` before `extends` is resolved, `sources` the file of each, `problems` what is left out."""

    profiles: Mapping[str, Profile]
    raws: Mapping[str, RawProfile]
    files: ModuleFile
    sources: Mapping[str, Path]
    problems: tuple[InputError, ...] = ()


@dataclass(slots=True)
class _Shelf:
    """What has been read so far."""

    ours: dict[str, RawProfile] = field(default_factory=dict)
    own: dict[str, RawProfile] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)
    modules: dict[str, tuple[RawProfile, Path]] = field(default_factory=dict)
    files: ModuleFile = field(default_factory=ModuleFile)
    problems: list[InputError] = field(default_factory=list)


def load_library(folder: Path | None = None) -> Library:
    """Ours and those of `folder`. Raises InputError only for what ships with the program."""
    shelf = _Shelf()
    for path in sorted(SHIPPED.glob("*.yml")):
        raw = parse_profile(path)
        shelf.ours[raw.profile.name] = raw
    _add_modules(shelf, load_modules(SHIPPED_MODULES), SHIPPED_MODULES, own=False)
    for path in user_files(folder):
        try:
            add_file(shelf, path)
        except InputError as error:
            shelf.problems.append(error)
    return _resolved(shelf)


def load_module_files(folder: Path | None = None) -> tuple[ModuleFile, list[InputError]]:
    """Only the modules, of ours and of the snmp.yml files of `folder`, and what of those is left out."""
    shelf = _Shelf()
    _add_modules(shelf, load_modules(SHIPPED_MODULES), SHIPPED_MODULES, own=False)
    for path in user_files(folder):
        try:
            root = read_yaml(path, MAX_BYTES)
            if is_module_file(root):
                _add_modules(shelf, parse_modules(root), path, own=True)
        except InputError as error:
            shelf.problems.append(error)
    return shelf.files, shelf.problems


def user_files(folder: Path | None) -> list[Path]:
    """The YAML files of a folder, sorted; none when there is no folder."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())


def add_file(shelf: _Shelf, path: Path) -> None:
    """One file of the operator's. Raises InputError with file:line."""
    root = read_yaml(path, MAX_BYTES)
    if is_module_file(root):
        _add_modules(shelf, parse_modules(root), path, own=True)
    else:
        _add_own(shelf, path)


def _add_own(shelf: _Shelf, path: Path) -> None:
    raw = parse_profile(path)
    name = raw.profile.name
    if name in shelf.own:
        raise raw.place.error(
            f"profile {name} exists already in {shelf.sources[name]}; give one another name"
        )
    if name in shelf.ours and not raw.replaces:
        raise raw.place.error(
            f"profile {name} ships with the program; give yours another name, or write `replaces: true`"
        )
    if raw.replaces and name not in shelf.ours:
        raise raw.place.error(f"no profile {name} ships with the program that could be replaced")
    shelf.own[name], shelf.sources[name] = raw, path


def _add_modules(shelf: _Shelf, files: ModuleFile, path: Path, *, own: bool) -> None:
    for name, module in files.modules.items():
        before = shelf.modules.get(name)
        if own and before is not None and before[1] != SHIPPED_MODULES:
            raise InputError(
                f"module {name} exists already in {before[1]}",
                where=str(path),
                hint="remove one of the two",
                zh=f"{path}：模块 {name} 已存在于 {before[1]}，请删除其一",
            )
        raw = RawProfile(Place(str(path), 1, ""), (), as_profile(module))
        shelf.modules[name] = (raw, path)
    shelf.files = ModuleFile({**shelf.files.modules, **files.modules}, {**shelf.files.auths, **files.auths})


def _resolved(shelf: _Shelf) -> Library:
    """Resolve everything; a profile of the operator's that does not resolve is taken out and told of."""
    own: dict[str, RawProfile] = {}
    for name, raw in shelf.own.items():
        try:
            resolve({**shelf.ours, **_closure(name, shelf)}.values())
            own[name] = raw
        except InputError as error:
            if str(error) not in {str(problem) for problem in shelf.problems}:
                shelf.problems.append(error)
    modules = {
        name: raw
        for name, (raw, _) in shelf.modules.items()
        if name not in shelf.ours and name not in own  # a profile proper goes before a module of its name
    }
    raws = {**modules, **shelf.ours, **own}
    sources = {name: path for name, (_, path) in shelf.modules.items() if name in modules}
    sources |= {name: SHIPPED / f"{name}.yml" for name in shelf.ours}
    sources |= {name: shelf.sources[name] for name in own}
    return Library(resolve(raws.values()), raws, shelf.files, sources, tuple(shelf.problems))


def _closure(name: str, shelf: _Shelf) -> dict[str, RawProfile]:
    """A profile of the operator's and all it extends that is not ours alone."""
    found: dict[str, RawProfile] = {}
    waiting = [name]
    while waiting:
        at = waiting.pop()
        raw = shelf.own.get(at) or (shelf.modules[at][0] if at in shelf.modules else None)
        if raw is not None and at not in found and (at in shelf.own or at not in shelf.ours):
            found[at] = raw
            waiting += [parent for parent, _ in raw.extends]
    return found
