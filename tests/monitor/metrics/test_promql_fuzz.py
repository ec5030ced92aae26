"""Random questions to Debian's Prometheus and to us, over the same random series, in memory and on disk.

FUZZ_QUESTIONS sets how many (the slow test asks 10,000), FUZZ_SEED where to begin. A difference names the seed of its
batch, so that `FUZZ_SEED=<seed> FUZZ_QUESTIONS=50` asks it again.
"""

from __future__ import annotations

import math
import os
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.clock import ManualClock
from monitor.metrics.client import PrometheusClient
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import (
    Labels,
    Matrix,
    MetricStore,
    RawMatrix,
    SampleBlock,
    Scalar,
    Text,
    Vector,
)
from monitor.metrics.memory import MemoryStore
from monitor.metrics.notation import seconds
from monitor.metrics.promql import PromqlEngine
from monitor.metrics.store import LocalStore
from tests.monitor.metrics.promqlfuzz import Grammar, Question, data
from tests.monitor.metrics.promqlpeer import END, START, Peer, running

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")

BATCH = 50
SEED = int(os.environ.get("FUZZ_SEED", "20260726"))
Points = dict[Labels, dict[int, float]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Points by series; `order` of the series as they came; `error` when the question was refused."""

    points: Points
    order: tuple[Labels, ...] = ()
    error: str = ""


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with running(tmp_path_factory.mktemp("prometheus")) as peer:
        yield peer


def theirs(client: PrometheusClient, question: Question) -> Answer:
    text = question.expression.replace("double_exponential_smoothing", "holt_winters")
    parameters = {"query": text, "time": str(seconds(question.start_ms))}
    if question.step_ms:
        parameters |= {
            "start": str(seconds(question.start_ms)),
            "end": str(seconds(question.end_ms)),
            "step": str(question.step_ms / 1000),
        }
    try:
        found = client.data("query_range" if question.step_ms else "query", parameters)
    except QueryError as error:
        return Answer({}, error=str(error))
    if found["resultType"] in ("scalar", "string"):
        return Answer({(): {question.start_ms: float(found["result"][1])}})
    points: Points = {}
    for item in found["result"]:
        pairs: list[Any] = item["values"] if "values" in item else [item["value"]]
        labels = tuple(sorted(item["metric"].items()))
        points[labels] = {round(at * 1000): float(value) for at, value in pairs}
    return Answer(points, tuple(points))


def ours(engine: PromqlEngine, question: Question) -> Answer:
    try:
        if question.step_ms:
            return of_matrix(
                engine.range(question.expression, question.start_ms, question.end_ms, question.step_ms)
            )
        found = engine.instant(question.expression, question.start_ms)
    except QueryError as error:
        return Answer({}, error=str(error))
    match found:
        case Scalar(value=value):
            return Answer({(): {question.start_ms: value}})
        case Vector(labels=labels, values=values):
            pairs = zip(labels, values.tolist(), strict=True)
            return Answer({item: {question.start_ms: value} for item, value in pairs}, tuple(labels))
        case RawMatrix(series=series):
            return Answer(
                {
                    item: dict(zip(times.tolist(), values.tolist(), strict=True))
                    for item, times, values in series
                }
            )
        case Text():
            raise AssertionError("no question is for a text")


def of_matrix(matrix: Matrix) -> Answer:
    points = {}
    for column, labels in enumerate(matrix.labels):
        there = matrix.present[:, column]
        times, values = matrix.timestamps[there].tolist(), matrix.values[there, column].tolist()
        points[labels] = dict(zip(times, values, strict=True))
    return Answer(points)


def same(expected: float, actual: float) -> bool:
    if math.isnan(expected) or math.isnan(actual):
        return math.isnan(expected) and math.isnan(actual)
    return expected == actual or math.isclose(expected, actual, rel_tol=1e-8, abs_tol=1e-8)


def excused(expected: Answer, actual: Answer) -> bool:
    """2.42 compares first and then asks whether a match is unique; Prometheus 3 and we refuse before."""
    return not expected.error and actual.error.startswith("multiple matches for labels")


def difference(question: Question, expected: Answer, actual: Answer) -> str:
    if excused(expected, actual):
        return ""
    if bool(expected.error) != bool(actual.error):
        return f"they: {expected.error or 'an answer'}; we: {actual.error or 'an answer'}"
    if expected.points.keys() != actual.points.keys():
        missing = sorted(expected.points.keys() - actual.points.keys())[:2]
        return f"missing {missing}, too many {sorted(actual.points.keys() - expected.points.keys())[:2]}"
    for labels, points in expected.points.items():
        mine = actual.points[labels]
        if points.keys() != mine.keys():
            return f"{labels}: times differ: {sorted(points.keys() ^ mine.keys())[:3]}"
        for at, value in points.items():
            if not same(value, mine[at]):
                return f"{labels} at {at}: {mine[at]!r} instead of {value!r}"
    if question.expression.startswith("sort") and expected.order != actual.order:
        return f"order {actual.order} instead of {expected.order}"
    return ""


def stores(block: SampleBlock, folder: Path, *, sealed: bool) -> Iterator[tuple[str, MetricStore]]:
    """Our stores with the samples in them, the second one minute by minute, as devices send them, perhaps sealed."""
    memory = MemoryStore()
    assert memory.append(block).rejected == 0
    yield "in memory", memory
    clock = ManualClock(END)
    local = LocalStore(folder, clock)
    order = np.argsort(block.timestamps, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(block.timestamps[order] // 60_000)) + 1):
        sent = SampleBlock(block.labels, block.series[part], block.timestamps[part], block.values[part])
        assert local.append(sent).rejected == 0
    yield "in the head", local
    for hours, name in ((2, "sealed"), (72, "compacted")) if sealed else ():
        clock.advance(hours * 3600)
        local.maintain()
        assert local.stats()["chunk_bytes"] > 0
        yield name, local
    local.close()


def differences(peer: Peer, seed: int, count: int, pool: ThreadPoolExecutor, folder: Path) -> Iterator[str]:
    """Ask `count` questions over one set of series."""
    chance = random.Random(seed)
    prefix = f"f{seed}"
    block = data(chance, prefix, START)
    peer.write(block)
    grammar = Grammar(chance, prefix, START)
    questions = [grammar.question() for _ in range(count)]
    answers = pool.map(lambda question: theirs(peer.client, question), questions)
    expected = list(zip(questions, answers, strict=True))
    for where, store in stores(block, folder / prefix, sealed=seed % 4 == 0):
        for how, engine in (
            ("few", PromqlEngine(store, many=1 << 40)),
            ("many", PromqlEngine(store, many=0)),
        ):
            for question, answer in expected:
                if found := difference(question, answer, ours(engine, question)):
                    yield f"seed {seed}: {where}, as {how} series: {question}: {found}"


def ask(peer: Peer, count: int, seed: int, folder: Path) -> None:
    wrong: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for batch in range(0, count, BATCH):
            number = seed + batch // BATCH
            wrong += differences(peer, number, min(BATCH, count - batch), pool, folder)
    assert not wrong, f"{len(wrong)} of {count} differ:\n" + "\n".join(wrong[:40])


def test_random_questions(peer: Peer, tmp_path: Path) -> None:
    ask(peer, int(os.environ.get("FUZZ_QUESTIONS", "300")), SEED, tmp_path)


@pytest.mark.slow
def test_ten_thousand_random_questions(peer: Peer, tmp_path: Path) -> None:
    ask(peer, 10_000, SEED + 1_000_000, tmp_path)


@pytest.mark.parametrize("many", [0, 1 << 40], ids=["many", "few"])
def test_a_range_is_its_instants(many: int) -> None:
    """Also of what 2.42 does not know."""
    for seed in range(SEED, SEED + 4):
        chance = random.Random(seed)
        block = data(chance, "f", START)
        store = MemoryStore()
        store.append(block)
        engine = PromqlEngine(store, many=many)
        grammar = Grammar(chance, "f", START)
        start, step = START + 1_500_950, 97_000
        for _ in range(25):
            text = grammar.newer() if chance.random() < 0.5 else grammar.vector(2)
            if "start()" in text or "end()" in text:
                continue
            whole = ours(engine, Question(text, start, start + 3 * step, step))
            for at in range(start, start + 4 * step, step):
                instant = ours(engine, Question(text, at, at, 0))
                if whole.error:
                    continue
                there = {item: {at: points[at]} for item, points in whole.points.items() if at in points}
                found = difference(Question(text, at, at, 0), instant, Answer(there))
                assert not found, f"seed {seed}: {text}: {found}"
