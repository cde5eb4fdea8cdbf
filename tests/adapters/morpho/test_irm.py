"""Rate models: the adaptive curve to the wei against a contract, and models known or refuted by what they said."""

from __future__ import annotations

import random

import pytest

from keeper.adapters.morpho_blue import interest, irm, rules
from keeper.adapters.morpho_blue.cells import Totals
from keeper.adapters.morpho_blue.irm import Model
from keeper.devnet import Devnet
from keeper.devnet.genesis import morpho
from keeper.devnet.genesis.morpho import MARKETS
from keeper.devnet.names import DEPLOYER, derived
from keeper.errors import Skip
from keeper.fixedpoint import WAD
from keeper.types import ZERO_ADDRESS
from tests.adapters.chain import NodeReader
from tests.adapters.morpho import truth
from tests.adapters.morpho.conftest import Followed, followed_by, trusted
from tests.adapters.morpho.world import LIQUIDATOR


async def test_the_adaptive_rate_is_the_contracts_for_any_sums_at_any_time(devnet: Devnet) -> None:
    rng = random.Random(3)
    params = morpho.params(devnet.addresses, MARKETS[0])
    (target,) = await devnet.read("morpho.irm", "rateAtTarget", bytes.fromhex(morpho.market_id(devnet.addresses, MARKETS[0])[2:]))
    now_s = int((await devnet.request("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    for _ in range(300):
        supplied = rng.choice([0, 1, 10**6, rng.getrandbits(90)])
        borrowed = rng.choice([0, supplied, supplied * 9 // 10, rng.randrange(supplied + 1)])
        elapsed_s = rng.choice([0, 1, 12, 3600, 10**6, 10**8, 10**9])
        totals = Totals(supplied, 0, borrowed, 0, now_s - elapsed_s, 0, target, 0)
        (rate,) = await devnet.read("morpho.irm", "borrowRateView", params, (supplied, 0, borrowed, 0, now_s - elapsed_s, 0), time=now_s)
        assert irm.adaptive_rate(totals, now_s)[0] == rate


@pytest.mark.parametrize(
    ("x", "expected"), [(0, WAD), (irm.LN_WEI - 1, 0), (irm.EXP_BOUND, irm.EXP_MOST), (irm.LN_2, 2 * WAD), (-irm.LN_2, WAD // 2)]
)
def test_the_exponential_is_exact_where_it_can_be(x: int, expected: int) -> None:
    assert irm.exponential(x) == expected


def test_interest_compounds_by_three_terms() -> None:
    assert rules.compounded(WAD, 1) == WAD + WAD // 2 + WAD // 6
    assert rules.compounded(10**9, 10**6) == 10**15 + 5 * 10**11 + 166_666_666


def test_a_model_that_never_spoke_is_unknown_and_one_that_always_said_the_same_is_fixed() -> None:
    assert irm.recognised(refuted=0, seen=0, told=0) is Model.UNKNOWN
    assert irm.recognised(refuted=0, seen=1, told=5) is Model.ADAPTIVE
    assert irm.recognised(refuted=Model.ADAPTIVE, seen=1, told=5) is Model.FIXED
    assert irm.recognised(refuted=Model.ADAPTIVE, seen=1, told=0) is Model.UNKNOWN
    assert irm.recognised(refuted=Model.ADAPTIVE | Model.FIXED, seen=1, told=5) is Model.UNKNOWN


async def test_the_devnets_models_are_recognised_and_one_that_changes_its_mind_is_refuted(followed: Followed) -> None:
    run, wild = followed, morpho.HOSTILE[2]
    await run.prepare()
    assert model(run, MARKETS[0]) is Model.ADAPTIVE
    assert model(run, wild) is Model.FIXED
    await run.mine([run.world.call(LIQUIDATOR, "accrueInterest", wild)])
    assert model(run, wild) is Model.UNKNOWN
    assert model(run, MARKETS[0]) is Model.ADAPTIVE
    await run.mine(step_s=30 * 86_400)
    with pytest.raises(Skip, match="unknown_irm"):
        run.market.pairs(run.tables, derived(wild.name), run.now_s)


async def test_a_model_that_only_ever_said_the_same_is_believed_where_the_operator_listed_the_market(
    net: Devnet, reader: NodeReader
) -> None:
    """Under the rule it is not: it may say something else next."""
    wild = morpho.HOSTILE[2]
    by_rule = await followed_by(net, reader, trusted(net))
    await by_rule.prepare()
    await by_rule.mine([by_rule.world.set_price("WETH", 2300 * 10**8)])
    assert model(by_rule, wild) is Model.FIXED
    with pytest.raises(Skip, match="unknown_irm"):
        by_rule.market.pairs(by_rule.tables, derived(wild.name), by_rule.now_s)
    listed = await followed_by(net, reader, {**trusted(net), "markets": [morpho.market_id(net.addresses, wild)]})
    assert listed.market.pairs(listed.tables, derived(wild.name), by_rule.now_s)


def model(run: Followed, market: morpho.Market) -> Model:
    params = run.market.cells.params(run.tables, morpho.market_id(run.net.addresses, market))
    return interest.model(run.market.cells, run.tables, params, truth.totals_of(run, market))


async def test_a_market_without_a_model_charges_nothing_ever(followed: Followed) -> None:
    run, market, user = followed, MARKETS[0], followed.world.users[0]
    await run.prepare()
    loan, collateral, oracle, _, lltv = morpho.params(run.net.addresses, market)
    params = (loan, collateral, oracle, ZERO_ADDRESS, lltv)
    await run.net.call(DEPLOYER, "morpho.blue", "enableIrm", ZERO_ADDRESS)
    await run.net.call(user, "morpho.blue", "createMarket", params)
    await run.net.call(user, "morpho.blue", "supply", params, 10**9, 0, user, b"")
    await run.net.call(user, "morpho.blue", "supplyCollateral", params, 10**18, user, b"")
    await run.net.call(user, "morpho.blue", "borrow", params, 10**9, 0, user, user)
    await run.indexer.sync()
    market_id = next(found for found in run.numbers() if run.market.cells.params(run.tables, found).irm == ZERO_ADDRESS)
    now = run.market.cells.totals(run.tables, market_id)
    assert (now.supplied, now.borrowed) == (10**9, 10**9)
    assert interest.at(run.market.cells, run.tables, run.market.cells.params(run.tables, market_id), run.now_s + 10**8) == now
