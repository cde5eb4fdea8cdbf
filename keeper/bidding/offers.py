"""What our own offers were made for: a race is judged by what it was worth when we bid, not by what it looks like later. Pure."""

from __future__ import annotations

from keeper.types import Address, Landing, Plan

KEEP_BLOCKS = 64


class Offers:
    """The newest for each account."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, Address], tuple[int, int]] = {}

    def note(self, plan: Plan, landing: Landing, value_wei: int) -> None:
        """`value_wei`: the most the place could have cost."""
        self._made = {key: made for key, made in self._made.items() if made[0] > landing.number - KEEP_BLOCKS}
        self._made[plan.market, plan.account] = landing.number, value_wei

    def value_wei(self, market: str, account: Address) -> int | None:
        made = self._made.get((market, account))
        return made[1] if made else None
