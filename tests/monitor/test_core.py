"""The core process: one room's bug must not take the others down, and everything stops in order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from flask import Blueprint

from monitor import core
from monitor.service import Runtime


class Room:
    """A service that notes what happens to it, and breaks where it is told to."""

    def __init__(self, name: str, breaks: str = "") -> None:
        self.name = name
        self.breaks = breaks
        self.started = False

    def blueprints(self) -> Sequence[Blueprint]:
        if self.breaks == "blueprints":
            raise RuntimeError(self.name)
        blueprint = Blueprint(self.name, __name__)
        blueprint.add_url_rule(f"/{self.name}", "hello", lambda: self.name)
        return [blueprint]

    def start(self) -> None:
        if self.breaks == "start":
            raise RuntimeError(self.name)
        self.started = True

    def stop(self) -> None:
        self.started = False


class Entry:
    """Stands for an entry point."""

    def __init__(self, name: str, room: Room | None) -> None:
        self.name = name
        self._room = room

    def load(self) -> object:
        if self._room is None:
            raise ImportError(self.name)
        return lambda _runtime: self._room


def test_a_service_that_cannot_be_loaded_is_left_out(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [Entry("b", Room("b")), Entry("broken", None), Entry("a", Room("a"))]
    monkeypatch.setattr(core, "entry_points", lambda group: entries)
    assert [service.name for service in core.build_services(runtime)] == ["a", "b"]


def test_a_service_with_broken_endpoints_leaves_the_others_reachable(runtime: Runtime) -> None:
    app = core.build_app(runtime, [Room("broken", "blueprints"), Room("a")])
    client = app.test_client()
    assert client.get("/a").text == "a"
    assert client.get("/broken").status_code == 404
    assert client.get("/healthz").get_json()["status"] == "ok"
    assert client.get("/metrics").status_code == 200


def test_a_service_that_does_not_start_keeps_no_other_from_starting() -> None:
    rooms = [Room("a"), Room("broken", "start"), Room("z")]
    assert [room.name for room in core._start(rooms)] == ["a", "z"]
    assert rooms[2].started
