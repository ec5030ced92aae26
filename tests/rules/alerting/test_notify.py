"""Messages: who is told what and when, nothing twice, nothing lost."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from sqlalchemy import select

from monitor.clock import ManualClock
from monitor.database import Database
from monitor.model import WHOLE_CITY
from monitor.settings import Settings
from rules.alerting.errors import ChannelError
from rules.alerting.interface import Notification
from rules.alerting.ledger import BACKOFF_S, LEASE_MS, Ledger
from rules.alerting.notify import Notifier, load_channels
from rules.alerting.tables import NotificationRow
from rules.alerting.upkeep import tend
from tests.rules.alerting.conftest import World


class Sink:
    """A channel that remembers, and fails as told."""

    def __init__(self, name: str = "sink", faults: list[Exception] | None = None) -> None:
        self.name = name
        self.faults = faults or []
        self.got: list[Notification] = []
        self.tries = 0
        self._lock = threading.Lock()

    def send(self, notification: Notification) -> None:
        with self._lock:
            self.tries += 1
            if self.faults:
                raise self.faults.pop(0)
            self.got.append(notification)

    @property
    def events(self) -> list[str]:
        return [f"{n.event} {n.alert.device}" for n in self.got]


def notifier(world: World, *sinks: Sink) -> Notifier:
    return Notifier(Ledger(world.database), sinks, world.clock)


def states(database: Database) -> Counter[str]:
    with database.session() as session:
        return Counter(session.scalars(select(NotificationRow.state)))


def test_fired_and_resolved_reach_every_channel_once(world: World) -> None:
    one, two = Sink("one"), Sink("two")
    tell = notifier(world, one, two)
    world.down("H1/a")
    assert tell.run() == 2
    assert tell.run() == 0
    world.round({("up", "H1/a"): 1.0})
    tell.run()
    assert one.events == two.events == ["fired a", "resolved a"]
    assert one.got[0].title == "[告警][紧急] 设备 a 失联"
    assert "机构：H1" in one.got[0].body
    assert one.got[1].title.startswith("[恢复]")
    assert len({n.key for sink in (one, two) for n in sink.got}) == 4
    kinds = [line.kind for line in world.desk.timeline(WHOLE_CITY, world.views()["DeviceDown", "a"].id)]
    assert kinds.count("notified") == 4


def test_in_english(world: World) -> None:
    sink = Sink()
    world.down("H1/a")
    Notifier(Ledger(world.database), [sink], world.clock, locale="en").run()
    assert sink.got[0].title == "[FIRING][Critical] a is down"
    assert "Site: H1" in sink.got[0].body


def test_two_notifiers_racing_send_nothing_twice(world: World) -> None:
    places = [f"H1/d{i}" for i in range(40)]
    world.down(*places)
    sink = Sink()
    racers = [notifier(world, sink) for _ in range(2)]
    barrier = threading.Barrier(2)

    def race(racer: Notifier) -> None:
        barrier.wait()
        for _ in range(6):
            racer.run()

    threads = [threading.Thread(target=race, args=(racer,)) for racer in racers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sink.events) == sorted(f"fired {place[3:]}" for place in places)


def test_failures_are_retried_with_growing_waits_also_after_a_restart(world: World) -> None:
    sink = Sink(faults=[ChannelError("busy", retryable=True), RuntimeError("bug")])
    world.down("H1/a")
    assert notifier(world, sink).run() == 0
    world.clock.advance(BACKOFF_S[0] - 1)
    assert notifier(world, sink).run() == 0
    assert sink.tries == 1, "not before its time"
    world.clock.advance(1)
    notifier(world, sink).run()
    world.clock.advance(BACKOFF_S[1])
    assert notifier(world, sink).run() == 1
    assert (sink.tries, sink.events) == (3, ["fired a"])


def test_a_final_refusal_is_not_retried_and_shows_on_the_timeline(world: World) -> None:
    sink = Sink(faults=[ChannelError("no such receiver", retryable=False)])
    world.down("H1/a")
    notifier(world, sink).run()
    world.clock.advance(86_400)
    notifier(world, sink).run()
    assert sink.tries == 1
    newest = world.desk.timeline(WHOLE_CITY, world.views()["DeviceDown", "a"].id)[0]
    assert newest.kind == "notify-failed"
    assert "no such receiver" in newest.text


def test_it_gives_up_in_the_end(world: World) -> None:
    sink = Sink(faults=[ChannelError("busy", retryable=True)] * 50)
    world.down("H1/a")
    for _ in range(30):
        notifier(world, sink).run()
        world.clock.advance(BACKOFF_S[-1])
    assert sink.tries == len(BACKOFF_S) + 1
    assert states(world.database)["dead"] == 1


def test_a_claim_whose_owner_died_is_sent_after_the_lease(world: World) -> None:
    world.down("H1/a")
    ledger, sink = Ledger(world.database), Sink()
    ledger.route(["sink"], world.clock.now_ms())
    (claim,) = ledger.claim(world.clock.now_ms())
    assert ledger.claim(world.clock.now_ms()) == []
    world.clock.advance(LEASE_MS / 1000)
    assert notifier(world, sink).run() == 1
    assert sink.got[0].key == claim.key, "the far side can tell a repeat by its key"
    ledger.failed(claim, world.clock.now_ms(), "late", retryable=True)
    assert states(world.database) == {"routed": 1, "sent": 1}, "who lost the claim has no say"


def test_what_is_explained_is_not_told_until_it_stands_alone(world: World) -> None:
    world.depends = {"b": ("a",)}
    sink = Sink()
    tell = notifier(world, sink)
    for _ in range(2):
        world.round({("up", "H1/b"): 0.0})
    world.round({("up", "H1/b"): 0.0, ("up", "H1/a"): 0.0})
    tell.run()
    assert sink.events == [], "a dependent device waits a little for its upstream"
    world.round({("up", "H1/b"): 0.0, ("up", "H1/a"): 0.0})
    world.round({("up", "H1/b"): 0.0, ("up", "H1/a"): 0.0})
    tell.run()
    assert sink.events == ["fired a"]
    world.round({("up", "H1/b"): 0.0, ("up", "H1/a"): 1.0})
    world.clock.advance(20)
    tell.run()
    assert sorted(sink.events) == ["fired a", "fired b", "resolved a"]


def test_over_before_anybody_heard_says_nothing(world: World) -> None:
    world.depends = {"b": ("a",)}
    sink = Sink()
    world.down("H1/b")
    world.round({("up", "H1/b"): 1.0})
    world.clock.advance(60)
    notifier(world, sink).run()
    assert sink.events == []


def test_silenced_is_told_only_when_the_silence_ends(world: World) -> None:
    sink = Sink()
    tell = notifier(world, sink)
    world.down("H1/a")
    tell.run()
    alert = world.views()["DeviceDown", "a"].id
    world.desk.silence(WHOLE_CITY, [alert], "li", world.clock.now_ms() + 600_000, "检修")
    world.round({("up", "H1/a"): 1.0})
    tell.run()
    world.down("H1/a")
    tell.run()
    assert sink.events == ["fired a", "resolved a"]
    world.clock.advance(600)
    tend(world.database, world.clock.now_ms(), {})
    tell.run()
    assert sink.events == ["fired a", "resolved a", "fired a"]


def test_escalation_is_told_with_its_receiver_and_note(world: World) -> None:
    sink = Sink()
    world.down("H1/a")
    alert = world.views()["DeviceDown", "a"].id
    world.desk.escalate(WHOLE_CITY, [alert], "li", "信息科主任", "请支援")
    world.desk.escalate(WHOLE_CITY, [alert], "li", "分管领导")
    notifier(world, sink).run()
    told = {n.receiver: n for n in sink.got if n.event == "escalated"}
    assert set(told) == {"信息科主任", "分管领导"}
    assert "请支援" in told["信息科主任"].body
    assert world.desk.alert(WHOLE_CITY, alert).escalated_to == "分管领导"


def test_without_a_channel_it_is_dead_not_forever_due(world: World) -> None:
    world.down("H1/a")
    notifier(world).run()
    assert states(world.database) == {"dead": 1}


def test_channels_come_from_entry_points(capsys: pytest.CaptureFixture[str]) -> None:
    assert load_channels(Settings()) == []
    settings = Settings(
        webhook_url="https://example.org/hook", smtp_url="smtp://h", smtp_from="a@b", smtp_to="c@d"
    )
    assert sorted(channel.name for channel in load_channels(settings)) == ["smtp", "webhook"]
    broken = Settings(webhook_url="ftp://example.org", smtp_url="smtp://h", smtp_from="a@b", smtp_to="c@d")
    assert [channel.name for channel in load_channels(broken)] == ["smtp"]


def test_prune_keeps_what_is_open(world: World, clock: ManualClock) -> None:
    sink = Sink(faults=[ChannelError("busy", retryable=True)] * 9)
    world.down("H1/a")
    notifier(world, sink).run()
    ledger = Ledger(world.database)
    ledger.prune(clock.now_ms() + 91 * 86_400_000)
    assert states(world.database) == {"failed": 1}
