"""Commands that only look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from keeper.cli.base import TABLE_BELOW_WAD, Config, Default, Json, app, config_app, settings_of, show_rows
from keeper.commands import arguments

ADDRESS_LENGTH = len("0x") + 40


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
    settings = settings_of(config)
    if watch is not None:
        from keeper.commands.scan import watch as ahead

        likely = ("market", "account", "health_factor_wad", "distance_sigma", "hazard_1h", "hazard_24h", "liquidated_by")
        show_rows(ahead(settings, watch, next_block=next_block, below_wad=below), as_json, likely)
        return
    from keeper.commands.scan import scan as command

    below_wad = below if below is not None or everything or as_json else TABLE_BELOW_WAD
    columns = ("market", "account", "health_factor_wad", "weighted_collateral", "debt", "liquidatable")
    show_rows(command(settings, next_block=next_block, below_wad=below_wad), as_json, columns)


@app.command(rich_help_panel="Ask it")
def why(
    subject: Annotated[
        Any, typer.Argument(parser=arguments.account_or_transaction, metavar="ADDRESS|TX", help="The account, or a transaction.")
    ],
    config: Config = Default,
    market: Annotated[str | None, typer.Option("--market", metavar="NAME", help="Only this market.")] = None,
    as_json: Json = False,
) -> None:
    """Why an account was, or was not, liquidated: health, legs, liquidation prices, greeks, hazard, and what the keeper decided. Of a
    transaction: whom it liquidated, what that was worth, and why it was not ours."""
    settings, columns = settings_of(config), ("market", "block", "kind", "text")
    if len(subject) > ADDRESS_LENGTH:
        from keeper.commands.why_transaction import why_transaction

        show_rows(why_transaction(settings, subject), as_json, columns)
    else:
        from keeper.commands.why import why as command

        show_rows(command(settings, subject, market=market), as_json, columns)


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
    settings = settings_of(config)
    from keeper.commands.stress import stress as command

    show_rows(command(settings, shock, paths, seed, feedback, days, plot, as_json), as_json)


@app.command(rich_help_panel="Ask it")
def ledger(
    config: Config = Default,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the last N.")] = None,
    positions: Annotated[bool, typer.Option("--positions", help="What was held instead, and what each position came to.")] = False,
    over_time: Annotated[bool, typer.Option("--over-time", help="What was held instead, block by block.")] = False,
    as_json: Json = False,
) -> None:
    """What was earned, transaction by transaction."""
    settings = settings_of(config)
    if positions or over_time:
        from keeper.commands.inventory import inventory

        show_rows(inventory(settings, over_time, limit, for_people=not as_json), as_json)
        return
    from keeper.commands.ledger import ledger as command

    columns = ("block", "market", "account", "result", "reason", "profit_token", "predicted_profit", "realised_profit", "net_eth_wei")
    show_rows(command(settings, limit=limit), as_json, columns)


@config_app.command("show")
def config_show(config: Config = Default, as_json: Json = False) -> None:
    """The settings in force, environment included, secrets masked."""
    from keeper.config import show

    print(show(settings_of(config), as_json))


@config_app.command("schema")
def config_schema(as_json: Json = False) -> None:
    """JSON Schema of the config file, for editors."""
    import json

    from keeper.config import schema

    print(json.dumps(schema(), indent=None if as_json else 2))
