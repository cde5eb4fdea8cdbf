"""A plan on its way to the chain: calls, bids, what was sent, and how each candidate ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from keeper.types.base import ZERO_ADDRESS, Address, Hash
from keeper.types.chain import Log, Waiting
from keeper.types.planning import Prediction


@dataclass(frozen=True, slots=True)
class Guard:
    """Word `word` of the reply of this static call must be at least `least` and below `below` (both unsigned, or both signed). As an
    executor's guard: else it leaves early. Among its steps: else everything is undone. `meaning`: in words."""

    target: Address
    data: bytes
    word: int
    below: int
    least: int = 0
    meaning: str = field(default="", compare=False)


class Callback(StrEnum):
    """How a target that calls back before it is done is paid."""

    NONE = "none"  # it does not call back
    PUSH = "push"  # by a transfer
    PULL = "pull"  # by an allowance, of which nothing is left afterwards


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the executor. With `amount_token` set, the 32 bytes of `data` at `amount_offset` are replaced by the executor's own
    balance of that token just before the call. If it is `optional` it may fail.

    With a `callback` the target (a lender, a pool, a market) must call back once. `data` is then the head of its calldata, up to and
    including the offset of a last argument of bytes, which carries the `inner` steps; they run in the callback, whose caller is then
    paid what it asks for in the token `owed`."""

    target: Address
    data: bytes
    amount_token: Address = ZERO_ADDRESS
    amount_offset: int = 0
    optional: bool = False
    callback: Callback = Callback.NONE
    owed: Address = ZERO_ADDRESS
    inner: tuple[Step | Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Permission:
    """Calls that an account contract of ours may make: of `target`, those with this `selector` (4 bytes) whose arguments have these values
    at these places (words, ascending). `owed`: the token that the target may ask for in a callback; zero: it may not. `meaning`: for
    whoever is to allow it."""

    target: Address
    selector: bytes
    pinned: tuple[tuple[int, int], ...] = ()
    owed: Address = ZERO_ADDRESS
    meaning: str = field(default="", compare=False)


Action = Step | Guard
"""What the executor does on its way."""


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
    behind: tuple[Waiting, ...] = ()
    """What others have waiting that it comes right after: without these it finds nothing to do."""


class SendResult(StrEnum):
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Sent:
    """A relay's answer. UNKNOWN (time-out, broken connection) is not REFUSED: the transaction may still land."""

    result: SendResult
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A signed transaction on its way. `block`: the one it is meant for; `last_block`: the last it can be in, 0: any;
    `behind`: see `Job`; `after`: ours on their way, whose nonces come before."""

    raw: bytes = field(repr=False)
    tx: Hash
    signer: Address
    nonce: int
    block: int
    last_block: int = 0
    behind: tuple[Waiting, ...] = ()
    after: tuple[Parcel, ...] = ()


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
