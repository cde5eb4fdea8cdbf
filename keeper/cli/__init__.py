"""The command line: says what can be asked for, and hands over. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from importlib import import_module

from keeper.cli.base import app

for _part in ("try_it", "run_it", "ask_it", "extend_it"):  # in the order of the help
    import_module(f"keeper.cli.{_part}")


def main() -> None:
    """Entry point. Ends the process with the exit status."""
    from keeper.commands import failure

    try:
        status = app(prog_name="keeper", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit:
        raise
    except BaseException as error:
        status = failure.report(error)
    sys.exit(status)
