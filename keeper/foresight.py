"""What a running chain does between heads: measure its prices, certify the next ticks, and plan the accounts that may be due next.

Nothing here decides anything: it only makes what comes faster.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

import orjson

from keeper.app import Chain, ChainState
from keeper.errors import Skip
from keeper.fixedpoint import YEAR_S
from keeper.outlook import Outlook, is_pegged, measured, outlook, price_factor
from keeper.ports import Clocked, Market, View
from keeper.risk.hazard import expected_wei
from keeper.risk.watch import Candidate
from keeper.types import Address, Factor, Head, Landing

NEAREST = 128
"""Accounts, by distance, of which the likeliest to pay are looked for."""

WARMED = 64
"""Accounts whose plans are kept ready."""

SCALE_S = 3600
"""What a factor moves in so long is the yardstick of its certificates. Only their proportions matter."""

HEADS_A_SAVE = 50

MOMENTS = 8
"""So many bends of a market's factors are looked at,"""

HORIZON_S = 1800
"""and none further ahead."""

WAIT_S = 1e-4


class Foresight:
    """Of one chain. `path`: where the measured volatility survives a restart."""

    def __init__(self, chain: ChainState, outlook: Outlook, path: Path) -> None:
        self._chain, self._outlook, self._path = chain, outlook, path
        self._heads, self._scaled = 0, 0

    @classmethod
    async def open(cls, chain: Chain, path: Path) -> Self:
        """With what was measured before, else with what the node remembers. A file that cannot be read counts as none."""
        kept = measured(chain.markets, chain.view, (), chain.head.timestamp_s)
        with suppress(OSError, ValueError, TypeError, LookupError):
            kept.restore(orjson.loads(await asyncio.to_thread(path.read_bytes)), chain.head.timestamp_s)
            return cls(chain, Outlook(kept), path)
        return cls(chain, await outlook(chain), path)

    async def prepare(self, head: Head) -> bool:
        """All that can be prepared at a head; False when the next one came before it was done."""
        self._measure(head)
        while work := self._chain.watch.work():
            await asyncio.to_thread(work.run, self._give_way)  # what happens meanwhile is told apart when they are adopted
            self._chain.watch.adopt(work)
        await self._save()
        return await self._warm(head)

    def _give_way(self) -> None:
        """In the thread: a tick does not share its processor."""
        while self._chain.watch.engine.ticking:
            time.sleep(WAIT_S)

    # --- volatility

    def _measure(self, head: Head) -> None:
        view, volatility = self._chain.view, self._outlook.volatility
        for market in self._chain.markets:
            self._meet(market)
            for token in market.tokens(view):
                price = market.price(view, token)
                if price:
                    volatility.observe(price_factor(market, token), price, head.timestamp_s)
        self._heads += 1
        factors = self._chain.watch.engine.factors
        if self._heads % HEADS_A_SAVE == 1 or len(factors) != self._scaled:
            self._scale()
            self._scaled = len(factors)

    def _meet(self, market: Market) -> None:
        """Listed since, or not in the file: what is new is taken for what it looks like."""
        volatility, view = self._outlook.volatility, self._chain.view
        if not {price_factor(market, token) for token in market.tokens(view)}.issubset(volatility.factors):
            for feed in market.feeds(view):
                volatility.add(price_factor(market, feed.token), is_pegged(feed))

    def _scale(self) -> None:
        """The engine's yardsticks."""
        factors, known = self._chain.watch.engine.factors, frozenset(self._outlook.volatility.factors)
        for market in self._chain.markets:
            for column, factor in enumerate(factors.names):
                token = market.token_of(self._chain.view, factor) if factor[:1] == (market.name,) else None
                if token and price_factor(market, token) in known:
                    factors.scale[column] = self._expected_move(price_factor(market, token))

    async def _save(self) -> None:
        """Now and then. A disk that takes nothing costs a restart its history, nothing else."""
        if self._heads % HEADS_A_SAVE == 0:
            text = orjson.dumps(self._outlook.volatility.state())
            with suppress(OSError):
                await asyncio.to_thread(_replace, self._path, text)

    # --- plans ahead

    async def _warm(self, head: Head) -> bool:
        """Plan the accounts that are worth waiting for, one at a time; False when the next head came before all were."""
        chain, landing = self._chain, self._chain.landing(head)
        due = await self._due(landing)
        planned = {(candidate.market_name, candidate.account) for candidate, _ in due}
        others = [candidate for candidate in await self._near() if (candidate.market_name, candidate.account) not in planned]
        near = [(candidate, landing) for candidate in self._ranked(others)[: WARMED - len(due)]]
        if chain.head.hash != head.hash:
            return False
        chain.prewarmer.keep((candidate.market_name, candidate.account) for candidate, _ in due + near)
        for candidate, when in due + near:
            await asyncio.sleep(0)
            if chain.head.hash != head.hash:
                return False
            chain.prewarmer.warm(candidate, chain.view, when)
        return True

    async def _due(self, landing: Landing) -> list[tuple[Candidate, Landing]]:
        """Accounts that time alone makes liquidatable, each at the first moment known to; the soonest first."""
        watch, view = self._chain.watch, self._chain.view
        found: dict[tuple[str, Address], tuple[Candidate, Landing]] = {}
        for market in self._chain.markets:
            for moment in moments(market, view, landing.timestamp_s):
                rows = await asyncio.to_thread(watch.due(market, view, moment))
                for candidate in watch.named(rows, view, moment):
                    if candidate.market is market and candidate.health.liquidatable:
                        found.setdefault((market.name, candidate.account), (candidate, replace(landing, timestamp_s=moment)))
        return sorted(found.values(), key=lambda due: due[1].timestamp_s)[:WARMED]

    async def _near(self) -> list[Candidate]:
        """Accounts that are not liquidatable yet, but nearest to it. Every account is looked at, in a thread."""
        watch, found = self._chain.watch, await asyncio.to_thread(self._chain.watch.engine.nearest(NEAREST))
        near = watch.named(found, self._chain.view, self._chain.landing(self._chain.head).timestamp_s)
        return [candidate for candidate in near if candidate.health.debt and not candidate.health.liquidatable]

    def _expected_move(self, price: Factor) -> float:
        """Within `SCALE_S`, relative."""
        return self._outlook.volatility.annual(price) * math.sqrt(SCALE_S / YEAR_S)

    def _ranked(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """By what waiting for them is worth: probability × bonus."""
        of_market = defaultdict[str, list[Candidate]](list)
        for candidate in candidates:
            of_market[candidate.market_name].append(candidate)
        worth = [pair for mine in of_market.values() for pair in zip(self._expected(mine), mine, strict=True)]
        return [candidate for _, candidate in sorted(worth, key=lambda pair: pair[0], reverse=True)]

    def _expected(self, candidates: Sequence[Candidate]) -> list[float]:
        market, view = candidates[0].market, self._chain.view
        per_unit = market.margin(view) * self._unit_wei(candidates)
        found = self._outlook.hazards(market, view, [candidate.health for candidate in candidates])
        return [expected_wei(hour, int(candidate.health.debt * per_unit)) for (hour, _), candidate in zip(found, candidates, strict=True)]

    def _unit_wei(self, candidates: Iterable[Candidate]) -> float:
        """What the market's unit of value is worth, by the first debt that has a price; 0 where none has."""
        for candidate in candidates:
            for leg in candidate.health.legs:
                if leg.side == "debt" and leg.value:
                    with suppress(Skip):
                        return self._chain.predictor.value_wei(candidate.market, self._chain.view, leg.token, leg.amount) / leg.value
        return 0.0


def moments(market: Market, view: View, at_s: int) -> Iterator[int]:
    """When time alone bends a factor, the next ones."""
    if not isinstance(market, Clocked):
        return
    until_s = at_s + HORIZON_S
    for _ in range(MOMENTS):
        moment = market.next_change(view, at_s)
        if moment is None or moment > until_s:
            return
        yield moment
        at_s = moment


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".new")
    partial.write_bytes(content)
    os.replace(partial, path)
