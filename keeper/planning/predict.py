"""What a plan earns on a given state: the one function used to plan, to sequence, and to check the result afterwards.

All amounts are the contracts' own integers. The same plan predicted on the state its transaction met gives the realised profit to the wei.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from typing import NamedTuple, Protocol

from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.planning.routing import Quotes, Router, Swaps, Trades, sold
from keeper.ports import FlashLender, Market, View
from keeper.types import Address, Fill, Funding, FundingKind, Hop, Pair, Plan, PoolKey, Prediction, Sale

EXECUTOR_GAS = 75_000
"""Intrinsic cost, calldata, guard and forwarding of a run of the executor."""

FLASH_LOAN_GAS = 90_000

SPLIT = frozenset({FundingKind.CALLBACK, FundingKind.FLASH_LOAN})
"""Where the sale may go along several routes."""


class Way(NamedTuple):
    """How a liquidation is paid for, apart from its amount. `source` of the money; `route` from collateral to debt."""

    kind: FundingKind
    source: Address
    route: tuple[PoolKey, ...]
    profit_token: Address


class Earned(NamedTuple):
    """Tokens left after everything is paid back, the swaps that were made, in the order of the route, those beside it, and the loan."""

    gains: dict[Address, int]
    hops: tuple[Hop, ...]
    loan: Funding | None = None
    sides: tuple[tuple[Hop, ...], ...] = ()


class Loans(Protocol):
    def __call__(self, source: Address, token: Address, amount: int) -> Funding:
        """Raises Skip where it is not lent."""
        ...


class Offers(NamedTuple):
    """Where money is borrowed and tokens are sold."""

    swaps: Swaps
    loans: Loans


class Custody(Protocol):
    """Keeps what is taken over on an account of ours (pure)."""

    def pairs(self, market: Market, view: View, account: Address, at_s: int) -> Sequence[Pair]:
        """What of an account may be taken over and kept. Raises Skip("inventory_limit")."""
        ...

    def judged(self, market: Market, view: View, fill: Fill, at_s: int) -> Fill:
        """The fill of such a deal with what it is worth to keep. Raises Skip("inventory_limit")."""
        ...


def way_of(plan: Plan) -> Way:
    return Way(plan.funding.kind, plan.funding.source, plan.route, plan.profit_token)


class Predictor:
    """Prices plans offline. `native` is the token in which gas is paid, as the markets know it (wrapped)."""

    def __init__(self, markets: Sequence[Market], router: Router, lenders: Sequence[FlashLender], native: Address) -> None:
        self.markets = {market.name: market for market in markets}
        self.router = router
        self.lenders = {lender.source: lender for lender in lenders}
        self.native = native
        self.custody: Custody | None = None

    def predict(self, plan: Plan, view: View, at_s: int, fill: Fill | None = None) -> Prediction:
        """Raises Skip with the reason when the plan is illegal or does not pay on this state, or needs what the config no longer names.
        `fill`: the plan's own on this state, where it is known."""
        market, way = self._market(plan), way_of(plan)
        fill = fill or self.fill(plan, view, at_s)
        state = Overlay(view, fill.writes)
        earned = self.earned(way, fill, plan.funding.amount, Offers(Trades(self.router, state), self._loans(view, at_s)), plan.sides)
        if earned.loan:
            state.write(self.lenders[earned.loan.source].after(state, earned.loan, at_s))
        return Prediction(
            plan=plan,
            timestamp_s=at_s,
            repaid=fill.repaid,
            seized=fill.seized,
            profit=earned.gains[plan.profit_token],
            gains=earned.gains,
            value_wei=self.worth_wei(market, view, fill, earned),
            gas=market.gas(fill) + self.gas_beside(earned),
            fill=fill,
            hops=earned.hops,
            sides=earned.sides,
            writes=tuple(state.writes()),
        )

    def fill(self, plan: Plan, view: View, at_s: int) -> Fill:
        market = self._market(plan)
        fill = market.fill(view, plan, plan.cover, at_s)
        if plan.funding.kind is not FundingKind.NONE and fill.repaid > plan.funding.amount:
            raise Skip("underfunded", f"repays {fill.repaid}, borrowed {plan.funding.amount}")
        return fill

    def _market(self, plan: Plan) -> Market:
        market = self.markets.get(plan.market)
        if market is None:
            raise Skip("not_configured", f"market {plan.market}")
        return market

    # --- what is earned

    def offers(self, view: View, at_s: int) -> Offers:
        """To compare ways by, on a state that stays as it is: nothing is asked for twice."""
        return Offers(Quotes(self.router, view), cache(self._loans(view, at_s)))

    def _loans(self, view: View, at_s: int) -> Loans:
        def loan(source: Address, token: Address, amount: int) -> Funding:
            lender = self.lenders.get(source)
            if lender is None:
                raise Skip("not_configured", f"lender {source}")
            return lender.quote(view, token, amount, at_s)

        return loan

    def earned(self, way: Way, fill: Fill, borrowed: int, offers: Offers, sides: Sequence[Sale] = ()) -> Earned:
        """Raises Skip when it does not pay, or somebody does not play along. `sides`: only where the whole sale comes before the payment
        (`SPLIT`)."""
        if way.kind is FundingKind.NONE:
            earned = Earned({way.profit_token: fill.seized - fill.repaid}, ())
        elif way.kind is FundingKind.CALLBACK:
            sale = _sale(way, fill, offers.swaps, sides)
            earned = Earned({way.profit_token: sale.proceeds - fill.repaid}, sale.hops, None, sale.sides)
        elif way.kind is FundingKind.FLASH_SWAP:
            earned = _flash_swap(way, fill, borrowed, offers.swaps)
        else:
            earned = _flash_loan(way, fill, borrowed, offers, sides)
        if min(earned.gains.values()) < 0:
            raise Skip("unprofitable", "the sale does not cover the repayment")
        return earned

    def gas_beside(self, earned: Earned) -> int:
        """Of all but the liquidation itself."""
        return EXECUTOR_GAS + FLASH_LOAN_GAS * bool(earned.loan) + self.gas_of_hops(chain(earned.hops, *earned.sides))

    def gas_of_hops(self, hops: Iterable[Hop]) -> int:
        return sum([self.router.gas(hop) for hop in hops])

    def worth_wei(self, market: Market, view: View, fill: Fill, earned: Earned) -> int:
        """Of all that is gained, now and later."""
        return sum([self.value_wei(market, view, token, amount) for token, amount in (*earned.gains.items(), *fill.promised)])

    def value_wei(self, market: Market, view: View, token: Address, amount: int) -> int:
        """An amount's worth in wei: at the market's own oracle, else at another's that knows the token and the native one, else what pools
        would pay for it, if some oracle has a price for it: what pools alone say anybody can buy. Raises Skip("no_price")."""
        if token == self.native or amount == 0:
            return amount
        for judge in (market, *self.markets.values()):
            value, unit = judge.value(view, token, amount), judge.value(view, self.native, 10**18)
            if value is not None and unit:
                return value * 10**18 // unit
        if any(judge.price(view, token) for judge in self.markets.values()):
            with suppress(Skip):
                return self.router.best_in(view, token, self.native, amount)[-1].amount_out
        raise Skip("no_price", f"what {token} is worth in the native token no oracle tells")


class _Sold(NamedTuple):
    proceeds: int
    hops: tuple[Hop, ...]
    sides: tuple[tuple[Hop, ...], ...]


def _sale(way: Way, fill: Fill, swaps: Swaps, sides: Sequence[Sale]) -> _Sold:
    """Of all that was seized: what goes beside the route first."""
    beside = tuple([sold(swaps, side.route, fill.collateral_token, side.amount_in) for side in sides])
    left = fill.seized - sum([side.amount_in for side in sides])
    if left < 0:
        raise Skip("unprofitable", "less was seized than was to be sold")
    hops = sold(swaps, way.route, fill.collateral_token, left)
    return _Sold((hops[-1].amount_out if hops else left) + sum([part[-1].amount_out for part in beside]), hops, beside)


def _flash_loan(way: Way, fill: Fill, borrowed: int, offers: Offers, sides: Sequence[Sale]) -> Earned:
    """Borrow debt, liquidate, sell all that was seized, pay back with the fee."""
    loan = offers.loans(way.source, fill.debt_token, borrowed)
    sale = _sale(way, fill, offers.swaps, sides)
    return Earned({way.profit_token: sale.proceeds - fill.repaid - loan.fee}, sale.hops, loan, sale.sides)


def _flash_swap(way: Way, fill: Fill, borrowed: int, swaps: Swaps) -> Earned:
    """The last pool pays the debt first; the hops before it turn the collateral into what that pool is owed."""
    last = swaps.hop_out(way.route[-1], way.profit_token, borrowed)
    hops = sold(swaps, way.route[:-1], fill.collateral_token, fill.seized)
    spare = borrowed - fill.repaid
    gains = {way.profit_token: _proceeds(hops, fill) - last.amount_in}
    return Earned(gains | ({fill.debt_token: spare} if spare else {}), (*hops, last))


def _proceeds(hops: tuple[Hop, ...], fill: Fill) -> int:
    """What the sale brings; where nothing is to be sold, what was paid out."""
    return hops[-1].amount_out if hops else fill.seized
