"""What senders say about metrics, kept within bounds."""

from __future__ import annotations

from monitor.metrics.metadata import MetricInfo, MetricMetadata, MetricType

COUNTER = MetricInfo(MetricType.COUNTER, "Bytes in.", "bytes")


def test_the_newest_word_on_a_metric_counts() -> None:
    metadata = MetricMetadata()
    metadata.note([("a", MetricInfo(MetricType.GAUGE)), ("a", COUNTER), ("b", MetricInfo())])
    assert metadata.about("a") == COUNTER
    assert metadata.all() == {"a": COUNTER, "b": MetricInfo()}
    assert metadata.about("c") is None


def test_a_snapshot_does_not_change_any_more() -> None:
    metadata = MetricMetadata()
    before = metadata.all()
    metadata.note([("a", COUNTER)])
    assert not before


def test_a_flood_of_names_and_long_texts_are_bounded() -> None:
    metadata = MetricMetadata(max_metrics=2, max_text=4)
    metadata.note([("a", MetricInfo(help="much too long", unit="seconds")), ("b", COUNTER)])
    metadata.note([("c", COUNTER), ("", COUNTER), ("a" * 5, COUNTER)])
    assert set(metadata.all()) == {"a", "b"}
    assert metadata.about("a") == MetricInfo(help="much", unit="seco")
    metadata.note([("a", COUNTER)])
    assert metadata.about("a") == MetricInfo(MetricType.COUNTER, "Byte", "byte")
