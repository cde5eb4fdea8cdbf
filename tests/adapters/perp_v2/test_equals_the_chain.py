"""From logs alone, every number of every account is the chain's, to the wei: now and at times to come."""

from __future__ import annotations

from random import Random

import pytest

from keeper.adapters.perp_v2 import PerpV2
from keeper.adapters.perp_v2.market import PerpV2Market
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.perp_v2.curie import Curie
from tests.adapters.perp_v2.play import Play
from tests.adapters.perp_v2.truth import differences, marks, questions

AHEAD_S = (1, 9, 60, 300, 901, 1801, 5000)


async def compared(curie: Curie, market: PerpV2Market, indexer: Indexer, reader: NodeReader, play: Play, ahead_s: int) -> int:
    head = await indexer.sync()
    at_s = head.timestamp_s + ahead_s
    others = play.rng.sample(list(market.accounts(indexer.tables)), 3)
    asked = list(marks(curie, market, indexer.tables, at_s))
    for account in [*play.everyone, *others]:
        asked += questions(curie, market, indexer.tables, account, at_s)
    wrong = await differences(reader, asked, at_s)
    assert not wrong, (head.number, ahead_s, wrong)
    return len(asked)


@pytest.mark.parametrize("seed", [21, 22, 23])
async def test_every_number_is_the_chains(curie: Curie, reader: NodeReader, seed: int) -> None:
    play = Play(curie, Random(seed))
    await play.begin()
    market = await PerpV2().open(reader, "test", curie.at("clearing_house"), None)
    assert isinstance(market, PerpV2Market)
    indexer = Indexer(reader, market)
    count = await compared(curie, market, indexer, reader, play, 0)
    play.crowd = sorted(set(market.accounts(indexer.tables)) - set(play.everyone))
    for _ in range(140):
        await play.step()
        count += await compared(curie, market, indexer, reader, play, 0)
        if play.rng.random() < 0.3:
            count += await compared(curie, market, indexer, reader, play, play.rng.choice(AHEAD_S))
    print(f"seed {seed}: {count} comparisons; {dict(play.done)}")
