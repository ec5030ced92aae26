"""Facts as judges see them: masked, numbered line by line, and honest about what could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rules.compliance.interface import Line


@dataclass(frozen=True, slots=True)
class Fact:
    """One stored fact. `text` is masked; `raw_sha256` and `raw_sm3` are of the unmasked text as it was read.

    `folder` says that every line is `path:content`, as `grep -rH` prints it. `missing`: no such file or command.
    """

    id: str
    source: str
    text: str
    exit_code: int
    read_at_ms: int
    raw_sha256: str = ""
    raw_sm3: str = ""
    error: str = ""
    missing: bool = False
    host_key: str = ""
    folder: bool = False
    command: bool = False


class Row(NamedTuple):
    """One line of a fact: the file it stands in, its content, and where to cite it. Many are made, few are cited."""

    file: str
    text: str
    fact: str
    number: int
    whole: str

    @property
    def line(self) -> Line:
        """The line as a verdict cites it."""
        return Line(self.fact, self.number, self.whole)


class NotCollectedError(Exception):
    """A judge needs a fact that could not be read; `zh` and `en` say why."""

    def __init__(self, zh: str, en: str) -> None:
        self.zh = zh
        self.en = en
        super().__init__(en)


class Facts:
    """Everything that was read from one object, by fact id."""

    __slots__ = ("_facts", "_rows")

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._facts: Mapping[str, Fact] = {fact.id: fact for fact in facts}
        self._rows: dict[str, list[Row]] = {}  # split once, read by many checks

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts.values())

    def rows(self, *ids: str) -> list[Row]:
        """The lines of these facts in order. A file that does not exist has none; raises NotCollectedError when a
        fact could not be read, or a command does not exist.
        """
        found: list[Row] = []
        for id_ in ids:
            fact = self._readable(id_)
            if id_ not in self._rows:
                self._rows[id_] = _rows(fact)
            found.extend(self._rows[id_])
        return found

    def readable(self, id_: str) -> bool:
        """Whether the fact was read and is not empty."""
        fact = self._facts.get(id_)
        return fact is not None and not fact.error and not fact.missing and bool(fact.text.strip())

    def absent(self, id_: str) -> bool:
        """Whether the file or command is known not to exist."""
        fact = self._facts.get(id_)
        return fact is not None and fact.missing

    def read_at_ms(self, id_: str) -> int:
        """When the fact was read; raises NotCollectedError like `rows`."""
        return self._readable(id_).read_at_ms

    def _readable(self, id_: str) -> Fact:
        fact = self._facts.get(id_)
        if fact is None:
            raise NotCollectedError(f"没有采集 {id_}", f"{id_} was not collected")
        if fact.missing and not fact.command:
            return fact
        if fact.missing:
            raise NotCollectedError(
                f"目标上没有命令 {fact.source}", f"the target has no command {fact.source}"
            )
        if fact.error:
            raise NotCollectedError(
                f"读取 {fact.source} 失败:{fact.error}", f"{fact.source} could not be read: {fact.error}"
            )
        return fact


def _rows(fact: Fact) -> list[Row]:
    if not fact.folder:
        return [Row(fact.source, text, fact.id, n, text) for n, text in enumerate(fact.text.splitlines(), 1)]
    found = []
    for number, whole in enumerate(fact.text.splitlines(), 1):
        file, _, content = whole.partition(":")
        found.append(Row(file, content, fact.id, number, whole))
    return found
