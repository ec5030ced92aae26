"""The scope decision of an engagement over a whole province: who may be touched, and who not and why."""

from __future__ import annotations

from monitor.model import DeviceId, Inventory, SiteId
from playbooks import guard
from playbooks.loader import load_engagement
from tests.bench.measure import Measure, cpu_ms, interleaved
from tests.playbooks import world

SITES, DEVICES = 300, 60


def run() -> list[Measure]:
    """No peer decides from an inventory who may be touched."""
    inventory = _province()
    scope = {"include": ["site:H012", "10.0.0.0/8"], "exclude": ["10.7.0.0/16", "device:H012-3"]}
    engagement = load_engagement(world.engagement(scope=scope), "bench.yml")

    def decide() -> float:
        return cpu_ms(lambda: _decided(guard.resolve(engagement, inventory, {})))

    found = interleaved({"decide": decide})
    return [Measure("scope decision", "CPU ms", "lower", found["decide"], note=f"{SITES * DEVICES} devices")]


def _decided(decision: guard.Decision) -> None:
    count = len(decision.targets) + len(decision.excluded)
    if count != SITES * DEVICES:
        raise RuntimeError(f"{count} devices decided of {SITES * DEVICES}")


def _province() -> Inventory:
    devices = [
        world.device(
            f"H{site:03d}-{number}",
            f"10.{site % 250}.{site // 250}.{number + 1}",
            site=SiteId(f"H{site:03d}"),
        )
        for site in range(SITES)
        for number in range(DEVICES)
    ]
    made = world.inventory(*devices)
    sites = {device.site: world.site(device.site) for device in devices}
    return Inventory(made.city, made.regions, sites, {DeviceId(device.id): device for device in devices})
