"""Reorgs: a block that is undone leaves nothing behind, in the tables or in the market."""

from __future__ import annotations

from random import Random

from keeper.testing.adapter.case import Case
from keeper.testing.adapter.expect import alike, require
from keeper.testing.adapter.follower import Follower
from keeper.types import Address, Head

BRANCH_BLOCKS = 3


class Undoing:
    async def test_undone_blocks_leave_nothing_behind(self, case: Case) -> None:
        """Every cell of every table, and every answer, is as it was before the block."""
        follower = await case.follower()
        past = [(follower.cells(), _answers(case, follower))]
        for head in case.life.heads[1:]:
            await follower.advance([head])
            past.append((follower.cells(), _answers(case, follower)))
        require(past[0][0] != past[-1][0], "nothing has happened to the market")
        for cells, answers in reversed(past[:-1]):
            gone = follower.undo()
            alike(follower.cells(), cells, f"cells after block {gone.number} was undone")
            alike(_answers(case, follower), answers, f"rows and health after block {gone.number} was undone", None)

    async def test_the_other_branch_of_a_reorg_is_as_if_there_were_no_other(self, case: Case) -> None:
        straight, forked = await _at_the_end(case), await _at_the_end(case)
        left = await _branch(case, "left", forked, [])
        await _branch(case, "right", forked, left, straight)
        alike(forked.cells(), straight.cells(), "cells of a branch reached through another, beside those of one reached straight")
        alike(_answers(case, forked), _answers(case, straight), "rows and health on a branch reached through another", None)


def _answers(case: Case, follower: Follower) -> dict[Address, object]:
    """At a fixed time, so that only the state decides."""
    market, view, at_s = follower.market, follower.view, case.life.last.timestamp_s
    accounts = {*case.deployment.accounts, *market.accounts(view)}
    return {account: (market.rows(view, account), market.health(view, account, at_s)) for account in accounts}


async def _at_the_end(case: Case) -> Follower:
    (*_, last) = await case.states()
    return Follower(await case.open(), case.reader, last.head, last.view.cells())


async def _branch(case: Case, label: str, first: Follower, undo: list[Head], *others: Follower) -> list[Head]:
    """Some blocks from the end of life on, followed and gone again; `first` comes from those in `undo`."""
    rng = Random(f"{case.life.seed} {label}")
    async with case.life.more() as more:
        heads = [await more.block(await case.deployment.happens(case.life.node, rng)) for _ in range(BRANCH_BLOCKS)]
        await first.advance(heads, undo[::-1])
        for other in others:
            await other.advance(heads)
    return heads
