"""An offered liquidation, tried: its steps run on the node, on the state it was offered on, by a liquidator who has every token."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from keeper.book.book import Routes
from keeper.book.state import Overlay, Tables
from keeper.errors import Skip
from keeper.ports import Market, View
from keeper.testing.adapter.expect import Nonconformity
from keeper.testing.adapter.life import LIQUIDATOR, Life
from keeper.testing.adapter.run import Run, refusal
from keeper.types import Action, Address, Fill, Head, Pair

A_STATE = 4
"""Accounts tried at one state, at most."""


@dataclass(frozen=True)
class Attempt:
    """`moved`: what the liquidator got of each token, less what it paid. `after`: the state that the logs of the steps, and the reads after
    them, leave. `error`: why the chain refused, "" when it did not."""

    market: Market
    view: Tables
    head: Head
    at_s: int
    pair: Pair
    fill: Fill
    steps: tuple[Action, ...]
    error: str
    moved: dict[Address, int]
    gas: int
    after: Overlay

    @property
    def what(self) -> str:
        fill = self.fill
        return f"{fill.kind} {fill.account} at block {self.head.number}: {fill.cover} of {fill.debt_token} for {fill.collateral_token}"


def offered(market: Market, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
    """Nothing where a rule forbids everything."""
    try:
        return market.pairs(view, account, at_s)
    except Skip:
        return ()


async def attempts_on(life: Life, market: Market, view: Tables, head: Head, at_s: int, rng: Random) -> list[Attempt]:
    """Some accounts' pairs, each at every amount offered and at one in between."""
    due = [account for account in sorted(market.accounts(view)) if market.health(view, account, at_s).liquidatable]
    pairs = [pair for account in rng.sample(due, min(A_STATE, len(due))) for pair in offered(market, view, account, at_s)]
    passing = life.deployment.passing
    fills = [(pair, fill) for pair in pairs for fill in _fills(market, view, pair, at_s, rng, passing)]
    return [await attempt(life, market, view, head, at_s, pair, fill) for pair, fill in fills]


def _fills(market: Market, view: View, pair: Pair, at_s: int, rng: Random, passing: Collection[str]) -> list[Fill]:
    """Raises Nonconformity where an amount of the market's own is refused, but for a reason that passes."""
    fills = []
    for cover in pair.amounts:
        try:
            fills.append(market.fill(view, pair, cover, at_s))
        except Skip as skip:
            if skip.reason in passing:
                continue
            raise Nonconformity(f"pairs offers {cover} of {pair.debt_token} for {pair.account}, and fill refuses it: {skip}") from None
    try:
        between = rng.randint(1, max(pair.amounts[-1], 1))
        fills.append(market.fill(view, pair, between, at_s))
    except Skip:
        pass
    return fills


async def attempt(life: Life, market: Market, view: Tables, head: Head, at_s: int, pair: Pair, fill: Fill) -> Attempt:
    """Run the fill's steps in the block after `head`, at `at_s`."""
    run = Run(life, head, at_s)
    steps = await run.patched(market.encode(fill, LIQUIDATOR))
    tokens, reads = tuple(dict.fromkeys((fill.debt_token, fill.collateral_token))), market.reads(view)
    results, after = await run.whole(steps, tokens, reads), Overlay(view)
    error = refusal(market, steps, results.steps)
    if not error:
        logs = run.logs(results.steps)
        Routes([market], after).apply(logs, after)
        wanted = market.reads(after)
        replies = results.replies if wanted == reads else (await run.whole(steps, tokens, wanted)).replies
        after.write(market.absorb(replies, Overlay(after)))
    return Attempt(market, view, head, at_s, pair, fill, steps, error, results.moved, results.gas, after)
