"""The example of deploy/victoria-metrics: settings we read, arguments Debian's VictoriaMetrics takes."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from monitor.settings import load_settings
from tests.monitor.metrics.remote.servers import VictoriaMetrics
from tests.real.sshd import free_port

EXAMPLE = Path(__file__).parents[4] / "deploy" / "victoria-metrics"


def arguments() -> list[str]:
    (line,) = re.findall(r'^ARGS="(.*)"$', (EXAMPLE / "victoria-metrics.default").read_text(), re.MULTILINE)
    return shlex.split(line)


def test_settings_and_arguments_name_the_same_address() -> None:
    settings = load_settings(environ={}, file=EXAMPLE / "zhishou.yml")
    (listen,) = [text.partition("=")[2] for text in arguments() if text.startswith("-httpListenAddr=")]
    assert urlsplit(settings.remote_write_url).netloc == listen
    assert urlsplit(settings.remote_query_url).netloc == listen
    assert settings.remote_keep_hours == 72.0


@pytest.mark.skipif(not VictoriaMetrics.installed(), reason="Debian's victoria-metrics is not installed")
def test_victoria_metrics_takes_the_arguments(tmp_path: Path) -> None:
    port = free_port()
    replaced = {"-storageDataPath": str(tmp_path / "data"), "-httpListenAddr": f"127.0.0.1:{port}"}
    chosen = [
        f"{name}={replaced.get(name, value)}" if value else name
        for name, _, value in (text.partition("=") for text in arguments())
    ]
    with subprocess.Popen(
        [VictoriaMetrics.name, *chosen], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert answers(f"http://127.0.0.1:{port}/api/v1/query?query=1")
        finally:
            process.kill()


def answers(url: str) -> bool:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            with urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            time.sleep(0.05)
    return False
