"""`zhishou profile`: check, try out, draft and list device profiles."""

from __future__ import annotations

import click


@click.group()
def profile() -> None:
    """Check, try out, draft and list device profiles (设备画像)."""
