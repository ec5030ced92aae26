"""The agents all sides poll: agent.c for SNMPv2c, compiled here, and sealed.py for SNMPv3."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.bench.processes import Child

SOURCE: Final = Path(__file__).with_name("agent.c")
BINARY: Final = Path("build") / "bench" / "snmp-agent"
FRAME: Final = 1472  # octets of a UDP datagram in one Ethernet frame


def compiled() -> Path:
    """The agent of agent.c. RuntimeError when there is no gcc, or it does not compile."""
    if not shutil.which("gcc"):
        raise RuntimeError("gcc is not installed: the agents of this bench cannot be compiled")
    if not BINARY.exists() or BINARY.stat().st_mtime < SOURCE.stat().st_mtime:
        BINARY.parent.mkdir(parents=True, exist_ok=True)
        argv = ["gcc", "-O2", "-Wall", "-o", str(BINARY), str(SOURCE)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{SOURCE.name} does not compile: {done.stderr[-2000:]}")
    return BINARY.absolute()


def v2c_agent(stack: ExitStack, folder: Path, *, flip: int = 0, drop: int = 0) -> int:
    """The port of agents that change the layout of `flip` percent of their replies and drop `drop` percent."""
    log = folder / f"agent-{flip}-{drop}.log"
    child = stack.enter_context(Child([str(compiled()), "0", str(FRAME), str(flip), str(drop)], log))
    return int(child.wait_for_line(log))


def v3_agent(stack: ExitStack, folder: Path) -> int:
    """The port of agents for SNMPv3."""
    log = folder / "agent-v3.log"
    return int(
        stack.enter_context(Child([sys.executable, "-m", "tests.bench.snmp.sealed"], log)).wait_for_line(log)
    )
