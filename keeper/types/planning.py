"""A liquidation on its way to a plan: legal choices, fills, swaps, funding, and what it all comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from keeper.types.base import Address, Write

if TYPE_CHECKING:
    from keeper.types.execution import Step

LIQUIDATE, TWICE = "liquidate", "liquidate_twice"
"""TWICE: by two calls in one transaction, of which the `target` names the first one's cover."""

TAKE, CLOSE, OPEN, DEPOSIT, WITHDRAW = "take", "close", "open", "deposit", "withdraw"
"""On an account contract of ours: take a position over and keep it, trade it away, trade into one, put margin in, take it out."""


class Deal(Protocol):
    """What can be done with an account, but for the amount: `debt_token` is what it is paid in, `collateral_token` what it pays out.
    `kind` is the market's word for the call; `target` says which of the account's positions is meant where the tokens do not tell.
    `by`: the contract of ours that makes it and keeps what comes of it; "": the executor, which keeps nothing."""

    @property
    def account(self) -> Address: ...
    @property
    def debt_token(self) -> Address: ...
    @property
    def collateral_token(self) -> Address: ...
    @property
    def kind(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def by(self) -> str: ...


def same_deal(one: Deal, other: Deal) -> bool:
    return _deal(one) == _deal(other)


def _deal(deal: Deal) -> tuple[str, ...]:
    return deal.account, deal.kind, deal.target, deal.debt_token, deal.collateral_token, deal.by


@dataclass(frozen=True, slots=True)
class Pair:
    """One legal deal. `amounts`: covers worth trying (break-points), ascending; the last is the most the rules allow. Any amount in
    between may be tried; `Market.fill` says if it is legal."""

    account: Address
    debt_token: Address
    collateral_token: Address
    amounts: tuple[int, ...]
    kind: str = LIQUIDATE
    target: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """What one call moves, by the contract's own integers.

        `cover` is the argument of the call, in its unit, of which `counted` counts: a larger one moves no more. `repaid` is pulled from the
        liquidator, `seized` is paid to it (net of the protocol fee). `writes` is the state it leaves, valid at the fill's timestamp.

    `funds`: the debt token that must be at hand, of which `repaid` is taken. `prepaid`: before anything is paid out; otherwise what is
    paid out can pay. `promised`: (token, amount) it earns later, in somebody else's transaction, or in one of ours that is yet to
    come. `before`: calls that anybody may make, without which it is not legal, or not what is told here.

    `bound`: of a trade, the least it may bring or the most it may cost before it reverts, in the contract's unit; 0: any. `parts`: of what
    it earns by taking a position over and trading it away at once, (kind, amount) with 18 decimals of the token."""

    account: Address
    debt_token: Address
    collateral_token: Address
    cover: int
    counted: int
    repaid: int
    seized: int
    protocol_fee: int
    bad_debt: bool
    writes: tuple[Write, ...]
    funds: int
    prepaid: bool = False
    promised: tuple[tuple[Address, int], ...] = ()
    before: tuple[Step, ...] = ()
    kind: str = LIQUIDATE
    target: str = ""
    by: str = ""
    bound: int = 0
    parts: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Reward:
    """What a purchase pays to whom we named when a lot was put up for sale: `amount` of the `token`, from the `payer`. `since_s`: when
    that was."""

    token: Address
    amount: int
    payer: Address
    receiver: Address
    since_s: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """What somebody bought: the deal, whose only amount it is, and who got the goods. `reward`: our own share of it."""

    buyer: Address
    pair: Pair
    reward: Reward | None = None


@dataclass(frozen=True, slots=True)
class PoolKey:
    """A pool where tokens are exchanged. `venue` is the owning venue's `name`."""

    venue: str
    address: Address
    token0: Address
    token1: Address
    fee_pips: int  # hundredths of a basis point


@dataclass(frozen=True, slots=True)
class Hop:
    """One swap through one pool and the state it leaves."""

    pool: PoolKey
    token_in: Address
    token_out: Address
    amount_in: int
    amount_out: int
    writes: tuple[Write, ...]


class FundingKind(StrEnum):
    NONE = "none"
    CALLBACK = "callback"
    FLASH_LOAN = "flash_loan"
    FLASH_SWAP = "flash_swap"


@dataclass(frozen=True, slots=True)
class Funding:
    """Where the repaid debt comes from. CALLBACK: `source` is the market, which calls back between paying out and being paid.
    FLASH_LOAN: `amount` of `token` from `source`, `fee` on top. FLASH_SWAP: `source` is the pool of the route's last hop, which pays
    `amount` of `token` first and is paid in the callback; `fee` is 0 (it is in the swap)."""

    kind: FundingKind
    source: Address
    token: Address
    amount: int
    fee: int


class Sale(NamedTuple):
    """So much of what is seized, sold along a route of its own."""

    route: tuple[PoolKey, ...]
    amount_in: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A deal worth sending: everything needed to encode it, and to predict it again on another state."""

    market: str
    account: Address
    debt_token: Address
    collateral_token: Address
    cover: int
    funding: Funding
    route: tuple[PoolKey, ...]  # collateral → … → debt; empty when they are the same token
    profit_token: Address
    kind: str = LIQUIDATE
    target: str = ""
    by: str = ""
    sides: tuple[Sale, ...] = ()
    """Sold first; all that is left goes along `route`. No two pass the same pool."""

    @property
    def contested(self) -> bool:
        """Others may want it too. What an account of ours does with what it holds nobody can do in its stead."""
        return not self.by or self.kind == TAKE


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a plan earns on one state at one timestamp. `gains`: every token the beneficiary receives, the profit token included."""

    plan: Plan
    timestamp_s: int
    repaid: int
    seized: int
    profit: int
    gains: Mapping[Address, int]
    value_wei: int  # all gains, and what is promised, at oracle prices
    gas: int  # adapter's and venues' own estimate
    fill: Fill
    hops: tuple[Hop, ...]  # in the order of the route
    sides: tuple[tuple[Hop, ...], ...] = ()  # of each sale beside it
    writes: tuple[Write, ...] = field(repr=False, default=())
    warm: bool = False
    """How to go about it was known before the account was due."""
