"""The stage that keeps what we hold in order: every block, plans on accounts of our own; and what a take-over would be worth to keep.

Its plans are ordinary ones, made `by` an account of ours; what they are worth is `promised` to whoever bids. Positions that are there at
the start count as overdue: nobody knows since when.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.fixedpoint import BPS, YEAR_S
from keeper.inventory.limits import Limits
from keeper.inventory.policy import SLICES, Cost, Decision, Hedge, Mode, Policy, Position, closing, hedged, hedging
from keeper.inventory.port import Holdable
from keeper.planning.planner import Rejected
from keeper.planning.predict import Predictor
from keeper.ports import Market, View
from keeper.risk.watch import Candidate
from keeper.types import (
    CLOSE,
    DEPOSIT,
    TAKE,
    WITHDRAW,
    Address,
    Fill,
    Funding,
    FundingKind,
    Holding,
    Landing,
    Pair,
    Plan,
    Prediction,
    Standing,
)

LEAST_MOVED = 100
"""Less than this part of what may be held is not worth a transaction."""

MOVING_BPS = 10
"""What it is worth to have margin where it belongs."""

UNPROFITABLE = "unprofitable"

SIZES = 12
"""Halvings in which the largest part that the limits admit is looked for."""


class HouseMarket(Market, Holdable, Protocol):
    """A market on which we hold."""


@dataclass(frozen=True, slots=True)
class House:
    """An account of ours on a market. `hedges`: of a target, (another of the same market, beta in bps); that is hedged itself by none."""

    market: HouseMarket
    account: Address
    policy: Policy
    limits: Limits
    hedges: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)


class Inventory:
    """Of one chain."""

    def __init__(self, predictor: Predictor, houses: Iterable[House], block_time_s: int = 12) -> None:
        self._predictor = predictor
        self._houses = {house.market.name: house for house in houses}
        self._block_time_s = block_time_s
        self._since: dict[tuple[str, str], int] = {}
        self._begun = False

    @property
    def houses(self) -> tuple[House, ...]:
        return tuple(self._houses.values())

    def owns(self, market: str, account: Address) -> bool:
        return market in self._houses and self._houses[market].account == account

    # --- what we hold

    def block(
        self, view: View, landing: Landing, ahead: Sequence[Plan] = (), gas_price_wei: int = 0
    ) -> tuple[list[Prediction], list[Rejected]]:
        """Plans on our own accounts that are worth their gas, in the order in which to send them, and why there is none for what is urgent.
        `view`: what `ahead`, our own plans on their way, has left; a target that one of them trades is left alone."""
        made, refused = list[Prediction](), list[Rejected]()
        state = Overlay(view)
        for house in self._houses.values():
            for decision in self._decisions(house, state, landing, ahead, refused):
                try:
                    prediction = _paying(self._prediction(house, decision, state, landing.timestamp_s), gas_price_wei)
                except Skip as skip:
                    if skip.reason == UNPROFITABLE and not decision.urgent:
                        continue
                    refused.append(self._refused(house, state, landing, skip))
                    continue
                state.write(prediction.writes)
                made.append(prediction)
        self._begun = True
        return made, refused

    def _decisions(self, house: House, state: View, landing: Landing, ahead: Sequence[Plan], refused: list[Rejected]) -> Iterator[Decision]:
        """One after another: each is asked for on what the ones before it left."""
        try:
            standing = house.market.standing(state, house.account, landing.timestamp_s)
        except Skip as skip:
            refused.append(self._refused(house, state, landing, skip))
            return
        ages = self._ages(house, standing, landing)
        if more := self._margin(house, standing):
            yield more
        busy = {plan.target for plan in ahead if plan.by == house.account}
        others = {other for pairs in house.hedges.values() for other, _ in pairs}
        for target in sorted(ages, key=lambda target: target in others):
            if target not in busy:
                yield from self._about(house, target, ages[target], state, landing, refused)

    def _about(self, house: House, target: str, age: int, state: View, landing: Landing, refused: list[Rejected]) -> Iterator[Decision]:
        standing, at_s = house.market.standing(state, house.account, landing.timestamp_s), landing.timestamp_s
        held, policy = standing.holding(target), house.policy
        against = self._hedges(house, target, state, standing, at_s)
        unsafe = not house.limits.survives(standing)
        position = Position(held, self._cost(house, held, state, at_s), self._deviation(house), age, unsafe)
        if self._serves(house, target, standing) and not unsafe:
            return
        if policy.mode is Mode.HEDGE and not unsafe and (move := hedging(policy, position, against)):
            version = state.version
            yield move
            if state.version != version:  # else it was refused, by a limit or the market
                return
        safe = policy.mode is Mode.HEDGE and hedged(policy, held, against)
        decision = closing(policy, position, safe)
        if decision:
            yield decision
        elif unsafe or not policy.left(age, safe):
            refused.append(self._refused(house, state, landing, self._stuck(house, held, state, at_s)))

    def _stuck(self, house: House, held: Holding, state: View, at_s: int) -> Skip:
        """Why not even a small part is traded away."""
        try:
            house.market.exit(state, held.target, held.size // SLICES or held.size, at_s)
        except Skip as skip:
            return Skip(skip.reason, skip.detail)
        return Skip("exit_cap", f"no part of {held.target} can be sold within the hard cap")

    def _serves(self, house: House, target: str, standing: Standing) -> bool:
        """It is held against something that is still there."""
        return house.policy.mode is Mode.HEDGE and any(
            target == other and standing.holding(of).size for of, pairs in house.hedges.items() for other, _ in pairs
        )

    def _ages(self, house: House, standing: Standing, landing: Landing) -> dict[str, int]:
        """Blocks from the one that had it first to the one that is planned for."""
        name, there = house.market.name, {held.target for held in standing.holdings if held.size}
        for target in there - {target for market, target in self._since if market == name}:
            self._since[name, target] = landing.number - 1 if self._begun else 0
        for market, target in list(self._since):
            if market == name and target not in there:
                del self._since[market, target]
        return {target: landing.number - self._since[name, target] for target in there}

    def _margin(self, house: House, standing: Standing) -> Decision | None:
        """What lies in the account's own wallet is no margin: it goes into the market, and comes back once nothing is kept any more. What
        is missing comes before giving anything away."""
        short = bool(standing.holdings) and house.limits.spare(standing) < 0
        idle, free = standing.idle // standing.scale, standing.free // standing.scale
        if short and idle:
            urgent = standing.exposure * house.policy.hard_cap_bps // BPS
            return Decision(DEPOSIT, "", idle, "top_up", 0, urgent, urgent=True)
        least = max(house.limits.in_all // standing.scale // LEAST_MOVED, 1)
        if house.policy.mode is Mode.UNWIND:
            return _moved(WITHDRAW, free, standing) if free >= least and not standing.holdings else None
        return _moved(DEPOSIT, idle, standing) if idle >= least else None

    def _hedges(self, house: House, target: str, state: View, standing: Standing, at_s: int) -> list[Hedge]:
        found = []
        for other, beta_bps in house.hedges.get(target, ()):
            unit = self._unit(house, other, state, at_s)
            if unit:
                held = standing.holding(other)
                price = abs(held.fair) * 10**18 // abs(held.size) if held.size else unit
                found.append(Hedge(held, price, beta_bps, self._trade_cost(house, other, price, state, at_s)))
        return found

    def _unit(self, house: House, target: str, state: View, at_s: int) -> int:
        """What a thousandth of a whole one brings, as a price of a whole one; 0 where nobody buys."""
        with suppress(Skip):
            return house.market.exit(state, target, 10**15, at_s).quote * 1000
        return 0

    def _cost(self, house: House, held: Holding, state: View, at_s: int) -> Cost:
        price = abs(held.fair) * 10**18 // abs(held.size) if held.size else 0
        trade, sign = self._trade_cost(house, held.target, price, state, at_s), 1 if held.size > 0 else -1
        return lambda size: trade(-sign * size)

    def _trade_cost(self, house: House, target: str, price_wad: int, state: View, at_s: int) -> Cost:
        """Of buying (negative: selling) so much, against that price."""

        def cost(size: int) -> int | None:
            if not size:
                return 0
            with suppress(Skip):
                return -size * price_wad // 10**18 - house.market.exit(state, target, -size, at_s).quote
            return None

        return cost

    def _deviation(self, house: House) -> float:
        return house.policy.volatility * math.sqrt(self._block_time_s / YEAR_S)

    def _prediction(self, house: House, decision: Decision, state: View, at_s: int) -> Prediction:
        market, account = house.market, house.account
        token = market.standing(state, account, at_s).token
        pair = Pair(account, token, token, (abs(decision.size),), decision.kind, decision.target, account)
        fill = market.fill(state, pair, decision.size, at_s)
        scale = market.standing(state, account, at_s).scale
        fill = replace(fill, promised=((token, decision.worth // scale),))
        if decision.kind not in {CLOSE, DEPOSIT}:
            house.limits.admit(market.standing(Overlay(state, fill.writes), account, at_s), decision.target)
        funding = Funding(FundingKind.NONE, market.address, token, 0, 0)
        plan = Plan(market.name, account, token, token, decision.size, funding, (), token, decision.kind, decision.target, account)
        return self._predictor.predict(plan, state, at_s, fill)

    def _refused(self, house: House, view: View, landing: Landing, why: Skip) -> Rejected:
        health = house.market.health(view, house.account, landing.timestamp_s)
        return Rejected(Candidate(house.market, house.account, health), why.reason, why.detail)

    # --- what we might take

    def pairs(self, market: Market, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        """What may be taken over and kept, as much as the limits admit. Raises Skip("inventory_limit") where they admit nothing."""
        house = self._houses.get(market.name)
        if house is None or house.policy.mode is Mode.UNWIND or account == house.account:
            return ()
        found, why = [], None
        for pair in house.market.takes(view, account, house.account, at_s):
            try:
                found.append(replace(pair, amounts=(self._most(house, pair, view, at_s),)))
            except Skip as skip:
                why = Skip(skip.reason, skip.detail)
        if not found and why:
            raise why
        return tuple(found)

    def _most(self, house: House, pair: Pair, view: View, at_s: int) -> int:
        """By halving. Raises Skip with why it is less than a small part."""
        low, high, why = 0, pair.amounts[-1], Skip("inventory_limit")
        cover = high
        for _ in range(SIZES):
            try:
                self.judged(house.market, view, house.market.fill(view, pair, cover, at_s), at_s)
                low = cover
            except Skip as skip:
                high, why = cover, skip
            if low == pair.amounts[-1]:
                return low
            cover = (low + high) // 2
        if not low:
            raise Skip("inventory_limit" if why.reason == "margin" else why.reason, why.detail)
        return low

    def judged(self, market: Market, view: View, fill: Fill, at_s: int) -> Fill:
        """A take-over with what keeping it is worth: less the risk until it is traded away. Raises Skip("inventory_limit")."""
        house = self._houses.get(market.name)
        if house is None or fill.kind != TAKE:
            return fill
        own = cast("HouseMarket", market)
        before, after = own.standing(view, house.account, at_s), own.standing(Overlay(view, fill.writes), house.account, at_s)
        house.limits.admit(after, fill.target)
        more = max(abs(after.holding(fill.target).value) - abs(before.holding(fill.target).value), 0)
        blocks = house.policy.deadline_blocks
        risk = int(house.policy.caution * self._deviation(house) * math.sqrt(blocks) * more) // after.scale
        return replace(fill, promised=tuple((token, amount - risk) for token, amount in fill.promised))


def _moved(kind: str, amount: int, standing: Standing) -> Decision:
    return Decision(kind, "", amount, "margin", 0, amount * standing.scale * MOVING_BPS // BPS)


def _paying(prediction: Prediction, gas_price_wei: int) -> Prediction:
    """Raises Skip("unprofitable")."""
    cost_wei = prediction.gas * gas_price_wei
    if prediction.value_wei < cost_wei:
        raise Skip(UNPROFITABLE, f"worth {prediction.value_wei} wei, gas costs {cost_wei}")
    return prediction
