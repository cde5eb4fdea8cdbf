"""The two deals with an account: take its position over and trade it away at once, or buy its collateral at a discount.

Taking over pays no money: the liquidator inherits the position at the mark, less a share of the penalty, and must have margin for it until
it is closed again. So what it earns is decided where the pool buys the position back, never by the mark.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.adapters.perp_v2 import aid
from keeper.adapters.perp_v2.account import Account, Position, account_at
from keeper.adapters.perp_v2.cells import OPEN, Collateral, Deployment
from keeper.adapters.perp_v2.moment import Moment
from keeper.adapters.perp_v2.rounding import RATIO, WAD, mul_div_truncated, mul_ratio
from keeper.adapters.perp_v2.rows import threshold
from keeper.adapters.perp_v2.settling import DUST
from keeper.adapters.perp_v2.taking import Floor
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.types import Address, Deal, Fill, Pair, Traded, Write
from keeper.types.holding import EXIT, FEE, GIVEN, INHERITED

LIQUIDATE, COLLATERAL = "liquidate", "collateral"

NOT_OPEN = "the market is not open"

HEADROOM_PERCENT = 10
"""More margin than is needed now: the mark may have moved when the call lands."""

SHRINKS_PERMILLE = 5
"""How much less collateral is bought than would be legal now."""

LEAST_PARTS = 8
"""The smallest part of a position worth a try, as one in so many."""


def triggers(moment: Moment, found: Account) -> list[tuple[int, int]]:
    """(value, what it must not be below): of the margin, then of the collaterals' liquidation."""
    return [(found.counted, found.requirement), *_of_collaterals(moment, found)]


def _of_collaterals(moment: Moment, found: Account) -> list[tuple[int, int]]:
    """Its margin, the share of the collaterals' worth that may be owed, and the limit of debt."""
    cells, view = moment.cells, moment.view
    if not found.collaterals:
        return []
    margin = mul_ratio(found.exposure, cells.setting(view, "mm") + cells.setting(view, "mm_buffer"))
    share = mul_ratio(found.secured, cells.setting(view, "debt_ratio"))
    return [(found.value, margin), (share, found.debt), (threshold(cells, view, found.account), found.debt // found.scale)]


def collateral_liquidatable(moment: Moment, found: Account) -> bool:
    return any(value < least for value, least in _of_collaterals(moment, found))


# --- what is legal ------------------------------------------------------------------------------------------------


def pairs(moment: Moment, found: Account) -> tuple[Pair, ...]:
    """Raises Skip("paused") where nothing but a market that is not open stands in the way."""
    legal = (*take_overs(moment, found), *_purchases(moment, found))
    if not legal and any(not _is_open(moment, position.number) for position in found.positions if found.most(position)):
        raise Skip("paused", NOT_OPEN)
    return legal


def take_overs(moment: Moment, found: Account) -> list[Pair]:
    settlement, books = moment.deployment.settlement.token, moment.deployment.books
    most = [(position.number, abs(found.most(position))) for position in found.positions]
    return [
        Pair(found.account, settlement, settlement, _parts(size), LIQUIDATE, books[number].base)
        for number, size in most
        if size >= DUST and _is_open(moment, number)
    ]


def _is_open(moment: Moment, number: int) -> bool:
    return moment.cells.of_book(moment.view, number, "status") == OPEN


def _parts(size: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys(part for part in (size // LEAST_PARTS, size // 2, size) if part >= DUST))


def _purchases(moment: Moment, found: Account) -> list[Pair]:
    if not collateral_liquidatable(moment, found):
        return []
    settlement = moment.deployment.settlement.token
    most = [(held, _nearly(most_collateral(moment, found, held), amount)) for held, amount, _ in found.collaterals]
    return [Pair(found.account, settlement, held.token, (amount,), COLLATERAL) for held, amount in most if amount]


def _nearly(most: int, balance: int) -> int:
    """The contract reverts above the most, which shrinks as funding and prices move until the call lands; a balance does not."""
    return most if most == balance else most * (1000 - SHRINKS_PERMILLE) // 1000


def check(moment: Moment) -> None:
    """Raises Skip("paused")."""
    for field in ("clearing_paused", "vault_paused"):
        if moment.view.get(moment.cells.config, (field,)):
            raise Skip("paused", field)


# --- taking over --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakeOver:
    """`base` and `quote` are what the liquidator gets: the position, and its notional with the fee. `margin`: what that takes (18).

    `value`: of the base at the mark. `given`: what has to be given to the fund first (in the settlement token), so that it can bear what is
    left. `heard`: feeds that have to cache their answers first."""

    base: int
    quote: int
    value: int
    penalty: int
    to_fund: int
    margin: int
    bad_debt: bool
    given: int
    heard: tuple[Address, ...]


def take_over(floor: Floor, account: Address, number: int, cover: int) -> TakeOver:
    """The account's side of `liquidate`, orders cancelled before. Raises Skip: "healthy", "insurance_fund", "no_position"."""
    heard = floor.hear(account)
    for book in floor.cells.books_of(floor.state, account):
        if floor.state.get(floor.cells.orders, (book, account)):
            floor.cancel(book, account)
    _check(account_at(floor.now, account))
    floor.settle(number, account)
    found = account_at(floor.now, account)
    position = _held(found, number)
    size = _legal(found, position, cover)
    notional = mul_div_truncated(size, position.mark, WAD)
    penalty = mul_ratio(abs(notional), floor.cells.setting(floor.state, "penalty"))
    to_liquidator = penalty if found.counted < 0 else penalty // 2
    floor.exchange(number, account, -size, notional)
    floor.state.write([floor.cells.add(floor.state, floor.cells.owed, -penalty, account)])
    floor.pay_fund(penalty - to_liquidator)
    given = _given(floor, account, to_liquidator)
    bad_debt = floor.settle_bad_debt(account) > 0
    quote = to_liquidator - notional
    owed = abs(min(quote, 0) + mul_div_truncated(min(size, 0), position.mark, WAD))
    margin = mul_ratio(owed, floor.cells.setting(floor.state, "im"))
    return TakeOver(size, quote, notional, penalty, penalty - to_liquidator, margin, bad_debt, given, heard)


def _check(found: Account) -> None:
    if not found.liquidatable:
        raise Skip("healthy", f"value {found.counted}, requirement {found.requirement}")


def _legal(found: Account, position: Position, cover: int) -> int:
    """The size that is taken, signed: what is asked for, at most what is allowed."""
    _check(found)
    most = found.most(position)
    return min(cover, most) if most > 0 else max(-cover, most)


def _held(found: Account, number: int) -> Position:
    position = found.position(number)
    if position is None or not position.size:
        raise Skip("no_position")
    return position


def _given(floor: Floor, account: Address, worth: int) -> int:
    """Debt that is left must not exceed what the fund can bear. What it lacks may be given to it, in whole tokens so that a few seconds
    do not change it, as long as that costs less than taking over is `worth`: nothing else that anybody may call lets it bear more."""
    scale, unit = floor.deployment.scale, 10**floor.deployment.settlement.decimals
    left, capacity = account_at(floor.now, account).counted, floor.fund_capacity() * scale
    if left >= 0 or capacity >= -left:
        return 0
    given: int = -((left + capacity) // (unit * scale)) * unit
    if given * scale >= worth:
        raise Skip("insurance_fund", f"the fund bears {capacity}, {-left} would be needed")
    floor.give_fund(given)
    return given


def liquidate(moment: Moment, deal: Deal, cover: int) -> Fill:
    """Orders cancelled, position taken, traded away, and out again: `repaid` is the margin, which comes back in `seized`."""
    deployment, cells, view = moment.deployment, moment.cells, moment.view
    number = number_of(deployment, deal.target)
    if not _is_open(moment, number):
        raise Skip("paused", NOT_OPEN)
    floor = Floor(deployment, cells, Overlay(view), moment.at_s)
    taken = take_over(floor, deal.account, number, cover)
    traded = floor.trade(number, -taken.base)
    floor.pay_fund(traded.fund_fee)
    profit = (taken.quote + traded.quote) // deployment.scale
    margin = -(-taken.margin // deployment.scale)
    if profit + margin < 0:
        raise Skip("unprofitable", "the exit costs more than the margin")
    return Fill(
        account=deal.account,
        debt_token=deal.debt_token,
        collateral_token=deal.collateral_token,
        cover=cover,
        counted=abs(taken.base),
        repaid=margin + taken.given,
        seized=margin + profit,
        protocol_fee=taken.to_fund // deployment.scale,
        bad_debt=taken.bad_debt,
        writes=tuple(floor.state.writes()),
        funds=margin + margin * HEADROOM_PERCENT // 100 + taken.given,
        prepaid=True,
        before=aid.before(deployment, taken.heard, taken.given),
        kind=LIQUIDATE,
        target=deal.target,
        parts=_parts_of(taken, traded, deployment.scale),
    )


def _parts_of(taken: TakeOver, traded: Traded, scale: int) -> tuple[tuple[str, int], ...]:
    """What the position was worth more than it cost, and where that went."""
    inherited, lost = taken.quote + taken.value, traded.quote + traded.fee - taken.value
    return (INHERITED, inherited), (EXIT, lost), (FEE, -traded.fee), (GIVEN, -taken.given * scale)


def number_of(deployment: Deployment, target: str) -> int:
    for number, book in enumerate(deployment.books):
        if book.base == target:
            return number
    raise Skip("no_position", f"there is no market of {target}")


# --- buying collateral --------------------------------------------------------------------------------------------


def most_collateral(moment: Moment, found: Account, held: Collateral) -> int:
    """In the token's smallest unit."""
    balance = next((amount for which, amount, _ in found.collaterals if which == held), 0)
    return min(balance, collateral_for(moment, held, most_repaid(moment, found)))


def most_repaid(moment: Moment, found: Account) -> int:
    """With 18 decimals: all of a small debt, else a share of it, with the fund's fee on top."""
    cells, view = moment.cells, moment.view
    debt = max(-(found.settlement + found.unrealized), mul_ratio(found.borrowed, cells.setting(view, "im")), 0)
    share = cells.setting(view, "liquidation_ratio") if debt > cells.setting(view, "dust") * found.scale else RATIO
    return mul_ratio(debt, share) * RATIO // (RATIO - cells.setting(view, "fund_fee"))


def discounted(moment: Moment, held: Collateral) -> int:
    """The price at which it is sold, in the feed's decimals."""
    return mul_ratio(moment.price(held), RATIO - moment.cells.of_token(moment.view, held.token, "discount"))


def collateral_for(moment: Moment, held: Collateral, repaid: int) -> int:
    """`repaid` with 18 decimals."""
    unit: int = 10 ** (held.decimals + held.feed.decimals)
    return -(-repaid * unit // (discounted(moment, held) * WAD))


def repaid_for(moment: Moment, held: Collateral, amount: int) -> int:
    unit: int = 10 ** (held.decimals + held.feed.decimals)
    return int(amount * discounted(moment, held) * 10**moment.deployment.settlement.decimals // unit)


def buy_collateral(moment: Moment, deal: Deal, cover: int) -> Fill:
    """`cover`: of the collateral. Raises Skip("healthy")."""
    floor = Floor(moment.deployment, moment.cells, Overlay(moment.view), moment.at_s)
    heard = floor.hear(deal.account)
    moment = floor.now if heard else moment
    found = account_at(moment, deal.account)
    if not collateral_liquidatable(moment, found):
        raise Skip("healthy")
    held = next((which for which, _, _ in found.collaterals if which.token == deal.collateral_token), None)
    if held is None:
        raise Skip("no_collateral", deal.collateral_token)
    amount, most = cover, most_collateral(moment, found, held)
    if amount > most:
        raise Skip("too_much", f"at most {most} may be bought")
    repaid = repaid_for(moment, held, amount)
    fee = mul_ratio(repaid, moment.cells.setting(moment.view, "fund_fee"))
    return Fill(
        account=deal.account,
        debt_token=deal.debt_token,
        collateral_token=deal.collateral_token,
        cover=cover,
        counted=amount,
        repaid=repaid,
        seized=amount,
        protocol_fee=fee,
        bad_debt=False,
        writes=tuple(_bought(floor, deal.account, held, amount, repaid, fee)),
        funds=repaid + repaid // 100,
        prepaid=True,
        before=aid.before(moment.deployment, heard),
        kind=COLLATERAL,
    )


def _bought(floor: Floor, account: Address, held: Collateral, amount: int, repaid: int, fee: int) -> list[Write]:
    deployment, cells, state = floor.deployment, floor.cells, floor.state
    key = deployment.collaterals.index(held), account
    state.write([(cells.collateral, key, state.get(cells.collateral, key) - amount)])
    state.write([cells.add(state, cells.balance, repaid - fee, account)])
    state.write([cells.add(state, cells.balance, fee, deployment.insurance_fund)])
    return state.writes()
