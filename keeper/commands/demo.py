"""`keeper demo`: the keeper earns in a market crash on the embedded devnet, and accounts for every wei of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from keeper.commands.deploy import deploy
from keeper.commands.output import emit
from keeper.commands.run import until_stopped
from keeper.config import Settings, load
from keeper.daemon import Listeners, run
from keeper.devnet import Devnet, DevnetOptions
from keeper.devnet.driver import drive
from keeper.devnet.paths import path
from keeper.errors import Halt
from keeper.ledger.settle import Settled
from keeper.log import setup
from keeper.monitor.view import View
from keeper.pipeline import BlockReport
from keeper.planning.patience import WAITING
from keeper.types import Outcome, Verdict

BLOCK_TIME_S = 0.3
QUIET_BLOCKS = 2
"""Blocks without a price move after each step, at least, so that what was planned on is what is met."""

PATIENT_BLOCKS = 60
"""And at most: a market waits for nobody for ever."""

COLUMNS = ("block", "market", "account", "pair", "result", "predicted_profit", "realised_profit", "profit_token", "net_eth_wei")

STEPS = {"calm": 2, "crash": 12, "recovery": 4}
SETTLE_BLOCKS = 3

UNDER_WAY = {"in_flight", "late", "not_simulated", "max_in_flight", "max_gas_per_block"}
"""Why an account is left for the next block, to be sent or settled then."""


@dataclass
class Story:
    """What happened: every settled transaction, every dry decision, the last reason for every account left alone."""

    settled: list[Settled] = field(default_factory=list)
    dry: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    left: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    idle_block: int = -1
    """The newest block, if nothing was sent at it and nothing was on its way."""
    calm_block: int = -1
    """The same, if nothing is left for later either."""
    waiting: bool = False
    """Something was left for later at the newest block."""

    def block(self, chain: str, report: BlockReport) -> None:
        self.left = {(o.market, o.account): o for o in report.outcomes if o.verdict is Verdict.SKIPPED}
        dry = any(outcome.verdict is Verdict.DRY for outcome in report.outcomes)  # then what is left for the next block is left again
        busy = not dry and any(outcome.verdict is Verdict.PENDING or outcome.reason in UNDER_WAY for outcome in report.outcomes)
        self.waiting = any(outcome.reason == WAITING for outcome in report.outcomes)
        self.idle_block = -1 if busy else report.head.number
        self.calm_block = -1 if busy or self.waiting else report.head.number

    def outcomes(self, chain: str, outcomes: Iterable[Outcome]) -> None:
        self.dry.update({(o.market, o.account): o for o in outcomes if o.verdict is Verdict.DRY})

    def took(self, chain: str, settled: Iterable[Settled]) -> None:
        self.settled += settled


async def demo(keep: bool, dry_run: bool, accounts: int, seed: int, as_json: bool) -> list[dict[str, Any]] | None:
    """Runs to the end of the market's story and reports; one row a liquidation. Raises Halt when the accounts do not add up."""
    setup("error")
    options = DevnetOptions(accounts=accounts, seed=seed, block_time_s=BLOCK_TIME_S)
    story = Story()
    async with Devnet.start(options, _say) as net:
        settings = await ready_settings(net, dry_run)
        names = {address: name.removeprefix("token.") for name, address in net.addresses.items() if name.startswith("token.")}
        view = View(f"keeper demo, {'dry-run' if dry_run else 'live'}", names)
        with _shown(view, as_json):
            await play(net, settings, not dry_run, story, view, seed, _phase_of(as_json))
        rows = [_row(item, names) for item in story.settled] or [_dry_row(outcome) for outcome in story.dry.values()]
        _conclude(story, dry_run)
        if not keep:
            return rows
        await emit(rows, as_json, () if dry_run else COLUMNS)
        await _keep(net, settings, not dry_run)
    return None


async def ready_settings(net: Devnet, dry_run: bool) -> Settings:
    """The devnet's own config; for a live run with the executor deployed first."""
    settings = load(net.config, {})
    if dry_run:
        return settings
    deployed = (await deploy(settings))[0]["executor"]
    text = net.config.read_text().replace('mode = "dry-run"', 'mode = "live"')
    net.config.write_text(text.replace("[chains.executor]\n", f'[chains.executor]\naddress = "{deployed}"\n'))
    return load(net.config, {})


async def play(
    net: Devnet, settings: Settings, live: bool, story: Story, view: View, seed: int = 1, tell: Callable[[str], None] = lambda phase: None
) -> None:
    ready = asyncio.Event()

    def block(chain: str, report: BlockReport) -> None:
        ready.set()

    listeners = Listeners((story.block, view.block, block), (story.outcomes, view.outcomes), (story.took, view.settled))
    keeper = asyncio.create_task(run(settings, live, listeners=listeners))
    market = asyncio.create_task(_market(net, ready, story, view, seed, tell))
    try:
        await asyncio.wait({keeper, market}, return_when=asyncio.FIRST_COMPLETED)
        if keeper.done():
            keeper.result()
            raise Halt("the keeper ended before the market did")
        market.result()
    finally:
        for task in (keeper, market):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _market(net: Devnet, ready: asyncio.Event, story: Story, view: View, seed: int, tell: Callable[[str], None]) -> None:
    """Calm, crash, recovery; then a few blocks for what is still on its way, and more while the price of some lot has yet to fall."""
    prices = await net.prices()
    view.prices(prices)
    await ready.wait()
    for kind, steps in STEPS.items():
        view.phase(kind)
        tell(kind)
        for move in path(kind, steps, seed, await net.prices()):
            await _move(net, move, story, view)
    view.phase("settling")
    tell("settling")
    for _ in range(PATIENT_BLOCKS):
        if not story.waiting:
            break
        await net.next_block()
    for _ in range(SETTLE_BLOCKS):
        await net.next_block()


async def _move(net: Devnet, move: Mapping[str, int], story: Story, view: View) -> None:
    """To these prices; then blocks pass until the keeper is done with them: on a busy machine it needs more of them."""
    moved = 0

    def seen(block: int, prices: Mapping[str, int]) -> None:
        nonlocal moved
        moved = block
        view.prices(prices)

    await drive(net, [move], seen, QUIET_BLOCKS)
    for _ in range(PATIENT_BLOCKS):
        if story.idle_block >= moved:
            return
        await net.next_block()


async def _keep(net: Devnet, settings: Settings, live: bool) -> None:
    def ready() -> None:
        _say(f"the devnet and the keeper stay up; rpc {net.rpc}, config {net.config}; stop with Ctrl-C")

    await until_stopped(run(settings, live), ready)


# --- what is told -------------------------------------------------------------------------------------------------


def _shown(view: View, as_json: bool) -> AbstractContextManager[Any]:
    if as_json or not sys.stdout.isatty():
        return nullcontext()
    from rich.live import Live

    return Live(view, refresh_per_second=8, vertical_overflow="crop")


def _phase_of(as_json: bool) -> Callable[[str], None]:
    """Where there is no live view, the story is told on stderr."""
    live_view = sys.stdout.isatty() and not as_json
    return lambda phase: None if live_view else _say(f"market: {phase}")


def _row(item: Settled, names: Mapping[Any, str]) -> dict[str, Any]:
    plan = item.landed.plan
    return {
        "block": item.head.number,
        "market": plan.market,
        "account": plan.account,
        "pair": f"{names[plan.debt_token]} <- {names[plan.collateral_token]}",
        "funding": str(plan.funding.kind),
        "result": str(item.verdict),
        "reason": item.reason,
        "profit_token": names[plan.profit_token],
        "predicted_profit": item.predicted_profit,
        "realised_profit": item.realised_profit,
        "gas_predicted": item.landed.gas_predicted,
        "gas_used": item.landed.gas_used,
        "net_eth_wei": item.net_wei,
        "foreign": list(item.foreign),
        "gains": {names.get(token, token): amount for token, amount in item.gains.items()},
    }


def _dry_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "block": outcome.block,
        "market": outcome.market,
        "account": outcome.account,
        "result": str(outcome.verdict),
        "net_eth_wei": outcome.net_wei,
    }


def _conclude(story: Story, dry_run: bool) -> None:
    """Say how it ended on stderr, and refuse to call it well if it was not."""
    won = [item for item in story.settled if item.verdict is Verdict.WON]
    exact = [item for item in won if item.exact]
    left = ", ".join(f"{outcome.account[:10]}… {outcome.reason}" for outcome in list(story.left.values())[:6]) or "none"
    if dry_run:
        best = sum(outcome.net_wei for outcome in story.dry.values()) / 10**18
        _say(f"{len(story.dry)} accounts would have been liquidated; nothing was sent. As last planned they net {best:+.4f} eth after gas")
        if story.settled or not story.dry:
            raise Halt("a dry run must decide on something, and send nothing")
        return
    net = sum(item.net_wei for item in story.settled) / 10**18
    _say(f"{len(won)} liquidations won of {len(story.settled)} sent, {len(exact)} predicted to the wei, net {net:+.4f} eth after gas")
    _say(f"still liquidatable and left alone: {left}")
    if not won or len(exact) != len(won):
        raise Halt("predicted and realised profit differ")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
