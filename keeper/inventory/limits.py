"""How much we may hold: so much of a market and in all, and never more than survives a shock on every market at once.

Money has 18 decimals of the quote token; what is lost is rounded up, what is left down. A limit looks at the standing that
a deal leaves, so whatever is pending or planned before it counts, and whatever nets counts as netted.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.errors import Skip
from keeper.fixedpoint import BPS, percent_mul_up
from keeper.types import Standing


@dataclass(frozen=True, slots=True)
class Limits:
    """`per_market`, `in_all`: of |value| at the mark. After every price has gone `shock_bps` against us, what is left must still exceed the
    requirement by `cushion_bps` of it, even if every position is only worth what it could be sold for."""

    per_market: int
    in_all: int
    shock_bps: int = 4000
    cushion_bps: int = 1000

    def admit(self, after: Standing, target: str) -> None:
        """Whether a deal in `target` may leave this standing. Raises Skip("inventory_limit")."""
        value = abs(after.holding(target).value)
        if value > self.per_market:
            raise Skip("inventory_limit", f"{_whole(value)} of one market, at most {_whole(self.per_market)}")
        if after.exposure > self.in_all:
            raise Skip("inventory_limit", f"{_whole(after.exposure)} in all, at most {_whole(self.in_all)}")
        spare = self.spare(after)
        if spare < 0:
            raise Skip("inventory_limit", f"{_whole(-spare)} too little to survive {self.shock_bps} bps with the cushion")

    def spare(self, standing: Standing) -> int:
        """What could be done without, and the shock still survived with the cushion; negative: what is missing."""
        return self._left(standing, self.cushion_bps)

    def survives(self, standing: Standing) -> bool:
        """The bare shock."""
        return self._left(standing, 0) >= 0

    def _left(self, standing: Standing, cushion_bps: int) -> int:
        """A requirement grows at most as prices do."""
        overstated = sum(max(holding.gap, 0) for holding in standing.holdings)
        lost = percent_mul_up(standing.exposure, self.shock_bps) + overstated
        required = percent_mul_up(percent_mul_up(standing.required, BPS + self.shock_bps), BPS + cushion_bps)
        return standing.equity - lost - required


def _whole(money: int) -> str:
    return f"{-(-money // 10**18):,}"
