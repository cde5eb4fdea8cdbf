"""What all commands share: how one is run, and the options that many have."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper import __version__

if TYPE_CHECKING:
    from keeper.commands.output import Row, Rows
    from keeper.config import Settings

CONTEXT = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="keeper",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
    epilog="Exit status: 0 ok, 1 failed, 2 bad config or arguments. Start with `keeper demo`.",
)
config_app = typer.Typer(no_args_is_help=True, context_settings=CONTEXT, help="Show the settings in force, or what can be set.")
app.add_typer(config_app, name="config", rich_help_panel="Ask it")
adapter_app = typer.Typer(no_args_is_help=True, context_settings=CONTEXT, help="Begin an adapter for another protocol.")
app.add_typer(adapter_app, name="adapter", rich_help_panel="Extend it")


def settings_of(path: Path, log_style: str | None = None) -> Settings:
    from keeper.config import load
    from keeper.log import setup

    settings = load(path, os.environ)
    setup(settings.log_level, log_style or settings.log_format)
    return settings


def require_live(settings: Settings) -> None:
    from keeper import config

    config.require_live(settings)


def show_rows(rows: Awaitable[Rows | None] | Rows, as_json: bool, columns: Sequence[str] = ()) -> list[Row]:
    from keeper.commands.output import emit

    async def drive() -> list[Row]:
        return await emit(await rows if isinstance(rows, Awaitable) else rows, as_json, columns)

    return asyncio.run(drive())


def _version(asked: bool) -> None:
    if asked:
        print(f"keeper {__version__}")
        raise typer.Exit


Config = Annotated[Path, typer.Option("--config", "-c", envvar="KEEPER_CONFIG", metavar="FILE", help="The config file (TOML).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line; integers as strings.")]
Accounts = Annotated[int, typer.Option("--accounts", min=1, metavar="N", help="How many borrowers.")]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="S", help="Same seed, same borrowers and prices.")]
Default = Path("config/keeper.toml")
TABLE_BELOW_WAD = 11 * 10**17


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; or KEEPER_DEBUG=1.")] = False,
) -> None:
    """A liquidation keeper: watches lending markets and earns by liquidating accounts that fell below their threshold."""
    if debug:
        os.environ["KEEPER_DEBUG"] = "1"
