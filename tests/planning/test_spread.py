"""A sale that moves the price is spread over several routes: nobody could divide it better, the chain pays what was predicted, and the
calls after it lose nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.app import Chain
from keeper.devnet import Devnet
from keeper.errors import Skip
from keeper.planning import choice
from keeper.planning.codec import plan_of, plan_text
from keeper.risk.watch import Candidate
from keeper.types import FundingKind, Prediction, Sale
from tests.adapters.morpho.test_planning import assert_realised, executor, landed
from tests.planning.test_planner import crashed

PERCENT = 80
MORE = 1.02
SHARES, COVERS = 24, 6
WITHIN = 0.995


class Blocks:
    """What the block's plans of some accounts come to."""

    def __init__(self, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chain, self.landing, self._patch = chain, chain.landing(chain.head), monkeypatch
        self._gas_price_wei = chain.planner.gas_price_wei(self.landing)

    def net_wei(self, *made: Prediction) -> int:
        return sum(self.chain.planner.net_wei(one, self._gas_price_wei) for one in made)

    def made(self, *candidates: Candidate, sides: int = choice.SIDES) -> list[Prediction]:
        """With at most so many routes beside the main one."""
        with self._patch.context() as patched:
            patched.setattr(choice, "SIDES", sides)
            return self.chain.planner.block(candidates, self.chain.view, self.landing)[0]

    def candidates(self) -> list[Candidate]:
        return list(self.chain.watch.candidates(self.chain.view, self.landing))


def spread(blocks: Blocks, kind: FundingKind) -> list[Prediction]:
    """The calls of the one account, alone, that gains most by it and is paid for that way."""
    gains = []
    for candidate in blocks.candidates():
        made = blocks.made(candidate)
        if any(call.plan.sides and call.plan.funding.kind is kind for call in made):
            gains.append((blocks.net_wei(*made) / max(blocks.net_wei(*blocks.made(candidate, sides=0)), 1), made))
    return max(gains, key=lambda gain: gain[0])[1]


@pytest.mark.parametrize("kind", [FundingKind.FLASH_LOAN, FundingKind.CALLBACK])
async def test_the_chain_pays_what_was_predicted(net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: FundingKind) -> None:
    to = await executor(net)
    async with crashed(net, tmp_path, PERCENT) as chain:
        blocks = Blocks(chain, monkeypatch)
        made = spread(blocks, kind)
        for prediction, receipt in zip(made, await landed(net, chain, to, made, blocks.landing), strict=True):
            assert_realised(prediction, receipt)
    assert any(len(call.plan.sides) > 1 for call in made) or kind is FundingKind.FLASH_LOAN


async def test_it_never_nets_less_and_with_one_account_that_is_large_much_more(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crashed(net, tmp_path, PERCENT) as chain:
        blocks = Blocks(chain, monkeypatch)
        gains = []
        for candidate in blocks.candidates():
            with_, without = (blocks.net_wei(*blocks.made(candidate, sides=sides)) for sides in (choice.SIDES, 0))
            assert with_ >= without
            gains.append(with_ / without if without > 0 else 1.0)
        together = [blocks.net_wei(*blocks.made(*blocks.candidates(), sides=sides)) for sides in (choice.SIDES, 0)]
    print(f"the most it gains: {max(gains):.3f}")
    assert max(gains) > MORE
    assert together[0] >= together[1]


def divided(made: Prediction) -> Iterator[Prediction]:
    """The plan with every division of its sale in so many parts, at amounts around its own."""
    plan = made.plan
    for step in range(COVERS + 1):
        cover = plan.cover * (100 - COVERS // 2 + step) // 100
        seized = made.seized * (100 - COVERS // 2 + step) // 100
        for one in range(SHARES):
            for other in range(SHARES - one if len(plan.sides) > 1 else 1):
                parts = [seized * share // SHARES for share in (one, other)]
                sides = tuple(Sale(side.route, part) for side, part in zip(plan.sides, parts, strict=False) if part)
                yield replace(made, plan=replace(plan, cover=cover, sides=sides))


async def test_no_division_of_it_nets_half_a_percent_more(net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with crashed(net, tmp_path, PERCENT) as chain:
        blocks = Blocks(chain, monkeypatch)
        call = spread(blocks, FundingKind.CALLBACK)[0]
        best = 0
        for one in divided(call):
            try:
                best = max(best, blocks.net_wei(chain.predictor.predict(one.plan, chain.view, blocks.landing.timestamp_s)))
            except Skip:
                continue
        assert blocks.net_wei(call) >= WITHIN * best > 0
        assert plan_of(plan_text(call.plan)) == call.plan
