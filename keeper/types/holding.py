"""What an account contract of ours holds on a market. All money here is of the market's quote token, with 18 decimals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from keeper.types.base import Address, Hash


class Traded(NamedTuple):
    """What the trader got (negative: gave): `base`, and `quote` after the `fee`; `fund_fee`: the protocol's own part of that."""

    base: int
    quote: int
    fund_fee: int
    fee: int = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """One position. `size` is signed; `value`: at the mark, of the same sign; `notional`: what was got (negative: given) for it; `funding`:
    what it owes and has not been settled. `exit`: what trading all of it away would bring, None where no amount of money would. `quoted`:
    its value at the oracle's newest word, None where that is the mark."""

    target: str
    size: int
    value: int
    notional: int
    funding: int
    exit: int | None
    quoted: int | None = None

    @property
    def fair(self) -> int:
        """What trading it away is measured by. A mark that is a mean lags behind a crash: then the oracle's word is nearer the truth, and
        of the two nobody can move both."""
        return self.value if self.quoted is None else min(self.value, self.quoted)

    @property
    def gap(self) -> int:
        """By how much the mark overstates it; all of it where nobody buys."""
        return abs(self.value) if self.exit is None else self.value - self.exit


@dataclass(frozen=True, slots=True)
class Standing:
    """An account at a moment: `equity` at the mark, of which `required` must be there or it is liquidated. `free`: what new positions may
    still bind. `idle`: what lies beside the market in the account's own wallet. `scale`: 18-decimal units in the `token`'s smallest."""

    account: Address
    at_s: int
    token: Address
    scale: int
    equity: int
    required: int
    free: int
    idle: int
    holdings: tuple[Holding, ...]

    @property
    def exposure(self) -> int:
        """Σ |value|"""
        return sum(abs(holding.value) for holding in self.holdings)

    def holding(self, target: str) -> Holding:
        """Nothing, where it has no such position."""
        return next((held for held in self.holdings if held.target == target), Holding(target, 0, 0, 0, 0, 0))


INHERITED, PAPER, EXIT, HEDGE, FEE, FUNDING, PRICE, OTHER = "inherited", "paper", "exit", "hedge", "fee", "funding", "price", "other"
"""Kinds of entries. What a position earned when it was taken over, as if it were traded away at once; by how much the mark says more; what
trading it away, and what trading in a hedge, lost against the mark, without the trading fee; that fee; funding; moves of the mark; and what
is none of these (of the smallest units that the token cannot hold, or done by somebody else)."""

GIVEN = "given"
"""And what was given first to whoever has to bear the loss."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Why the equity of an account of ours changed: of all its entries since any moment the sum is the change since then, to the unit.
    `amount` with 18 decimals of the `token`, signed; `tx`: "" for what came by time alone. `target`: "" where it is no position's;
    `account`: "" for what was taken over and traded away in one transaction, on no account at all."""

    market: str
    account: Address
    target: str
    kind: str
    amount: int
    token: Address
    block: int
    tx: Hash
