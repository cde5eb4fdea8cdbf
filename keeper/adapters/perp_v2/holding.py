"""What an account contract of ours holds, and the deals it makes itself: it takes positions over and keeps them, trades them
away, trades in another book against them, and moves its margin in and out. No money passes through the executor.

Source: perp-curie `ClearingHouse`, `Vault`; formulas as proven against the chain.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from keeper.adapters.perp_v2 import aid
from keeper.adapters.perp_v2.account import Account, Position, account_at
from keeper.adapters.perp_v2.cells import IDLE
from keeper.adapters.perp_v2.cells import OPEN as TRADING
from keeper.adapters.perp_v2.liquidation import number_of, take_over
from keeper.adapters.perp_v2.mark import index_price
from keeper.adapters.perp_v2.moment import Moment
from keeper.adapters.perp_v2.rounding import mul_ratio
from keeper.adapters.perp_v2.taking import Floor
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.types import CLOSE, DEPOSIT, OPEN, TAKE, WITHDRAW, Address, Deal, Fill, Holding, Pair, Standing, Traded

SLIPPAGE_BPS = 50
"""How much worse than foreseen a trade may be before it reverts: somebody else's may come first, but not at our cost."""


def standing(moment: Moment, account: Address) -> Standing:
    found, scale = account_at(moment, account), moment.deployment.scale
    return Standing(
        account=account,
        at_s=moment.at_s,
        token=moment.deployment.settlement.token,
        scale=scale,
        equity=found.value,
        required=found.requirement,
        free=_free(moment, found) * scale,
        idle=moment.view.get(moment.cells.config, (IDLE, account)) * scale,
        holdings=tuple(_holding(moment, position) for position in found.positions),
    )


def _holding(moment: Moment, position: Position) -> Holding:
    target = moment.deployment.books[position.number].base
    left = _exit(moment, position.number, position.size)
    quoted = _quoted(moment, position.number, position.size)
    return Holding(target, position.size, position.value, position.notional, position.funding, left, quoted)


def _quoted(moment: Moment, number: int, size: int) -> int:
    return size * index_price(moment.deployment, moment.cells, moment.view, number, moment.at_s, 0) // 10**18


def _exit(moment: Moment, number: int, size: int) -> int | None:
    """However far it moves the price: what may not be traded at once may be a little later."""
    if not size:
        return 0
    with suppress(Skip):
        return _floor(moment).trade(number, -size, bounded=False).quote
    return None


def _worth(moment: Moment, number: int, size: int) -> int:
    """What can be hoped for: a pool that has not followed the oracle yet will have by the time that it is sold."""
    left = _exit(moment, number, size)
    if left is None:
        raise Skip("illiquid", "the pool cannot take all of the position back")
    return min(left, _quoted(moment, number, size))


def _free(moment: Moment, found: Account) -> int:
    return found.free_collateral(moment.cells.setting(moment.view, "im"))


def takes(pairs: Iterable[Pair], by: Address) -> tuple[Pair, ...]:
    return tuple(replace(pair, kind=TAKE, by=by) for pair in pairs if pair.account != by)


# --- deals --------------------------------------------------------------------------------------------------------


def fill(moment: Moment, deal: Deal, cover: int) -> Fill:
    """`cover`: base to take over or to close, of either sign; to buy, or if negative to sell, where one is opened; else of the settlement
    token. Raises Skip: "margin", "no_funds" and as `liquidate`."""
    return {TAKE: _take, CLOSE: _close, OPEN: _open, DEPOSIT: _deposit, WITHDRAW: _withdraw}[deal.kind](moment, deal, cover)


def _take(moment: Moment, deal: Deal, cover: int) -> Fill:
    number, by = _trading(moment, deal), Address(deal.by)
    before = _size(moment, number, by)
    floor = _floor(moment)
    taken = take_over(floor, deal.account, number, cover)
    if taken.given:
        raise Skip("insurance_fund", f"the fund lacks {taken.given}, which an account of ours does not give")
    floor.settle(number, by)
    floor.exchange(number, by, taken.base, taken.quote)
    _require_free(floor, by)
    worth = taken.quote + _worth(floor.now, number, before + taken.base) - _worth(moment, number, before)
    promised = worth // moment.deployment.scale
    made = _fill(floor, deal, cover, abs(taken.base), taken.to_fund, bad_debt=taken.bad_debt)
    return replace(made, promised=((deal.debt_token, promised),), before=aid.before(moment.deployment, taken.heard))


def _close(moment: Moment, deal: Deal, cover: int) -> Fill:
    """A part of it binds as much margin as if it were opened."""
    number, by = _trading(moment, deal), Address(deal.by)
    size = _size(moment, number, by)
    if not size:
        raise Skip("no_position")
    amount = min(abs(cover), abs(size))
    floor, traded = _traded(moment, number, by, -amount if size > 0 else amount)
    if amount < abs(size):
        _require_free(floor, by)
    return replace(_fill(floor, deal, cover, amount, traded.fund_fee), bound=_bound(traded))


def _open(moment: Moment, deal: Deal, cover: int) -> Fill:
    number, by = _trading(moment, deal), Address(deal.by)
    floor, traded = _traded(moment, number, by, cover)
    _require_free(floor, by)
    return replace(_fill(floor, deal, cover, abs(cover), traded.fund_fee), bound=_bound(traded))


def _traded(moment: Moment, number: int, by: Address, size: int) -> tuple[Floor, Traded]:
    floor = _floor(moment)
    floor.settle(number, by)
    traded = floor.trade(number, size)
    floor.exchange(number, by, traded.base, traded.quote)
    floor.pay_fund(traded.fund_fee)
    found = account_at(floor.now, by)
    if found.counted < mul_ratio(found.exposure, floor.cells.setting(floor.state, "penalty")):
        raise Skip("margin", f"value {found.counted} would be less than the penalty on {found.exposure}")
    return floor, traded


def _bound(traded: Traded) -> int:
    """Of the quote."""
    slack = abs(traded.quote) * SLIPPAGE_BPS // 10_000
    return traded.quote - slack if traded.quote > 0 else -traded.quote + slack


def _deposit(moment: Moment, deal: Deal, cover: int) -> Fill:
    floor, by = _floor(moment), Address(deal.by)
    _move_idle(floor, by, -cover)
    floor.state.write([floor.cells.add(floor.state, floor.cells.balance, cover, by)])
    return _fill(floor, deal, cover, cover, 0)


def _withdraw(moment: Moment, deal: Deal, cover: int) -> Fill:
    """All that is owed is settled into the balance, but for what the token's decimals cannot hold."""
    floor, by, cells = _floor(moment), Address(deal.by), moment.cells
    for number in cells.books_of(moment.view, by):
        floor.settle(number, by)
    free = _free(floor.now, account_at(floor.now, by))
    if cover > free:
        raise Skip("margin", f"{free} may be withdrawn")
    owed = cells.signed(floor.state, cells.owed, by) // moment.deployment.scale
    floor.state.write([cells.add(floor.state, cells.balance, owed - cover, by), cells.put(cells.owed, 0, by)])
    _move_idle(floor, by, cover)
    return _fill(floor, deal, cover, cover, 0)


# --- parts


def _floor(moment: Moment) -> Floor:
    return Floor(moment.deployment, moment.cells, Overlay(moment.view), moment.at_s)


def _trading(moment: Moment, deal: Deal) -> int:
    number = number_of(moment.deployment, deal.target)
    if moment.cells.of_book(moment.view, number, "status") != TRADING:
        raise Skip("paused", "the market is not open")
    return number


def _size(moment: Moment, number: int, account: Address) -> int:
    return moment.cells.signed(moment.view, moment.cells.size, number, account)


def _require_free(floor: Floor, by: Address) -> None:
    free = _free(floor.now, account_at(floor.now, by))
    if free < 0:
        raise Skip("margin", f"{-free} more would be needed")


def _move_idle(floor: Floor, account: Address, change: int) -> None:
    key = (IDLE, account)
    idle = floor.state.get(floor.cells.config, key)
    if idle + change < 0:
        raise Skip("no_funds", f"the account has {idle}, {-change} would be needed")
    floor.state.write([(floor.cells.config, key, idle + change)])


def _fill(floor: Floor, deal: Deal, cover: int, counted: int, to_fund: int, bad_debt: bool = False) -> Fill:
    return Fill(
        account=deal.account,
        debt_token=deal.debt_token,
        collateral_token=deal.collateral_token,
        cover=cover,
        counted=counted,
        repaid=0,
        seized=0,
        protocol_fee=to_fund // floor.deployment.scale,
        bad_debt=bad_debt,
        writes=tuple(floor.state.writes()),
        funds=0,
        kind=deal.kind,
        target=deal.target,
        by=deal.by,
    )
