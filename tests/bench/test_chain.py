"""Asking the chain for everybody's health: the copies are real to the node, and both ways come to the same accounts."""

from __future__ import annotations

from typing import Any

import pytest

from keeper.app import open_chain
from keeper.bench.bed import Bed
from keeper.bench.chain import HERE, MANY, Asking, agree, compared
from keeper.bench.clones import cells, clone
from keeper.config import load
from keeper.devnet import Devnet
from keeper.errors import Halt
from keeper.types import Audit, Read
from tests.markets import LENDING, only

COPIES = 120


def quiet(source: str, block: int, target: int) -> None:
    """Nobody watches the back-fill."""


async def test_copies_read_like_their_originals_on_the_node_and_in_the_book(net: Devnet) -> None:
    settings = only(load(net.config, {}), *LENDING)
    async with open_chain(settings, settings.chains[0], quiet, owned=False) as chain:
        await chain.catch_up()
        state, at_s = chain.view, chain.head.timestamp_s
        for market in chain.markets:
            audits = {account: market.audit(state, account, at_s) for account in market.accounts(state)}
            copies = await clone(net, {account: audit.read for account, audit in audits.items()}, COPIES)
            await net.request("anvil_setCode", HERE, "0x" + MANY.hex())
            read = next(iter(audits.values())).read
            asking = Asking(net.rpc, read, [copy.address for copy in copies], 50)
            replies = asking()
            asking.close()
            assert len({copy.address for copy in copies}) == len(replies) == COPIES
            agree(replies, [audits[copy.original] for copy in copies])
            chain.book.tables.write(cells(copies, market.columns, state))
            for copy in copies:
                assert market.audit(state, copy.address, at_s).words == audits[copy.original].words


async def test_one_call_for_many_gives_each_accounts_own_words(net: Devnet) -> None:
    market = net.population[0].market
    accounts = [borrower.address for borrower in net.population if borrower.market == market]
    single = [list(await net.read(f"{market}.pool", "getUserAccountData", account)) for account in accounts]
    data = net.encode(f"{market}.pool", "getUserAccountData", accounts[0])
    await net.request("anvil_setCode", HERE, "0x" + MANY.hex())
    for batch in (1, 7, 100):
        asking = Asking(net.rpc, Read(net.addresses[f"{market}.pool"], data), accounts, batch)
        assert [list(words) for words in asking()] == single
        asking.close()


async def test_a_call_that_reverts_is_an_error_and_not_a_figure(net: Devnet) -> None:
    market = net.population[0].market
    await net.request("anvil_setCode", HERE, "0x" + MANY.hex())
    asking = Asking(net.rpc, Read(net.addresses[f"{market}.pool"], b"\1\2\3\4"), net.borrowers[:2], 2)
    with pytest.raises(Halt, match="refused"):
        asking()
    asking.close()


def test_answers_that_differ_are_no_basis_for_a_comparison() -> None:
    audits: Any = [Audit(Read(HERE, b""), {0: 5, 2: 7})]
    agree([(5, 1, 7)], audits)
    with pytest.raises(Halt, match="differ"):
        agree([(5, 1, 8)], audits)


async def test_both_ways_run_over_the_same_accounts() -> None:
    bed = Bed(300)
    async with bed:
        looking, asking = await compared(bed)
        looking.recentre()
        found = looking(0)
        below = [words for words in asking() if words[5] < 10**18]
        assert len(asking()) == 300
        assert len(found) >= len(below)
        assert all(candidate.health.liquidatable for candidate in found)
        asking.close()
