"""The `zhishou` program: a click group whose commands come from every room's entry points.

Exit codes: 0 ok, 1 findings or failed checks, 2 usage, 3 unreachable. One module a command group.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points

import click
import structlog

from monitor.errors import UnreachableError, ZhishouError
from monitor.telemetry import configure_logging

log = structlog.get_logger(__name__)


class Program(click.Group):
    """Loads a command only when it is used, so that `zhishou query` does not import the collectors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every installed command, sorted."""
        return sorted(entry.name for entry in entry_points(group="zhishou.commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        for entry in entry_points(group="zhishou.commands"):
            if entry.name == cmd_name:
                command: click.Command = entry.load()
                return command
        return None


@click.command(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zhishou", prog_name="zhishou")
def program() -> None:
    """Watch, judge and inspect the IT of all hospitals of a city."""


def main() -> None:
    """Run the program; a known error is one sentence on stderr and its exit code."""
    # Whatever a command or a process it starts writes holds secrets of the installation: its own user's only.
    os.umask(0o077)
    # Standard output belongs to the commands' results; whatever is logged goes to standard error.
    configure_logging("warning", "cli")
    try:
        program(standalone_mode=False)
    except ZhishouError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort as error:
        if isinstance(error.__cause__, EOFError):  # not the user: something we read from ended
            log.error("a connection or file ended unexpectedly", exc_info=error.__cause__)
            sys.exit(UnreachableError.exit_code)
        click.echo("aborted", err=True)
        sys.exit(2)
    except BrokenPipeError:
        # The reader closed early (`| head`); closing stderr keeps Python from complaining at exit.
        sys.stderr.close()
        sys.exit(0)
