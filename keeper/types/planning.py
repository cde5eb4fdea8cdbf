"""A liquidation on its way to a plan: legal choices, fills, swaps, funding, and what it all comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from keeper.types.base import Address, Write


@dataclass(frozen=True, slots=True)
class Pair:
    """One legal (debt, collateral) choice. `amounts`: repay amounts worth trying (break-points), ascending; the last is the most the
    rules allow. Any amount in between may be tried; `Market.fill` says if it is legal."""

    account: Address
    debt_token: Address
    collateral_token: Address
    amounts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fill:
    """What one liquidation call moves, by the contract's own integers.

    `cover` is the argument of the call; `repaid` is pulled from the liquidator, `seized` is paid to it (net of the protocol fee).
    `writes` is the state it leaves, valid at the fill's timestamp."""

    account: Address
    debt_token: Address
    collateral_token: Address
    cover: int
    repaid: int
    seized: int
    protocol_fee: int
    bad_debt: bool
    writes: tuple[Write, ...]


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
    FLASH_LOAN = "flash_loan"
    FLASH_SWAP = "flash_swap"
    CALLBACK = "callback"


@dataclass(frozen=True, slots=True)
class Funding:
    """Where the repaid debt comes from. FLASH_LOAN: `amount` of `token` from `source`, `fee` on top. FLASH_SWAP: `source` is the pool of
    the route's last hop, which pays `amount` of `token` first and is paid in the callback; `fee` is 0 (it is in the swap). CALLBACK: the
    market itself, at `source`, hands out the collateral first and calls back before it takes the payment."""

    kind: FundingKind
    source: Address
    token: Address
    amount: int
    fee: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A liquidation worth sending: everything needed to encode it, and to predict it again on another state."""

    market: str
    account: Address
    debt_token: Address
    collateral_token: Address
    cover: int
    funding: Funding
    route: tuple[PoolKey, ...]  # collateral → … → debt; empty when they are the same token
    profit_token: Address


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a plan earns on one state at one timestamp. `gains`: every token the beneficiary receives, the profit token included."""

    plan: Plan
    timestamp_s: int
    repaid: int
    seized: int
    profit: int
    gains: Mapping[Address, int]
    value_wei: int  # all gains, at the market's oracle prices
    gas: int  # adapter's and venues' own estimate
    fill: Fill
    hops: tuple[Hop, ...]  # in the order of the route
    writes: tuple[Write, ...] = field(repr=False, default=())
    warm: bool = False
    """How to go about it was known before the account was due."""
