"""LabelMemo recognises label sets by identity, forgets the oldest, and never mixes two questions."""

from __future__ import annotations

from monitor.metrics.interface import Labels, Vector, block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql import PromqlEngine
from monitor.metrics.promql.memo import LabelMemo


def label_sets(count: int) -> list[Labels]:
    return [make_labels({"n": str(n)}, "x") for n in range(count)]


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.calls


def test_the_same_objects_are_worked_out_once() -> None:
    memo, work, labels = LabelMemo(), Counting(), label_sets(100)
    assert [memo.of("a", labels, work), memo.of("a", list(labels), work)] == [1, 1]
    assert memo.of("b", labels, work) == 2
    assert memo.of("a", labels[::-1], work) == 3
    assert memo.of("a", labels[:-1], work) == 4


def test_equal_texts_in_other_objects_are_worked_out_again() -> None:
    memo, work = LabelMemo(), Counting()
    assert [memo.of("a", label_sets(100), work) for _ in range(2)] == [1, 2]


def test_small_lists_are_not_kept() -> None:
    memo, work, labels = LabelMemo(), Counting(), label_sets(3)
    assert [memo.of("a", labels, work) for _ in range(2)] == [1, 2]
    assert len(memo) == 0


def test_the_oldest_goes_first() -> None:
    memo, work = LabelMemo(capacity=250), Counting()
    first, second, third = (label_sets(100) for _ in range(3))
    memo.of("a", first, work)
    memo.of("a", second, work)
    memo.of("a", first, work)
    memo.of("a", third, work)
    assert len(memo) == 2
    assert memo.of("a", first, work) == 1
    assert memo.of("a", second, work) == 4


def test_answers_follow_new_series() -> None:
    store = MemoryStore()
    engine = PromqlEngine(store)

    def size() -> int:
        result = engine.instant("sum by (n) (x) + on (n) x", 0)
        assert isinstance(result, Vector)
        return len(result.labels)

    store.append(block_of((labels, 0, 1.0) for labels in label_sets(80)))
    assert [size(), size()] == [80, 80]
    store.append(block_of([(make_labels({"n": "new"}, "x"), 0, 5.0)]))
    assert size() == 81
