"""What flows through the keeper: small frozen values, no behaviour. Read this second, after `pipeline.py`.

Units are in the names: `_wei`, `_wad`, `_s` (unix seconds), `_block`. Token amounts are integers in the token's smallest unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, NewType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Address = NewType("Address", str)
"""20 bytes as lower-case 0x-hex (42 characters)."""

Hash = NewType("Hash", str)
"""32 bytes as lower-case 0x-hex (66 characters)."""

Key = tuple[int | str, ...]
"""A row's key inside a table."""

Cell = tuple[str, Key]
"""(table, key)"""

Write = tuple[str, Key, int]
"""(table, key, new value). Zero is absence, as in contract storage."""

Factor = tuple[str, ...]
"""Name of one risk factor: a number that moves without the account acting."""

ZERO_ADDRESS = Address("0x" + "0" * 40)


# --- from the node ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """A block header, as far as the keeper needs it."""

    number: int
    hash: Hash
    parent_hash: Hash
    timestamp_s: int
    base_fee_wei: int
    gas_limit: int
    gas_used: int


@dataclass(frozen=True, slots=True)
class Landing:
    """The block a transaction sent now would land in."""

    number: int
    timestamp_s: int
    base_fee_wei: int


@dataclass(frozen=True, slots=True)
class Log:
    """One event log. `topics` are lower-case 0x-hex, `data` is raw bytes, `timestamp_s` is its block's."""

    address: Address
    topics: tuple[str, ...]
    data: bytes
    block_number: int
    block_hash: Hash
    timestamp_s: int
    tx_hash: Hash
    tx_index: int
    log_index: int


@dataclass(frozen=True, slots=True)
class LogFilter:
    """One contract whose events a source follows. `topics`: the topic-0 values of interest. `since_block`: its first possible log."""

    address: Address
    topics: frozenset[str]
    since_block: int


@dataclass(frozen=True, slots=True)
class Read:
    """An eth_call whose reply no event tells."""

    target: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Audit:
    """A sampled reconciliation: the reply's 32-byte words at these positions must be these integers."""

    read: Read
    words: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Block:
    head: Head
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class ChainUpdate:
    """One step of the chain: first undo these blocks (newest first), then apply those (oldest first). `newest`: this is where the chain
    stands; otherwise more steps follow at once."""

    undo: tuple[Head, ...]
    blocks: tuple[Block, ...]
    newest: bool = True


# --- risk ---------------------------------------------------------------------------------------------------------


class Quote(NamedTuple):
    """A factor's value, and what rows leave out of its worth to an account, by rounding: `width` for each unit they hold or owe, and
    `slack` besides, however few they are."""

    value: float
    width: float = 0.0
    slack: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One trigger of an account as certified bounds: with low = constant + Σ weight · value, the contract's own surplus lies between `low`
    and low + slack + Σ (|weight| · width + slack of the factor). Below zero it is liquidatable; where the bounds disagree, integers decide.

    `box`: factor → (least, most) value for which this holds; beyond it the row must be asked for again."""

    weights: Mapping[Factor, float]
    constant: float
    slack: float = 0.0
    box: Mapping[Factor, tuple[float, float]] = field(default_factory=dict)


class Entries(NamedTuple):
    """All cells of a table of accounts, one array each. Key: (`number`, account in `slot`), or (account) with number 0. Value:
    `low` + `high` · 2^64."""

    number: NDArray[np.int32]
    slot: NDArray[np.int32]
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]


class RowBlock(NamedTuple):
    """The rows of many accounts at once: the same numbers `rows` gives, R rows of at most W weights.

    `slot` int32[R]; `column` intp[R, W] indexes `factors`; `weight` float64[R, W], 0 where unused; `constant` and `slack` float64[R]."""

    factors: tuple[Factor, ...]
    slot: NDArray[np.int32]
    column: NDArray[np.intp]
    weight: NDArray[np.float64]
    constant: NDArray[np.float64]
    slack: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Leg:
    """One position of an account: `amount` in the token's smallest unit, `value` and `price` (of a whole token) in the market's unit.

    `priced_as`: the token whose price counts; zero: its own."""

    token: Address
    symbol: str
    side: str  # "collateral" | "debt"
    amount: int
    value: int
    threshold_bps: int  # liquidation threshold of a collateral; 0 for a debt
    price: int
    decimals: int
    priced_as: Address = ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class Health:
    """What the contract would say of an account at `timestamp_s`, to the wei. `unit` names the unit of value, e.g. "usd-8"."""

    account: Address
    timestamp_s: int
    health_factor_wad: int
    weighted_collateral: int
    debt: int
    unit: str
    legs: tuple[Leg, ...] = ()

    @property
    def liquidatable(self) -> bool:
        return self.health_factor_wad < 10**18


# --- prices -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PriceFeed:
    """What stands behind a token's price. `price`, `before` (it last moved): of a whole token, in the market's `unit`, e.g. "usd-8".

    `answer`, `least`, `most`, `updated_at_s`: the aggregator's own words and limits; 0 where it has none, or there is no aggregator.
    `capped`: the price would be higher, but its source does not let it."""

    token: Address
    symbol: str
    decimals: int
    unit: str
    price: int
    before: int = 0
    answer: int = 0
    least: int = 0
    most: int = 0
    updated_at_s: int = 0
    capped: bool = False


class PoolPrice(NamedTuple):
    """A pool's price of token 0 in token 1, smallest units, with 192 fractional bits: the mean over a window, and now. `depth0`, `depth1`:
    what it pays out of each token until its price is 2 % off."""

    mean_x192: int
    now_x192: int
    depth0: int
    depth1: int


# --- planning -----------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Funding:
    """Where the repaid debt comes from. FLASH_LOAN: `amount` of `token` from `source`, `fee` on top. FLASH_SWAP: `source` is the pool of
    the route's last hop, which pays `amount` of `token` first and is paid in the callback; `fee` is 0 (it is in the swap)."""

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


# --- execution ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the executor. With `amount_token` set, the 32 bytes of `data` at `amount_offset` are replaced by the executor's own
    balance of that token just before the call."""

    target: Address
    data: bytes
    amount_token: Address = ZERO_ADDRESS
    amount_offset: int = 0


@dataclass(frozen=True, slots=True)
class Guard:
    """The executor leaves early unless word `word` of the reply of this static call is below `below`."""

    target: Address
    data: bytes
    word: int
    below: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """The node's own verdict on a call in the landing block. `error` is the decoded revert, "" when it succeeded."""

    ok: bool
    gas_used: int
    error: str
    profit: int
    logs: tuple[Log, ...] = ()


@dataclass(frozen=True, slots=True)
class Bid:
    """EIP-1559 fees. `gas_limit` is the transaction's."""

    max_fee_wei: int
    priority_fee_wei: int
    gas_limit: int


@dataclass(frozen=True, slots=True)
class Job:
    """A plan the node has vouched for, its calldata, and the fees it is worth."""

    prediction: Prediction
    data: bytes
    simulation: Simulation
    bid: Bid


class SendResult(StrEnum):
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Sent:
    """A relay's answer. UNKNOWN (time-out, broken connection) is not REFUSED: the transaction may still land."""

    result: SendResult
    detail: str = ""


class Verdict(StrEnum):
    """How a candidate ended. Every candidate ends in exactly one."""

    SKIPPED = "skipped"  # not sent; the reason says why
    DRY = "dry"  # would have been sent
    WON = "won"
    LOST = "lost"  # landed too late: somebody else liquidated, or the account recovered
    REVERTED = "reverted"
    DROPPED = "dropped"  # never landed
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one candidate, with its reason. `block`: the one it was meant to land in; `net_wei`: what a plan was to net after gas."""

    block: int
    market: str
    account: Address
    verdict: Verdict
    reason: str
    health_factor_wad: int = 0
    tx: Hash | None = None
    detail: str = ""
    net_wei: int = 0
