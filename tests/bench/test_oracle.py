"""From an oracle's log to signed bytes: what is signed would earn, and every round is the same race."""

from __future__ import annotations

import orjson

from keeper.app import ANSWER_UPDATED
from keeper.bench.bed import Bed
from keeper.bench.oracle import EXECUTOR, SYMBOL, Race, races
from keeper.bench.signing import KEY
from keeper.execution.calls import calldata
from keeper.execution.signer import Signer, decode
from keeper.secret import Secret

CROWD = 300


def rows(race: Race) -> int:
    view = race.chain.view
    return sum(len(market.rows(view, account)) for market in race.chain.markets for account in market.accounts(view))


async def test_warm_and_cold_sign_the_same_transaction_round_after_round() -> None:
    bed = Bed(CROWD)
    async with bed:
        warm, cold = await races(bed, 2)
        warm.warm()
        plans = warm.plans()
        assert len(plans) >= 1
        assert all(plan.warm and plan.value_wei > 0 for plan in plans)
        for round_ in range(3):
            warm.mark()
            cold.mark()
            signed = warm.run(round_)
            assert signed == cold.run(round_)
            assert [decode(raw).data for raw in signed] == [calldata(plan, warm.chain.predictor, EXECUTOR) for plan in plans]
            assert [decode(raw).nonce for raw in signed] == [round_ + place for place in range(len(plans))]


async def test_looking_at_everybody_comes_to_the_same_transactions() -> None:
    bed = Bed(CROWD)
    async with bed:
        (race,) = await races(bed, 1)
        signed = race.run(7)
        race.mark()
        assert race.run_plainly(7) == signed


async def test_before_the_log_nobody_is_due_and_the_crowd_never_is() -> None:
    bed = Bed(CROWD)
    async with bed:
        (race,) = await races(bed, 1)
        view, watch = race.chain.view, race.chain.watch
        assert rows(race) > CROWD
        assert len(watch) == rows(race)
        before = watch.candidates(view, race.chain.landing(race.chain.head))
        plans = race.plans()
        assert not {plan.plan.account for plan in plans} & {candidate.account for candidate in before}
        race.mark()
        assert watch.candidates(view, race.chain.landing(race.chain.head)) == before


async def test_the_message_is_the_oracles_own_log() -> None:
    bed = Bed(CROWD)
    async with bed:
        (race,) = await races(bed, 1)
        token = next(token for token, symbol in race.chain.markets[0].tokens(race.chain.view).items() if symbol == SYMBOL)
        before = race.chain.markets[0].price(race.chain.view, token)
        race.plans()
        price = race.chain.markets[0].price(race.chain.view, token)
        assert before is not None
        assert price is not None
        assert 0.9 * before < price < before
        log = orjson.loads(race.message)["params"]["result"]
        assert (log["topics"][0], int(log["topics"][1], 16)) == (ANSWER_UPDATED, price)


def test_the_key_is_nobodys() -> None:
    assert Signer(Secret(KEY)).address == "0x1a642f0e3c3af545e7acbd38b07251b3990914f1"
