"""What a block's plans net together is what any order of the accounts, any pair, way and amount would have netted, but for a hundredth.

Brute force: every order of a few accounts that sell into the same pools; at each place every pair, route and funding at a dozen amounts,
and the best of them at a hundred more around it. `OPTIMUM_ACCOUNTS=4 OPTIMUM_AMOUNTS=1000` for more of both: some minutes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.app import Chain
from keeper.book.state import Overlay
from keeper.devnet import Devnet
from keeper.errors import Skip
from keeper.planning.planner import CALLS_PER_ACCOUNT
from keeper.ports import View
from keeper.risk.watch import Candidate
from keeper.types import Plan, Prediction
from tests.planning.test_planner import crashed, plans

TOGETHER = int(os.environ.get("OPTIMUM_ACCOUNTS", "3"))
AMOUNTS = int(os.environ.get("OPTIMUM_AMOUNTS", "100"))
SHARE = 0.99


class Search:
    """On one block."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.landing = chain, chain.landing(chain.head)
        self._gas_price_wei = chain.planner.gas_price_wei(self.landing)

    def net_wei(self, made: Prediction) -> int:
        return self.chain.planner.net_wei(made, self._gas_price_wei)

    def made(self, some: Iterator[Plan], state: View) -> Iterator[Prediction]:
        for plan in some:
            try:
                yield self.chain.predictor.predict(plan, state, self.landing.timestamp_s)
            except Skip:
                continue

    def best(self, candidate: Candidate, state: View) -> Prediction | None:
        """By trying all."""
        coarse = max(self.made(plans(self.chain, candidate, self.landing, state), state), key=self.net_wei, default=None)
        return max((coarse, *self.made(_finer(coarse.plan), state)), key=self.net_wei) if coarse else None

    def calls(self, candidate: Candidate, state: Overlay) -> int:
        """What all of an account's calls net, one after another, until no further one pays."""
        total = 0
        for _ in range(CALLS_PER_ACCOUNT):
            made = self.best(candidate, state)
            if made is None or self.net_wei(made) <= 0:
                break
            total += self.net_wei(made)
            state.write(made.writes)
        return total

    def most_wei(self, candidates: Sequence[Candidate], state: View) -> int:
        """In the best order."""
        found = [0]
        for candidate in candidates:
            after = Overlay(state)
            total = self.calls(candidate, after)
            found.append(total + self.most_wei([other for other in candidates if other is not candidate], after))
        return max(found)


def _finer(plan: Plan) -> Iterator[Plan]:
    """So many amounts from a twentieth below the plan's own to a twentieth above."""
    for step in range(AMOUNTS):
        cover = plan.cover * (10 * AMOUNTS - AMOUNTS // 2 + step) // (10 * AMOUNTS)
        yield replace(plan, cover=cover, funding=replace(plan.funding, amount=cover))


def rivals_for_a_pool(search: Search, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The accounts whose best plans sell into the same pool, the most profitable first."""
    best = [(made, candidate) for candidate in candidates if (made := _alone(search, candidate))]
    best.sort(key=lambda item: -search.net_wei(item[0]))
    pools = [{hop.pool.address for hop in made.hops} for made, _ in best]
    shared = max((pool for found in pools for pool in found), key=lambda pool: sum(pool in found for found in pools))
    return [candidate for (_, candidate), found in zip(best, pools, strict=True) if shared in found][:TOGETHER]


def _alone(search: Search, candidate: Candidate) -> Prediction | None:
    try:
        return search.chain.planner.best(candidate, search.chain.view, search.landing.timestamp_s, 0)
    except Skip:
        return None


@pytest.mark.parametrize("percent", [95, 80])
async def test_no_order_pair_way_or_amount_nets_a_hundredth_more_than_the_blocks_plans(net: Devnet, tmp_path: Path, percent: int) -> None:
    async with crashed(net, tmp_path, percent) as chain:
        search = Search(chain)
        together = rivals_for_a_pool(search, chain.watch.candidates(chain.view, search.landing))
        assert len(together) == TOGETHER
        made, _ = chain.planner.block(together, chain.view, search.landing)
        ours = sum(search.net_wei(item) for item in made)
        most = search.most_wei(together, chain.view)
        print(f"{ours / most:.4f} of the most that can be extracted")
        assert ours >= SHARE * most > 0
