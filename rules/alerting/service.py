"""The alerting service of the core process: loads rules, evaluates groups, notifies, answers Alertmanager's API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from zlib import crc32

import structlog
from flask import Blueprint
from flask.blueprints import BlueprintSetupState

from monitor.errors import InputError
from monitor.metrics.interface import Labels, block_of, make_labels
from monitor.model import DeviceId, SiteId
from monitor.service import Runtime
from rules.alerting.alertmanager import AlertmanagerApi
from rules.alerting.engine import Engine
from rules.alerting.engine_metrics import EngineMetrics
from rules.alerting.errors import RuleFileError
from rules.alerting.evaluation import Setting
from rules.alerting.files import RuleGroup, read_rule_file
from rules.alerting.journal import Journal
from rules.alerting.ledger import Ledger
from rules.alerting.notify import Notifier, load_channels
from rules.alerting.records import Topology
from rules.alerting.rules_api import RulesView
from rules.alerting.upkeep import tend

_log = structlog.get_logger(__name__)

LIBRARY = Path(__file__).parent.parent / "alerts"
EXTENSION = "zhishou.rules"
RELOAD_S = 30.0  # how often rule files are looked at for changes
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

Signature = tuple[tuple[str, int, int], ...]


def build(runtime: Runtime) -> AlertingService:
    """The service; reads no file before `start`."""
    return AlertingService(runtime)


def rule_files(folder: str) -> list[Path]:
    """The library's rule files and those of an extra folder; test files are left out."""
    folders = [LIBRARY, Path(folder)] if folder else [LIBRARY]
    if folder and not Path(folder).is_dir():
        raise InputError("rules_folder is not a folder", where=folder, zh=f"规则目录不存在：{folder}")
    found = [path for where in folders for path in sorted([*where.glob("*.yml"), *where.glob("*.yaml")])]
    return [path for path in found if not path.stem.endswith("_test")]


def external_labels(text: str) -> tuple[tuple[str, str], ...]:
    """The setting NAME=VALUE,... as labels. Raises InputError."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not _LABEL.fullmatch(name.strip()):
            raise InputError(
                f"external_labels must be NAME=VALUE,..., not {part!r}",
                where="external_labels",
                zh=f"external_labels 格式应为 名称=值,…：{part}",
            )
        found[name.strip()] = value.strip()
    return tuple(sorted(found.items()))


class AlertingService:
    """Implements monitor.service.Service."""

    name = "alerting"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        settings, clock, database = runtime.settings, runtime.clock, runtime.database
        journal = Journal(database, self._topology, self._names)
        interval = settings.evaluation_interval
        setting = Setting(external_labels(settings.external_labels), settings.external_url.rstrip("/"))
        self.engine = Engine(
            runtime.store, runtime.queries, journal, clock, interval=interval, setting=setting
        )
        self.view = RulesView(self.engine)
        self._ledger = Ledger(database)
        self.notifier = Notifier(self._ledger, load_channels(settings), clock, locale=settings.locale)
        receivers = self.notifier.receivers
        self._api = AlertmanagerApi(database, runtime.audit, clock, self._topology, receivers)
        self._jobs: list[str] = []
        self._seen: Signature = ()
        self.faults: list[RuleFileError] = []
        runtime.registry.register(EngineMetrics(self.engine))

    def blueprints(self) -> Sequence[Blueprint]:
        """Alertmanager's API; mounting it also offers the rules to the Prometheus endpoints."""
        blueprint = self._api.blueprint()

        def offer(state: BlueprintSetupState) -> None:
            state.app.extensions[EXTENSION] = self.view

        blueprint.record_once(offer)
        return [blueprint]

    def start(self) -> None:
        """Load every rule file (a bad one is reported and left out) and schedule the work."""
        self._seen = self._signature()
        groups, self.faults = self._read()
        self.engine.load(groups)
        self._schedule()
        self._every("alerting-notify", 1.0, self.notifier.run, 1.0)
        self._every("alerting-upkeep", 5.0, self.tend, 5.0)
        self._every("alerting-collectors", 15.0, self.record_collectors, 2.0)
        self._every("alerting-reload", RELOAD_S, self.reload_changed, RELOAD_S)
        self._every("alerting-prune", 86_400.0, self._prune, 600.0)

    def reload_changed(self) -> bool:
        """Reload when a rule file came, went or changed; whether it did."""
        seen = self._signature()
        if seen == self._seen:
            return False
        self._seen = seen
        self.reload()
        return True

    def reload(self) -> list[RuleFileError]:
        """Read all rule files again; returns what is wrong. The rules of a file that is wrong stay as they were."""
        groups, self.faults = self._read()
        wrong = {fault.where.partition(":")[0] for fault in self.faults}
        groups += [s.group for s in self.engine.groups.values() if s.group.file in wrong]
        self.engine.load(groups)
        self._schedule()
        return self.faults

    def _schedule(self) -> None:
        """One job a group; jobs of groups that are gone end."""
        wanted = {f"rules:{key}": status for key, status in self.engine.groups.items()}
        for name in [job for job in self._jobs if job.startswith("rules:")]:
            self._runtime.schedule.remove(name)
            self._jobs.remove(name)
        for name, status in wanted.items():
            seconds = status.interval_ms / 1000
            key = status.group.key
            # Groups start spread over the interval, at a place that is the same after every restart.
            first = min(seconds, 5.0) * (crc32(key.encode()) % 1000) / 1000
            self._every(name, seconds, partial(self.engine.evaluate, key), first)

    def _signature(self) -> Signature:
        """What the rule files are like, cheaply."""
        found = []
        for path in rule_files(self._runtime.settings.rules_folder):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # removed between listing and looking; the next look will not list it
            found.append((str(path), status.st_mtime_ns, status.st_size))
        return tuple(found)

    def stop(self) -> None:
        """Remove the jobs; what runs ends by itself."""
        for name in self._jobs:
            self._runtime.schedule.remove(name)
        self._jobs.clear()

    def tend(self) -> bool:
        """What time alone changes: silences, forgotten alerts."""
        return tend(self._runtime.database, self._runtime.clock.now_ms(), self._topology())

    def record_collectors(self) -> None:
        """Collectors' heartbeats as series, so that rules can judge them."""
        now = self._runtime.clock.now_ms()
        inventory = self._runtime.directory.inventory()
        homes = {
            str(site.collector): (str(site.region), str(site.id))
            for site in reversed(list(inventory.sites.values()))
        }
        samples: list[tuple[Labels, int, float]] = []
        for collector in self._runtime.directory.collectors():
            region, site = homes.get(collector.id, ("", ""))
            where = {"collector": collector.id, "region": region, "site": site, "device": collector.id}
            labels = where | {"kind": "collector", "job": "core", "instance": collector.id}
            values = {
                "zhishou_collector_last_seen_timestamp_seconds": collector.last_seen / 1000,
                "zhishou_collector_spooled_samples": float(collector.spooled_samples),
                "zhishou_collector_devices": float(collector.devices),
            }
            samples += [(make_labels(labels, name), now, value) for name, value in values.items()]
        if samples:
            self._runtime.store.append(block_of(samples))

    def _read(self) -> tuple[list[RuleGroup], list[RuleFileError]]:
        groups: list[RuleGroup] = []
        faults: list[RuleFileError] = []
        for path in rule_files(self._runtime.settings.rules_folder):
            found, errors = read_rule_file(path, self._runtime.queries.compile)
            for error in errors:
                _log.error("rule file is wrong", error=str(error))
            faults += errors
            if not errors:
                groups += found
        return groups, faults

    def _every(self, name: str, seconds: float, work: Callable[[], object], first: float) -> None:
        self._runtime.schedule.every(name, seconds, work, first_in=first)
        self._jobs.append(name)

    def _prune(self) -> None:
        self._ledger.prune(self._runtime.clock.now_ms())

    def _names(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """What people call the site and the device of an alert."""
        inventory = self._runtime.directory.inventory()
        site = inventory.sites.get(SiteId(labels.get("site", "")))
        device = inventory.devices.get(DeviceId(labels.get("device", "")))
        return {str(thing.id): thing.name for thing in (site, device) if thing is not None}

    def _topology(self) -> Topology:
        devices = self._runtime.directory.inventory().devices
        return {str(device.id): device.depends_on for device in devices.values() if device.depends_on}
