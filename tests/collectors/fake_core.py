"""A core as the collector sees it: the wire protocol over HTTP, recorded; it can be cut off and come back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from monitor.metrics.interface import Labels
from monitor.metrics.remote_write import decode
from monitor.model import Device
from tests.real.sshd import free_port

TOKEN = "ingest-token"


class FakeCore:
    """Start, cut (the port closes) and start again at the same port; `answer` decides the status of a write."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.assignment: dict[str, object] = {"version": "0", "devices": [], "regions": {}, "credentials": {}}
        self.samples: list[tuple[Labels, int, float]] = []
        self.events: list[dict[str, object]] = []
        self.event_ids: list[str] = []
        self.requests: list[tuple[str, str, int]] = []
        self.answer: Callable[[str, bytes], tuple[int, dict[str, str]]] = lambda _path, _body: (204, {})
        self.changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def assign(self, version: str, devices: list[Device], credentials: dict[str, dict[str, str]]) -> None:
        self.assignment = {
            "version": version,
            "devices": [asdict(device) for device in devices],
            "regions": {device.site: "R1" for device in devices},
            "credentials": credentials,
        }

    def start(self) -> None:
        core = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                core._get(self)

            def do_POST(self) -> None:
                core._post(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def cut(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def wait(self, condition: Callable[[], bool], seconds: float = 10) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, seconds)

    def series(self, name: str) -> dict[Labels, list[tuple[int, float]]]:
        found: dict[Labels, list[tuple[int, float]]] = {}
        for labels, at, value in list(self.samples):
            if dict(labels)["__name__"] == name:
                found.setdefault(labels, []).append((at, value))
        return found

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        etag = f'"{self.assignment["version"]}"'
        if handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._reply(handler, 401, b"", {})
        if handler.headers.get("If-None-Match") == etag:
            return self._reply(handler, 304, b"", {"ETag": etag})
        return self._reply(handler, 200, json.dumps(self.assignment).encode(), {"ETag": etag})

    def _post(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        status, headers = self.answer(handler.path, body)
        if handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            status = 401
        if status == 204:
            self._store(handler, body)
        self._reply(handler, status, b"said no" if status >= 400 else b"", headers)

    def _store(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.path == "/prometheus/api/v1/write":
            block = decode(
                body,
                content_type=handler.headers["Content-Type"],
                content_encoding=handler.headers["Content-Encoding"],
            )
            for code, at, value in zip(block.series, block.timestamps, block.values, strict=True):
                self.samples.append((block.labels[code], int(at), float(value)))
        else:
            for line in body.splitlines():
                document = json.loads(line)
                self.event_ids.append(document["id"])
                self.events.append(document["event"])

    def _reply(
        self, handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        with self.changed:
            self.requests.append((handler.command, handler.path, status))
            self.changed.notify_all()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if status != 304:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if status != 304 else b"")
        # A real server drops kept connections when it goes away; so does this one.
        handler.close_connection = self._server is None
