"""What this room asks of a market: to say what an account of ours has there, and to price what it might do. Deals come as ordinary pairs.

Money has 18 decimals of the market's quote token throughout.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from keeper.ports import View
from keeper.types import Address, Deal, Fill, Guard, Pair, Permission, Standing, Traded


@runtime_checkable
class Holdable(Protocol):
    """A market where positions can be taken over and kept, on an account contract of ours (pure).

    Besides, its `fill` and `encode` know deals made `by` such an account, of the kinds TAKE, CLOSE, OPEN (its `cover` is signed), DEPOSIT
    and WITHDRAW; they pull and pay the executor nothing. Its adapter has an option `accounts`: those contracts."""

    name: str
    address: Address

    def standing(self, view: View, account: Address, at_s: int) -> Standing:
        """Raises Skip("no_price") where the contract reverts."""
        ...

    def takes(self, view: View, account: Address, by: Address, at_s: int) -> tuple[Pair, ...]:
        """The positions of `account` that `by` may take over and keep: deals of the kind TAKE. Raises Skip as `Market.pairs`."""
        ...

    def exit(self, view: View, target: str, size: int, at_s: int) -> Traded:
        """What trading away a position of that signed size brings now. Raises Skip."""
        ...

    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        """As `Market.fill`. Of a TAKE `promised` is what it would earn if it were traded away on the state it leaves, at the price that is
        there or the oracle's newest word, whichever is worse."""
        ...


@runtime_checkable
class Custodial(Protocol):
    """A market that knows what an account contract of ours needs there, and what it should never be (pure)."""

    def permissions(self) -> tuple[Permission, ...]:
        """All that its deals `by` such an account call, and nothing besides."""
        ...

    def limits(self, account: Address) -> tuple[Guard, ...]:
        """What is to hold after whatever the account did, by the market's own word: bounds are signed."""
        ...
