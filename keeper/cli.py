"""The command line: says what can be asked for, and hands over. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keeper import __version__
from keeper.commands import arguments

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


# --- how a command runs -------------------------------------------------------------------------------------------


def _settings(path: Path, log_style: str | None = None) -> Settings:
    from keeper.config import load
    from keeper.log import setup

    settings = load(path, os.environ)
    setup(settings.log_level, log_style or settings.log_format)
    return settings


def _require_live(settings: Settings) -> None:
    from keeper.config import require_live

    require_live(settings)


def _print(rows: Awaitable[Rows | None] | Rows, as_json: bool, columns: Sequence[str] = ()) -> list[Row]:
    from keeper.commands.output import emit

    async def drive() -> list[Row]:
        return await emit(await rows if isinstance(rows, Awaitable) else rows, as_json, columns)

    return asyncio.run(drive())


# --- options ------------------------------------------------------------------------------------------------------


def _version(asked: bool) -> None:
    if asked:
        print(f"keeper {__version__}")
        raise typer.Exit


Config = Annotated[Path, typer.Option("--config", "-c", envvar="KEEPER_CONFIG", metavar="FILE", help="The config file (TOML).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line; integers as strings.")]
Accounts = Annotated[int, typer.Option("--accounts", min=1, metavar="N", help="How many borrowers.")]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="S", help="Same seed, same borrowers and prices.")]
Default = Path("config/keeper.toml")
_TABLE_BELOW_WAD = 11 * 10**17


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; or KEEPER_DEBUG=1.")] = False,
) -> None:
    """A liquidation keeper: watches lending markets and earns by liquidating accounts that fell below their threshold."""
    if debug:
        os.environ["KEEPER_DEBUG"] = "1"


# --- try it -------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel="Try it")
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Stay up when the crash is over.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, send nothing.")] = False,
    accounts: Accounts = 40,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Watch the keeper earn in a market crash on an embedded devnet. Needs no key and no node."""
    from keeper.commands.demo import demo as command

    columns = ("block", "market", "account", "pair", "result", "predicted_profit", "realised_profit", "profit_token", "net_eth_wei")
    _print(command(keep=keep, dry_run=dry_run, accounts=accounts, seed=seed, as_json=as_json), as_json, () if dry_run else columns)


@app.command(rich_help_panel="Try it")
def devnet(
    accounts: Accounts = 40,
    seed: Seed = 1,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the node; 0: any free one.")] = 0,
    block_time: Annotated[
        float | None, typer.Option("--block-time", min=0.1, metavar="SECONDS", help="Else only blocks asked for.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the devnet alone: anvil with the real protocols, our oracles and borrowers. Until SIGTERM."""
    from keeper.commands.devnet import devnet as command

    _print(command(accounts=accounts, seed=seed, port=port, block_time=block_time, as_json=as_json), as_json)


@app.command(rich_help_panel="Try it")
def bench(
    accounts: Annotated[
        Any, typer.Option(parser=arguments.sizes, metavar="N,...", help="Sizes of book; 1m takes minutes.")
    ] = "1k,10k,100k",
    only: Annotated[Any, typer.Option(parser=arguments.names, metavar="NAME,...", help="Only these measures.")] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="S", help="Same seed, same book.")] = 1,
    devnet: Annotated[bool, typer.Option("--devnet/--no-devnet", help="Also what is measured against a node.")] = True,
    as_json: Json = False,
) -> None:
    """How fast it is on this machine: each figure beside its baseline in the same run."""
    from keeper.commands.bench import bench as command

    _print(command(accounts, only, seed, devnet, as_json), as_json)


@app.command(rich_help_panel="Try it")
def arena(
    scenario: Annotated[str, typer.Option("--scenario", metavar="NAME", help="big, fifty, cascade, gas, thin, burst or pause.")] = "big",
    against: Annotated[
        Any, typer.Option(parser=arguments.names, metavar="NAME,...", help="Of poller, tipper, backrunner, escalator, copy.")
    ] = "poller,tipper,backrunner,escalator,copy",
    alone: Annotated[bool, typer.Option("--alone", help="Also each rival without the others: none is a straw man.")] = False,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Let the keeper race rivals for liquidations, before a block builder of our own on an embedded devnet; and say why it lost."""
    from keeper.commands.arena import COLUMNS
    from keeper.commands.arena import arena as command

    _print(command(scenario, against, alone, seed), as_json, COLUMNS)


# --- run it -------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel="Run it")
def check(config: Config = Default, as_json: Json = False) -> None:
    """Is this config able to run? Each line ok, or the fix."""
    settings = _settings(config)
    from keeper.commands.check import check as command

    rows = _print(command(settings), as_json, ("chain", "check", "ok", "detail", "fix"))
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


@app.command(rich_help_panel="Run it")
def run(
    config: Config = Default,
    live: Annotated[bool, typer.Option("--live", help='Send transactions; the config must say mode = "live" too.')] = False,
    blocks: Annotated[int | None, typer.Option("--blocks", min=1, metavar="N", help="Stop after N blocks.")] = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Keep what the run consumes, for `keeper replay`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the keeper. Sends nothing unless told twice: mode = "live" in the config, and --live."""
    settings = _settings(config, log_style="json" if as_json else None)
    if live:
        _require_live(settings)
    from keeper.commands.run import run as command

    _print(command(settings, live=live, blocks=blocks, record=record), as_json)


@app.command(rich_help_panel="Run it")
def replay(
    recording: Annotated[Path, typer.Argument(metavar="FILE", help="Made by `keeper run --record`.")],
    config: Config = Default,
    as_json: Json = False,
) -> None:
    """Run a recording again, without a node: does it come to the same plans?"""
    from keeper.commands.replay import replay as command

    rows = _print(command(_settings(config), recording), as_json, ("number", "market", "account", "profit", "same"))
    if not all(row["same"] for row in rows):
        raise typer.Exit(1)


@app.command(rich_help_panel="Run it")
def deploy(
    config: Config = Default,
    owner: Annotated[Any, typer.Option(parser=arguments.account, metavar="ADDRESS", help="Cold: adds and revokes operators.")] = None,
    beneficiary: Annotated[Any, typer.Option(parser=arguments.account, metavar="ADDRESS", help="Where every profit goes.")] = None,
    operator: Annotated[
        Any,
        typer.Option(parser=arguments.account, metavar="ADDRESS", help="May call it; the signer (an account: the executor) if not given."),
    ] = None,
    account: Annotated[bool, typer.Option("--account", help="An account contract instead, that holds positions for a while.")] = False,
    market: Annotated[str | None, typer.Option(metavar="NAME", help="With --account: where it holds; the only market that can.")] = None,
    show: Annotated[bool, typer.Option("--show", help="With --account: say what it would be allowed, and send nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Though the config names one that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Deploy the executor contract, or an account that obeys it. Roles not given here are taken from the config."""
    settings = _settings(config)
    from keeper.commands import deploy as command

    if account:
        _print(command.deploy_account(settings, market, owner, beneficiary, operator, again, show, in_lines=not as_json), as_json)
    else:
        _print(command.deploy(settings, owner, beneficiary, operator, again), as_json)


# --- ask it -------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel="Ask it")
def scan(
    config: Config = Default,
    next_block: Annotated[bool, typer.Option("--next", help="At the block a transaction would land in.")] = False,
    below: Annotated[
        Any, typer.Option(parser=arguments.health_factor, metavar="HF", help="Only smaller health factors [1.1 in a table].")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every account.")] = False,
    watch: Annotated[int | None, typer.Option("--watch", min=1, metavar="N", help="The N most likely to fall below 1 next.")] = None,
    as_json: Json = False,
) -> None:
    """Every account's health factor now, by the protocol's own integers."""
    settings = _settings(config)
    if watch is not None:
        from keeper.commands.scan import watch as ahead

        likely = ("market", "account", "health_factor_wad", "distance_sigma", "hazard_1h", "hazard_24h", "liquidated_by")
        _print(ahead(settings, watch, next_block=next_block, below_wad=below), as_json, likely)
        return
    from keeper.commands.scan import scan as command

    below_wad = below if below is not None or everything or as_json else _TABLE_BELOW_WAD
    columns = ("market", "account", "health_factor_wad", "weighted_collateral", "debt", "liquidatable")
    _print(command(settings, next_block=next_block, below_wad=below_wad), as_json, columns)


@app.command(rich_help_panel="Ask it")
def why(
    address: Annotated[Any, typer.Argument(parser=arguments.account, metavar="ADDRESS", help="The account.")],
    config: Config = Default,
    market: Annotated[str | None, typer.Option("--market", metavar="NAME", help="Only this market.")] = None,
    as_json: Json = False,
) -> None:
    """Why an account was, or was not, liquidated: health, legs, liquidation prices, greeks, hazard, and what the keeper decided."""
    settings = _settings(config)
    from keeper.commands.why import why as command

    _print(command(settings, address, market=market), as_json, ("market", "block", "kind", "text"))


@app.command(rich_help_panel="Ask it")
def stress(
    shock: Annotated[
        list[Any], typer.Option(parser=arguments.shock, metavar="TOKEN=CHANGE%", help="Such as ETH=-30%; once for each token.")
    ],
    config: Config = Default,
    paths: Annotated[int, typer.Option("--paths", min=0, max=1_000_000, metavar="N", help="Value at risk over N random price paths.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="S", help="Same seed, same paths.")] = 1,
    feedback: Annotated[
        float, typer.Option("--feedback", min=0, max=1, metavar="SHARE", help="How much of a pool's move oracles follow.")
    ] = 0.0,
    days: Annotated[float, typer.Option("--days", min=0.01, max=365, metavar="D", help="How far the paths go.")] = 1.0,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .png, .svg or .pdf.")] = None,
    as_json: Json = False,
) -> None:
    """What a price shock would do: who is liquidated, what pools make of it, and who bears the bad debt."""
    settings = _settings(config)
    from keeper.commands.stress import stress as command

    _print(command(settings, shock, paths, seed, feedback, days, plot, as_json), as_json)


@app.command(rich_help_panel="Ask it")
def ledger(
    config: Config = Default,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the last N.")] = None,
    positions: Annotated[bool, typer.Option("--positions", help="What was held instead, and what each position came to.")] = False,
    over_time: Annotated[bool, typer.Option("--over-time", help="What was held instead, block by block.")] = False,
    as_json: Json = False,
) -> None:
    """What was earned, transaction by transaction."""
    settings = _settings(config)
    if positions or over_time:
        from keeper.commands.inventory import inventory

        _print(inventory(settings, over_time, limit, for_people=not as_json), as_json)
        return
    from keeper.commands.ledger import ledger as command

    columns = ("block", "market", "account", "result", "reason", "profit_token", "predicted_profit", "realised_profit", "net_eth_wei")
    _print(command(settings, limit=limit), as_json, columns)


@config_app.command("show")
def config_show(config: Config = Default, as_json: Json = False) -> None:
    """The settings in force, environment included, secrets masked."""
    from keeper.config import show

    print(show(_settings(config), as_json))


@config_app.command("schema")
def config_schema(as_json: Json = False) -> None:
    """JSON Schema of the config file, for editors."""
    import json

    from keeper.config import schema

    print(json.dumps(schema(), indent=None if as_json else 2))


# --- extend it ----------------------------------------------------------------------------------------------------


@app.command(rich_help_panel="Extend it")
def adapters(as_json: Json = False) -> None:
    """Which protocols and venues are installed, which address each wants, what it can do, and its options."""
    from keeper.commands.adapters import adapters as command
    from keeper.commands.adapters import options

    rows = _print(command(), as_json, ("name", "for", "package", "version", "about", "can"))
    if not as_json:
        _print(options(rows), as_json)


@adapter_app.command("new")
def adapter_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as my-protocol.")],
    path: Annotated[Path, typer.Option("--path", metavar="DIR", help="Where its folder comes.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a package with an adapter that works, for a toy protocol, and its tests. Change it into yours."""
    from keeper.commands.adapters import new as command

    _print(command(name, path), as_json)
