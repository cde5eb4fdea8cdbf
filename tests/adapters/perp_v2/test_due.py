"""Funding alone, second by second, makes an account liquidatable: at the second that was predicted, by the contracts' own word."""

from __future__ import annotations

from math import isqrt

import pytest

from keeper.coming import due_at
from keeper.types import Address
from tests.adapters.perp_v2.test_liquidation import Stage, entered, stage
from tests.adapters.perp_v2.test_upcoming import says

__all__ = ["stage"]

PREMIUM_PERCENT = 8
SETTLED_S = 3_600
"""All means have caught up by then: from there on nothing but funding moves."""


async def paying(stage: Stage, short: bool) -> Address:
    """Somebody on the side that pays, once nothing moves any more but what he owes."""
    play = stage.play
    away = play.prices["ETH"] * (100 - PREMIUM_PERCENT if short else 100 + PREMIUM_PERCENT) // 100
    await play.open(play.keeper, "ETH", short, 3_000_000, limit=isqrt((away << 192) // 10**8))
    await play.wait(SETTLED_S)
    who = await entered(stage, "one", "ETH", short, 1_000, 9_500)
    await play.wait(SETTLED_S)
    return who


@pytest.mark.parametrize("short", [False, True])
async def test_who_pays_funding_is_due_at_the_second_that_was_told(stage: Stage, short: bool) -> None:
    who = await paying(stage, short)
    at_s = await stage.upcoming_s()
    due_s = due_at(stage.market, stage.indexer.tables, who, at_s)
    assert due_s is not None
    assert due_s - at_s > 60
    assert stage.market.account(stage.indexer.tables, who, due_s).positions[0].funding > 0
    assert [await says(stage, who, when) for when in (due_s - 1, due_s)] == [False, True]
