"""Commands for who adds to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keeper.cli.base import Json, adapter_app, app, show_rows


@app.command(rich_help_panel="Extend it")
def adapters(as_json: Json = False) -> None:
    """Which protocols and venues are installed, which address each wants, what it can do, and its options."""
    from keeper.commands.adapters import adapters as command
    from keeper.commands.adapters import options

    rows = show_rows(command(), as_json, ("name", "for", "package", "version", "about", "can"))
    if not as_json:
        show_rows(options(rows), as_json)


@adapter_app.command("new")
def adapter_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as my-protocol.")],
    path: Annotated[Path, typer.Option("--path", metavar="DIR", help="Where its folder comes.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a package with an adapter that works, for a toy protocol, and its tests. Change it into yours."""
    from keeper.commands.adapters import new as command

    show_rows(command(name, path), as_json)
