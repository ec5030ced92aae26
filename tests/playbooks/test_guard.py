"""Default deny: every way past the scope, the window and the signatures that we could think of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model import Device, Inventory, Kind
from playbooks import guard
from playbooks.formats import CredentialPolicy, Engagement, Window
from playbooks.guard import Approval, Decision
from playbooks.loader import load_check, load_engagement
from playbooks.steps.interface import installed_steps
from tests.playbooks.world import H031, HOUR, NOON, check, device, engagement, inventory, window

STEPS = installed_steps()
CHECKS = (load_check(check("redis", 6379), "c.yml", STEPS),)
DAY = 24 * HOUR


def written(**changes: object) -> Engagement:
    return load_engagement(engagement(**changes), "e.yml")


def decided(world: Inventory, names: dict[str, tuple[str, ...]] | None = None, **changes: object) -> Decision:
    return guard.resolve(written(**changes), world, names or {})


def devices_of(decision: Decision) -> list[str]:
    return [str(target.device) for target in decision.targets]


def reason_of(decision: Decision, subject: str) -> str:
    return next(reason for name, reason in decision.excluded if name.split()[0] == subject)


def test_targets_are_registered_devices_of_the_included_site_only() -> None:
    world = inventory(device("in", "127.0.1.1"), device("out", "127.0.2.1", site=H031))
    decision = decided(world)
    assert devices_of(decision) == ["in"]
    assert decision.excluded == ()


def test_an_included_network_reaches_no_address_that_is_not_registered() -> None:
    decision = decided(inventory(device("in", "127.0.1.1")), scope={"include": ["127.0.0.0/8"]})
    assert [target.address for target in decision.targets] == ["127.0.1.1"]


@pytest.mark.parametrize(
    ("changes", "scope", "says"),
    [
        ({"do_not_probe": "ventilator gateway"}, {}, "do not probe: ventilator gateway"),
        ({"kind": Kind.MEDICAL}, {}, "medical device"),
        ({"tags": ("life-support",)}, {"exclude_tags": ["life-support"]}, "excluded tag"),
        ({}, {"exclude": ["device:x"]}, "excluded by the engagement"),
        ({}, {"exclude": ["site:H012"]}, "excluded by the engagement"),
        ({}, {"exclude": ["127.0.1.1"]}, "excluded by the engagement"),
        ({}, {"exclude": ["127.0.1.0/24"]}, "excluded by the engagement"),
        ({"address": "::ffff:127.0.1.1"}, {"exclude": ["127.0.1.1"]}, "excluded by the engagement"),
        ({"address": "224.0.0.1"}, {}, "not the address of one host"),
        ({"address": "0.0.0.0"}, {}, "not the address of one host"),
        ({"address": "255.255.255.255"}, {}, "not the address of one host"),
        ({"address": ""}, {}, "does not resolve"),
        ({"address": "gone.example"}, {}, "does not resolve"),
    ],
)
def test_what_is_excluded_and_why(changes: dict[str, object], scope: dict[str, object], says: str) -> None:
    world = inventory(device("x", "127.0.1.1"))
    world = inventory(replace(world.devices["x"], **changes))  # type: ignore[index, arg-type]
    decision = decided(world, scope={"include": ["site:H012", "0.0.0.0/0"], **scope})
    assert decision.targets == ()
    assert says in reason_of(decision, "x")


@pytest.mark.parametrize(
    "protected",
    [
        {"do_not_probe": "dialysis"},
        {"kind": Kind.MEDICAL},
        {"tags": ("icu",)},
        {"site": H031, "do_not_probe": "y"},
    ],
)
def test_an_address_shared_with_a_protected_device_is_nobody_s_target(protected: dict[str, object]) -> None:
    world = inventory(device("server", "127.0.1.1"), device("pump", "pump.local", **protected))
    names = {"pump.local": ("127.0.1.1",)}
    decision = decided(world, names, scope={"include": ["site:H012"], "exclude_tags": ["icu"]})
    assert decision.targets == ()
    assert "pump" in reason_of(decision, "server")


def test_exclusion_is_by_the_address_a_name_resolves_to() -> None:
    world = inventory(device("web", "web.local"))
    scope = {"include": ["site:H012"], "exclude": ["127.0.1.9"]}
    decision = decided(world, {"web.local": ("127.0.1.9", "127.0.1.1")}, scope=scope)
    assert [target.address for target in decision.targets] == ["127.0.1.1"]


def test_a_self_inspection_stays_at_home() -> None:
    world = inventory(device("home", "127.0.1.1"), device("away", "127.0.2.1", site=H031))
    decision = decided(
        world,
        kind="selfinspect",
        requester={"user": "a", "site": "H012"},
        scope={"include": ["site:H012", "site:H031"]},
    )
    assert devices_of(decision) == ["home"]


def test_a_drill_touches_nothing() -> None:
    assert decided(inventory(device("x", "127.0.1.1")), kind="drill").targets == ()


WORLD = inventory(device("x", "127.0.1.1"), device("y", "127.0.1.2"))
ENGAGEMENT = written()
DECISION = guard.resolve(ENGAGEMENT, WORLD, {})
DIGEST = guard.digest_of(ENGAGEMENT, CHECKS, DECISION)
BOTH = (Approval("b", "H012", DIGEST), Approval("c", "city", DIGEST))


def issued(approvals: tuple[Approval, ...] = BOTH, now: int = NOON, engaged: Engagement = ENGAGEMENT) -> str:
    warrant, reason = guard.issue(engaged, CHECKS, DECISION, approvals, now, lambda _: "tcp")
    assert (warrant is None) == bool(reason)
    return reason


def test_with_everything_in_order_there_is_a_warrant() -> None:
    assert issued() == ""


@pytest.mark.parametrize(
    "approvals",
    [
        (),
        BOTH[:1],
        BOTH[1:],
        (BOTH[0], BOTH[0]),
        (BOTH[0], Approval("a", "city", DIGEST)),  # the requester
        (BOTH[0], Approval("c", "H012", DIGEST)),  # not what c was listed for
        (BOTH[0], Approval("z", "city", DIGEST)),  # nobody listed
        (BOTH[0], Approval("c", "city", "0" * 64)),  # another plan
        (BOTH[0], Approval("b", "city", DIGEST)),  # one person, two hats
    ],
)
def test_without_two_valid_signatures_there_is_none(approvals: tuple[Approval, ...]) -> None:
    assert issued(approvals)


def test_every_target_site_must_consent() -> None:
    other = written(
        approvers=[
            {"user": "c", "site": "city"},
            {"user": "d", "site": "H031"},
            {"user": "b", "site": "H012"},
        ]
    )
    digest = guard.digest_of(other, CHECKS, DECISION)
    two = (Approval("c", "city", digest), Approval("d", "H031", digest))
    assert "no consent of H012" in issued(two, engaged=other)
    assert issued((*two, Approval("b", "H012", digest)), engaged=other) == ""


@pytest.mark.parametrize(
    "edit",
    [
        {"title": "another"},
        {"limits": {"pps": 1, "per_host_pps": 1, "concurrent_hosts": 1, "max_packets": 1}},
        {"scope": {"include": ["site:H012"], "exclude": ["127.9.9.9"]}},
        {"authorisation": {"document_sha256": "cd" * 32, "window": window()}},
        {"authorisation": {"document_sha256": "ab" * 32, "window": window(NOON - HOUR, NOON + 2 * HOUR)}},
        {"stop_if": ["device_down_in_scope"]},
        {
            "credentials": {
                "default_creds": {"enabled": True, "attempts_per_account": 1, "per_device_per_day": 1}
            }
        },
        {"suite": ["planted", "exposure-basic"]},
    ],
)
def test_any_edit_of_the_engagement_voids_the_signatures(edit: dict[str, object]) -> None:
    assert issued(engaged=written(**edit))


def test_any_edit_of_a_check_or_of_the_targets_voids_the_signatures() -> None:
    other_check = (replace(CHECKS[0], exchanges=(replace(CHECKS[0].exchanges[0], port=23),)),)
    fewer = Decision(DECISION.targets[:1])
    moved = Decision((replace(DECISION.targets[0], address="127.0.1.7"), DECISION.targets[1]))
    digests = {
        guard.digest_of(ENGAGEMENT, other_check, DECISION),
        guard.digest_of(ENGAGEMENT, CHECKS, fewer),
        guard.digest_of(ENGAGEMENT, CHECKS, moved),
    }
    assert len(digests | {DIGEST}) == 4


@pytest.mark.parametrize("now", [0, NOON - HOUR - 1, NOON + HOUR, NOON + DAY])
def test_outside_the_window_there_is_none(now: int) -> None:
    assert "window" in issued(now=now)


def test_weekdays_are_those_of_the_written_offset() -> None:
    begin, end = NOON - 3 * DAY, NOON + 3 * DAY
    saturday = Window(begin, end, (6,), 0)
    assert guard.window_reason(saturday, NOON) == ""
    assert guard.window_reason(saturday, NOON + 11 * HOUR) == ""
    assert guard.window_reason(saturday, NOON + 12 * HOUR) == "not on this day of the week"
    # 16:00 UTC on Saturday is midnight in Shanghai: Sunday there.
    assert guard.window_reason(replace(saturday, offset_minutes=480), NOON + 4 * HOUR)
    assert guard.window_reason(replace(saturday, offset_minutes=480), NOON + 4 * HOUR - 1) == ""


@given(st.integers(0, 2 * NOON), st.sets(st.integers(1, 7), min_size=1))
def test_the_window_never_opens_outside_itself(now: int, days: set[int]) -> None:
    closed = guard.window_reason(Window(NOON, NOON + DAY, tuple(days), 0), now)
    if not NOON <= now < NOON + DAY:
        assert closed


def warrant() -> guard.Warrant:
    found, _ = guard.issue(ENGAGEMENT, CHECKS, DECISION, BOTH, NOON, lambda _: "tcp")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("device_id", "address", "transport", "port", "now"),
    [
        ("x", "127.0.1.3", "tcp", 6379, NOON),
        ("x", "127.0.1.2", "tcp", 6379, NOON),  # y's address
        ("z", "127.0.1.1", "tcp", 6379, NOON),
        ("x", "localhost", "tcp", 6379, NOON),  # not resolved
        ("x", "127.1.1", "tcp", 6379, NOON),
        ("x", "127.0.1.1", "udp", 6379, NOON),
        ("x", "127.0.1.1", "tcp", 22, NOON),
        ("x", "127.0.1.1", "tcp", 6379, NOON + HOUR),
        ("x", "127.0.1.1", "tcp", 6379, NOON - HOUR - 1),
    ],
)
def test_the_warrant_refuses_each_single_packet(
    device_id: str, address: str, transport: str, port: int, now: int
) -> None:
    assert warrant().refusal(device_id, address, transport, port, now)
    assert warrant().refusal("x", "127.0.1.1", "tcp", 6379, NOON) == ""


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (CredentialPolicy(), False),
        (CredentialPolicy(enabled=True), False),  # lockout unknown
        (CredentialPolicy(enabled=True, lockout="3", attempts_per_account=3), False),
        (CredentialPolicy(enabled=False, lockout="none"), False),
        (CredentialPolicy(enabled=True, lockout="none"), True),
        (CredentialPolicy(enabled=True, lockout="5", attempts_per_account=1), True),
    ],
)
def test_an_unknown_lockout_policy_means_no_credentials(policy: CredentialPolicy, allowed: bool) -> None:
    assert (guard.credential_reason(policy) == "") is allowed


addresses = st.sampled_from(
    ["127.0.1.1", "127.0.1.2", "127.0.1.3", "::1", "0.0.0.0", "224.0.0.1", "", "name.local"]
)
some_devices = st.lists(
    st.builds(
        lambda n, address, kind, reason, tags: device(
            f"d{n}", address, kind=kind, do_not_probe=reason, tags=tags
        ),
        st.integers(0, 9),
        addresses,
        st.sampled_from(list(Kind)),
        st.sampled_from(["", "", "", "ventilator"]),
        st.sampled_from([(), (), ("icu",)]),
    ),
    max_size=8,
)


@given(some_devices)
def test_whatever_the_inventory_no_protected_address_is_ever_a_target(found: list[Device]) -> None:
    world = inventory(*found)
    names = {"name.local": ("127.0.1.2",)}
    decision = decided(world, names, scope={"include": ["127.0.0.0/8", "site:H012"], "exclude_tags": ["icu"]})
    protected = {
        address
        for d in world.devices.values()
        if d.do_not_probe or d.kind is Kind.MEDICAL or "icu" in d.tags
        for address in names.get(d.address, (d.address,))
    }
    assert not protected & {target.address for target in decision.targets}
    accounted = {t.device for t in decision.targets} | {name.split()[0] for name, _ in decision.excluded}
    assert accounted == set(world.devices)
