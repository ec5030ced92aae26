"""Each process's own metrics, by prometheus-client, on a registry handed around (never the global one)."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version

import structlog
from prometheus_client import CollectorRegistry, Info, PlatformCollector, ProcessCollector


def process_registry(role: str) -> CollectorRegistry:
    """A registry with the process's CPU, memory, files and build."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    Info("zhishou_build", "Version and role of this process", registry=registry).info(
        {"version": version("zhishou"), "role": role}
    )
    return registry


def configure_logging(level: str, role: str) -> None:
    """One JSON object a line on what is stderr at that time; `role` names the process."""
    logging.basicConfig(level=logging.WARNING)
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper(), logging.INFO)),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(role=role)
