"""In every demo perpetuals are liquidated in every way there is, each for what was predicted, to the wei: by the receipts' own logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from keeper.adapters.perp_v2.codec import signed_word, topic, topic_address
from keeper.ledger.settle import Settled
from keeper.types import Address, Log, Verdict
from keeper.types.holding import EXIT, FEE, INHERITED
from tests.e2e.played import Played

pytestmark = pytest.mark.timeout(300)

CHANGED = topic("PositionChanged(address,address,int256,int256,uint256,int256,int256,uint256)")
LIQUIDITY = topic("LiquidityChanged(address,address,address,int24,int24,int256,int256,int128,uint256)")
BAD_DEBT = topic("BadDebtSettled(address,uint256)")
BOUGHT = topic("CollateralLiquidated(address,address,address,uint256,uint256,uint256,uint24)")
EXCHANGED, NOTIONAL_LEFT = 0, 3
"""Words of `CHANGED`."""


def won(played: Played) -> list[Settled]:
    played.judged("perp")
    return [item for item in played.story.settled if item.verdict is Verdict.WON and played.markets[item.landed.plan.market] == "perp"]


def about(item: Settled, name: str) -> Iterator[Log]:
    """Its logs of an event that are about the account."""
    account = item.landed.plan.account
    return (log for log in item.landed.logs if log.topics[0] == name and topic_address(log.topics[1]) == account)


def part(item: Settled) -> bool:
    return any(signed_word(log.data, NOTIONAL_LEFT) for log in list(about(item, CHANGED))[-1:])


def whole(item: Settled) -> bool:
    return any(not signed_word(log.data, NOTIONAL_LEFT) for log in list(about(item, CHANGED))[-1:])


def of_side(item: Settled, side: int) -> bool:
    """The account is rid of a long by selling, of a short by buying."""
    return any(signed_word(log.data, EXCHANGED) * side < 0 for log in list(about(item, CHANGED))[-1:])


def of(name: str) -> Callable[[Settled], bool]:
    return lambda item: any(about(item, name))


KINDS: Mapping[str, Callable[[Settled], bool]] = {
    "a part": part,
    "a whole position": whole,
    "a long": lambda item: of_side(item, 1),
    "a short": lambda item: of_side(item, -1),
    "a maker": of(LIQUIDITY),
    "bad debt": of(BAD_DEBT),
    "collateral": of(BOUGHT),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_demo_wins_every_kind_of_liquidation_to_the_wei(played: Played, kind: str) -> None:
    found = [item for item in won(played) if KINDS[kind](item)]
    assert found
    assert [item for item in found if item.predicted_profit != item.realised_profit or not item.exact] == []


def test_where_the_money_of_a_position_came_from_and_went_is_told_to_the_last_unit(played: Played) -> None:
    """Taken over at the mark with a part of the penalty, traded away at a loss against it, for a fee."""
    traded = [item for item in won(played) if item.landed.plan.target]
    assert [item for item in traded if sum(amount for _, amount in item.parts) // 10**12 != item.realised_profit] == []
    parts = [dict(item.parts) for item in traded]
    assert all(part[INHERITED] > 0 > part[FEE] for part in parts)
    assert any(part[EXIT] < 0 for part in parts)


def test_one_account_is_liquidated_in_two_markets(played: Played) -> None:
    assert max(len(markets) for markets in by_account(won(played)).values()) >= 2


def by_account(items: Sequence[Settled]) -> dict[Address, set[str]]:
    """The markets in which positions of an account were taken over."""
    found: dict[Address, set[str]] = {}
    for item in items:
        found.setdefault(item.landed.plan.account, set()).update({item.landed.plan.target} - {""})
    return found
