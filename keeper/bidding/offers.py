"""What our own offers were made for: a race is judged by what it was worth when we bid, not by what it looks like later. Pure."""

from __future__ import annotations

from typing import NamedTuple

from keeper.types import Address, Landing, Plan

KEEP_BLOCKS = 64


class Offer(NamedTuple):
    """`value_wei`: the most the place could have cost; `gas`: by the simulation."""

    value_wei: int
    gas: int


class Offers:
    """By the block they were made for: of each account, in the order in which its calls were planned."""

    def __init__(self) -> None:
        self._made: dict[int, dict[tuple[str, Address], dict[Plan, Offer]]] = {}

    def note(self, plan: Plan, landing: Landing, value_wei: int, gas: int) -> None:
        self._made = {block: made for block, made in self._made.items() if block > landing.number - KEEP_BLOCKS}
        self._made.setdefault(landing.number, {}).setdefault((plan.market, plan.account), {})[plan] = Offer(value_wei, gas)

    def made(self, block: int, market: str, account: Address, nth: int) -> Offer | None:
        """Of the account's nth call, from 0; None: there was no such offer."""
        made = list(self._made.get(block, {}).get((market, account), {}).values())
        return made[nth] if nth < len(made) else None
