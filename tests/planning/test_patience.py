"""A deal left for later leaves no trace in the plans of the others; a lot stands as the market's own oracle and the pools have it."""

from __future__ import annotations

import random
from pathlib import Path

from keeper.app import Chain
from keeper.bidding.auction import Decision, Standing
from keeper.devnet import Devnet
from keeper.devnet.genesis.yields import MARKET
from keeper.devnet.names import derived
from keeper.errors import Skip
from keeper.planning.patience import Patience
from keeper.planning.planner import Planner
from keeper.ports import Market, View
from keeper.types import Address, Prediction
from tests.planning.test_planner import crashed

STARTER = derived("tests: starts auctions")
FEE_WEI = 10**8
BLOCK_S = 12


class Refusing(Patience):
    """Finds these accounts worth waiting for."""

    def __init__(self, accounts: set[Address]) -> None:
        self._accounts = accounts

    def require(self, market: Market, made: Prediction, view: View, gas_price_wei: int) -> None:
        if made.plan.account in self._accounts:
            raise Skip("waiting")


class Never:
    """At no price."""

    def __init__(self) -> None:
        self.asked: list[Standing] = []

    def decide(self, standing: Standing) -> Decision:
        self.asked.append(standing)
        return Decision(False, 0, "nobody")


async def test_who_waits_is_not_there_for_those_who_do_not(net: Devnet, tmp_path: Path) -> None:
    """The pools they share are not moved."""
    async with crashed(net, tmp_path, 75) as chain:
        landing, rng = chain.landing(chain.head), random.Random(1)
        candidates = chain.watch.candidates(chain.view, landing)
        for share in (0.2, 0.5, 0.8):
            waiting = {candidate.account for candidate in candidates if rng.random() < share}
            patient = Planner(chain.predictor, FEE_WEI, 100, patience=Refusing(waiting))
            plans, rejected = patient.block(candidates, chain.view, landing)
            alone = Planner(chain.predictor, FEE_WEI, 100).block([c for c in candidates if c.account not in waiting], chain.view, landing)
            assert plans == alone[0]
            assert len({plan.plan.account for plan in plans}) > 3
            assert {no.candidate.account for no in rejected if no.reason == "waiting"} <= waiting
            assert any(no.reason == "waiting" for no in rejected)


async def start_auctions(net: Devnet) -> None:
    """Of all vaults that are under water."""
    await net.request("anvil_setBalance", STARTER, hex(10**24))
    for vault in net.vaults:
        data = net.encode("yield.witch", "auction", bytes.fromhex(vault.address[2:26]), STARTER)
        await net.send(STARTER, net.addresses["yield.witch"], data, gas=1_000_000)
    await net.mine()


async def test_only_lots_whose_price_falls_are_waited_for_and_each_stands_as_it_is_predicted(net: Devnet, tmp_path: Path) -> None:
    """On one state, since none of them is bought."""
    async with crashed(net, tmp_path, 97) as chain:
        await start_auctions(net)
        await chain.catch_up()
        await net.mine(chain.head.timestamp_s + 600)
        await chain.catch_up()
        landing, never = chain.landing(chain.head), Never()
        lots = [c for c in chain.watch.candidates(chain.view, landing) if c.market_name == MARKET]
        planner = Planner(chain.predictor, FEE_WEI, 100, patience=Patience(chain.predictor, never, BLOCK_S))
        plans, rejected = planner.block(lots, chain.view, landing)
        assert not plans
        assert never.asked
        details = {str(no.candidate.account): no.detail for no in rejected if no.reason == "waiting"}
        market, price = lots[0].market, planner.gas_price_wei(landing)
        for standing in never.asked:
            (candidate,) = [c for c in lots if c.account == standing.account]
            now = planner.best(candidate, chain.view, landing.timestamp_s, price)
            later = chain.predictor.predict(now.plan, chain.view, landing.timestamp_s + BLOCK_S)
            asked = market.value(chain.view, now.plan.debt_token, now.repaid)
            ether = market.value(chain.view, chain.settings.native_token, 10**18)
            assert asked
            assert ether
            assert standing.price_wei == asked * 10**18 // ether
            assert (standing.lot, standing.cost_wei) == (now.seized, now.gas * price)
            assert standing.value_wei - standing.price_wei == worth_wei(chain, market, now)
            assert standing.gain_wei == worth_wei(chain, market, later) - worth_wei(chain, market, now) > 0
            assert details[standing.account] == f"margin {standing.margin_bps / 100:.2f} % < any (nobody)"


def worth_wei(chain: Chain, market: Market, made: Prediction) -> int:
    return sum(chain.predictor.value_wei(market, chain.view, token, amount) for token, amount in made.gains.items())
