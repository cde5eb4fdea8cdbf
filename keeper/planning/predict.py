"""What a plan earns on a given state: the one function used to plan, to sequence, and to check the result afterwards.

All amounts are the contracts' own integers. The same plan predicted on the state its transaction met gives the realised profit to the wei.
"""

from __future__ import annotations

from collections.abc import Sequence

from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.planning.routing import Router
from keeper.ports import FlashLender, Market, View
from keeper.types import Address, Fill, FundingKind, Hop, Plan, Prediction

EXECUTOR_GAS = 75_000
"""Intrinsic cost, calldata, guard and forwarding of a run of the executor."""

FLASH_LOAN_GAS = 90_000


Earned = tuple[dict[Address, int], tuple[Hop, ...]]
"""Tokens left after everything is paid back, and the swaps that were made."""


class Predictor:
    """Prices plans offline. `native` is the token in which gas is paid, as the markets know it (wrapped)."""

    def __init__(self, markets: Sequence[Market], router: Router, lenders: Sequence[FlashLender], native: Address) -> None:
        self.markets = {market.name: market for market in markets}
        self.router = router
        self.lenders = {lender.source: lender for lender in lenders}
        self.native = native

    def predict(self, plan: Plan, view: View, at_s: int, fill: Fill | None = None) -> Prediction:
        """Raises Skip with the reason when the plan is illegal or does not pay on this state, or needs what the config no longer names.
        `fill`: the plan's own on this state, where it is known."""
        market = self._market(plan)
        fill = fill or self.fill(plan, view, at_s)
        state = Overlay(view)
        gains, hops = self._earn(plan, fill, view, state, at_s)
        if min(gains.values()) < 0:
            raise Skip("unprofitable", "the sale does not cover the repayment")
        return Prediction(
            plan=plan,
            timestamp_s=at_s,
            repaid=fill.repaid,
            seized=fill.seized,
            profit=gains[plan.profit_token],
            gains=gains,
            value_wei=sum(self.value_wei(market, view, token, amount) for token, amount in gains.items()),
            gas=self._gas(plan, fill, hops),
            fill=fill,
            hops=hops,
            writes=tuple(state.writes()),
        )

    def _market(self, plan: Plan) -> Market:
        market = self.markets.get(plan.market)
        if market is None:
            raise Skip("not_configured", f"market {plan.market}")
        return market

    def _gas(self, plan: Plan, fill: Fill, hops: tuple[Hop, ...]) -> int:
        loan = FLASH_LOAN_GAS if plan.funding.kind is FundingKind.FLASH_LOAN else 0
        return EXECUTOR_GAS + loan + self.markets[plan.market].gas(fill) + sum(self.router.gas(hop) for hop in hops)

    def fill(self, plan: Plan, view: View, at_s: int) -> Fill:
        market = self._market(plan)
        fill = market.fill(view, plan.account, plan.debt_token, plan.collateral_token, plan.cover, at_s)
        if plan.funding.kind is not FundingKind.NONE and fill.repaid > plan.funding.amount:
            raise Skip("underfunded", f"repays {fill.repaid}, borrowed {plan.funding.amount}")
        return fill

    def _earn(self, plan: Plan, fill: Fill, view: View, state: Overlay, at_s: int) -> Earned:
        if plan.funding.kind is FundingKind.FLASH_SWAP:
            return self._flash_swap(plan, fill, state)
        state.write(fill.writes)
        if plan.funding.kind is FundingKind.NONE:
            return {plan.profit_token: fill.seized - fill.repaid}, ()
        return self._flash_loan(plan, fill, view, state, at_s)

    def _flash_loan(self, plan: Plan, fill: Fill, view: View, state: Overlay, at_s: int) -> Earned:
        """Borrow debt, liquidate, sell all that was seized, pay back with the fee."""
        lender = self.lenders.get(plan.funding.source)
        if lender is None:
            raise Skip("not_configured", f"lender {plan.funding.source}")
        funding = lender.quote(view, plan.funding.token, plan.funding.amount, at_s)
        hops = self.router.quote_in(state, plan.route, plan.collateral_token, fill.seized)
        _write_hops(state, hops)
        state.write(lender.after(state, funding, at_s))
        return {plan.profit_token: hops[-1].amount_out - fill.repaid - funding.fee}, hops

    def _flash_swap(self, plan: Plan, fill: Fill, state: Overlay) -> Earned:
        """The last pool pays the debt first; the hops before it turn the collateral into what that pool is owed."""
        last = self.router.hop_out(state, plan.route[-1], plan.profit_token, plan.funding.amount)
        state.write(last.writes)
        state.write(fill.writes)
        hops = self.router.quote_in(state, plan.route[:-1], plan.collateral_token, fill.seized)
        _write_hops(state, hops)
        proceeds = hops[-1].amount_out if hops else fill.seized
        spare = plan.funding.amount - fill.repaid
        gains = {plan.profit_token: proceeds - last.amount_in}
        return gains | ({plan.debt_token: spare} if spare else {}), (*hops, last)

    def value_wei(self, market: Market, view: View, token: Address, amount: int) -> int:
        """An amount's worth in wei, at the market's own oracle. Raises Skip("no_price")."""
        if token == self.native or amount == 0:
            return amount
        value, unit = market.value(view, token, amount), market.value(view, self.native, 10**18)
        if value is None or not unit:
            raise Skip("no_price", f"{market.name} has no price for {token} or for the native token")
        return value * 10**18 // unit


def _write_hops(state: Overlay, hops: Sequence[Hop]) -> None:
    for hop in hops:
        state.write(hop.writes)
