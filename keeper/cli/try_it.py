"""Commands that need nothing but this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from keeper.cli.base import Accounts, Json, Seed, app, show_rows
from keeper.commands import arguments


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
    show_rows(command(keep=keep, dry_run=dry_run, accounts=accounts, seed=seed, as_json=as_json), as_json, () if dry_run else columns)


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

    show_rows(command(accounts=accounts, seed=seed, port=port, block_time=block_time, as_json=as_json), as_json)


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

    show_rows(command(accounts, only, seed, devnet, as_json), as_json)


@app.command(rich_help_panel="Try it")
def arena(
    scenario: Annotated[
        Any, typer.Option(parser=arguments.names, metavar="NAME,...", help="Of big, fifty, cascade, gas, thin, burst, pause; or all.")
    ] = "big",
    against: Annotated[
        Any, typer.Option(parser=arguments.names, metavar="NAME,...", help="Of poller, tipper, backrunner, escalator, copy, twin.")
    ] = "poller,tipper,backrunner,escalator,copy",
    alone: Annotated[bool, typer.Option("--alone", help="Also each rival without the others: none is a straw man.")] = False,
    hindsight: Annotated[
        bool, typer.Option("--hindsight", help="Also us with each of some constant bids: what would have been best.")
    ] = False,
    swap: Annotated[bool, typer.Option("--swap", help="Each match once more, seats exchanged: equal bids are decided by luck.")] = False,
    remember: Annotated[
        bool, typer.Option("--remember", help="What is learned in one match serves in the next, as in one long run.")
    ] = False,
    seed: Annotated[
        Any, typer.Option("--seed", parser=arguments.seeds, metavar="S|S-S", help="Same seed, same borrowers and prices.")
    ] = "1",
    as_json: Json = False,
) -> None:
    """Let the keeper race rivals for liquidations, before a block builder of our own on an embedded devnet; and say why it lost."""
    from keeper.commands.arena import COLUMNS, Extras
    from keeper.commands.arena import arena as command

    show_rows(command(scenario, against, seed, Extras(alone, remember, hindsight, swap)), as_json, COLUMNS)
