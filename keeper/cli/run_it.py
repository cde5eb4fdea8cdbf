"""Commands that run it, or put it on a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from keeper.cli.base import Config, Default, Json, app, require_live, settings_of, show_rows
from keeper.commands import arguments


@app.command(rich_help_panel="Run it")
def check(config: Config = Default, as_json: Json = False) -> None:
    """Is this config able to run? Each line ok, or the fix."""
    settings = settings_of(config)
    from keeper.commands.check import check as command

    rows = show_rows(command(settings), as_json, ("chain", "check", "ok", "detail", "fix"))
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
    settings = settings_of(config, log_style="json" if as_json else None)
    if live:
        require_live(settings)
    from keeper.commands.run import run as command

    show_rows(command(settings, live=live, blocks=blocks, record=record), as_json)


Chain = Annotated[str | None, typer.Option("--chain", metavar="NAME", help="Only this chain.")]


@app.command(rich_help_panel="Run it")
def halt(
    why: Annotated[str, typer.Argument(metavar="[WHY]", help="For whoever finds it.")] = "",
    config: Config = Default,
    chain: Chain = None,
    as_json: Json = False,
) -> None:
    """The kill switch: nothing more is sent, what is on its way is cancelled. Works on a running keeper, and outlives it."""
    from keeper.commands.halt import halt as command

    show_rows(command(settings_of(config), chain, why), as_json)


@app.command(rich_help_panel="Run it")
def resume(config: Config = Default, chain: Chain = None, as_json: Json = False) -> None:
    """Send again, after the kill switch or a breaker stopped it."""
    from keeper.commands.halt import resume as command

    show_rows(command(settings_of(config), chain), as_json)


@app.command(rich_help_panel="Run it")
def replay(
    recording: Annotated[Path, typer.Argument(metavar="FILE", help="Made by `keeper run --record`.")],
    config: Config = Default,
    as_json: Json = False,
) -> None:
    """Run a recording again, without a node: does it come to the same plans?"""
    from keeper.commands.replay import replay as command

    rows = show_rows(command(settings_of(config), recording), as_json, ("number", "market", "account", "profit", "same"))
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
    show: Annotated[bool, typer.Option("--show", help="With --account, --add-operator: send nothing, say what would be allowed.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Though the config names one that is there.")] = False,
    add_operator: Annotated[
        Any,
        typer.Option(parser=arguments.account, metavar="ADDRESS", help="Deploy nothing: let this signer use the executor that is there."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Deploy the executor contract, or an account that obeys it. Roles not given here are taken from the config."""
    settings = settings_of(config)
    if add_operator:
        from keeper.commands.deploy import add_operator as add

        show_rows(add(settings, add_operator, show), as_json)
    elif account:
        from keeper.commands.deploy import deploy_account

        show_rows(deploy_account(settings, market, owner, beneficiary, operator, again, show, in_lines=not as_json), as_json)
    else:
        from keeper.commands.deploy import deploy as command

        show_rows(command(settings, owner, beneficiary, operator, again), as_json)
