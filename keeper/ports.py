"""The seams: what the pipeline asks of the world. Only `app.py` knows who answers.

Pure ports (`LogSource`, `Market`, `Venue`, `FlashLender`, `BidPolicy`) get all data as arguments: no I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from keeper.types import (
    Address,
    Audit,
    Bid,
    ChainUpdate,
    Factor,
    Fill,
    Funding,
    Guard,
    Hash,
    Head,
    Health,
    Hop,
    Key,
    Landing,
    Log,
    LogFilter,
    Outcome,
    Pair,
    PoolKey,
    Prediction,
    Read,
    Row,
    Sent,
    Simulation,
    Step,
    Write,
)


class View(Protocol):
    """State at one moment: integers in named tables. An absent cell is 0."""

    def get(self, table: str, key: Key) -> int: ...

    def keys(self, table: str) -> Iterator[Key]:
        """Keys whose value is not 0, in no particular order."""
        ...


class Reader(Protocol):
    """A node, as far as discovery needs it. All raise Transient on a node that is away and Skip("reverted") on a revert."""

    async def call(self, read: Read, block: int | Hash | Literal["latest"] = "latest") -> bytes: ...

    async def calls(self, reads: Sequence[Read], block: int | Hash | Literal["latest"] = "latest") -> list[bytes | None]:
        """One batch; None for a call that reverted."""
        ...

    async def code(self, address: Address) -> bytes: ...

    async def head(self) -> Head: ...

    async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
        """All matching logs of the range in (block, log index) order; ranges too large for the node are split."""
        ...


class LogSource(Protocol):
    """Something whose state follows from event logs."""

    name: str
    """Unique and stable over restarts: the prefix of its tables."""

    @property
    def first_block(self) -> int: ...

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        """What to follow now; may grow as events announce new contracts."""
        ...

    def apply(self, log: Log, view: View) -> list[Write]:
        """The cells this log changes. `view` is the state just before it."""
        ...

    def reads(self, view: View) -> tuple[Read, ...]:
        """What no event tells, to be read at every new head."""
        ...

    def absorb(self, replies: Sequence[bytes | None], view: View) -> list[Write]:
        """The replies to `reads`, in order, as cells."""
        ...


class Market(LogSource, Protocol):
    """One deployment of a protocol whose accounts can be liquidated."""

    adapter: str
    """The adapter's registered name."""

    address: Address

    def tokens(self, view: View) -> Mapping[Address, str]:
        """Every token that can be seized or repaid, with its symbol."""
        ...

    def accounts(self, view: View) -> Iterator[Address]:
        """Every account that owes something."""
        ...

    def touched(self, writes: Iterable[Write]) -> set[Address]:
        """Accounts whose row these writes change. Writes of other sources are ignored."""
        ...

    def factors(self, view: View, at_s: int) -> dict[Factor, float]: ...

    def row(self, view: View, account: Address) -> Row: ...

    def health(self, view: View, account: Address, at_s: int) -> Health: ...

    def audit(self, view: View, account: Address, at_s: int) -> Audit: ...

    def pairs(self, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        """Every legal choice; empty when the account is healthy. Raises Skip (paused, grace_period, …) when none is legal now."""
        ...

    def fill(self, view: View, account: Address, debt_token: Address, collateral_token: Address, cover: int, at_s: int) -> Fill:
        """Exactly what the call would move. Raises Skip with the rule that forbids it."""
        ...

    def encode(self, fill: Fill) -> tuple[Step, ...]: ...

    def guard(self, account: Address) -> Guard: ...

    def gas(self, fill: Fill) -> int:
        """Rough gas of the liquidation call alone; the simulation has the last word."""
        ...

    def value(self, view: View, token: Address, amount: int) -> int | None:
        """Worth of `amount` in the market's unit of value, at its own oracle; None when it has no price."""
        ...

    def decode_error(self, data: bytes) -> str | None:
        """The name of the protocol's revert, None if it is not one of its own."""
        ...


class Venue(LogSource, Protocol):
    """Where tokens are exchanged, priced offline."""

    def pools(self, view: View) -> tuple[PoolKey, ...]: ...

    def swap_in(self, view: View, pool: PoolKey, token_in: Address, amount_in: int) -> Hop:
        """Exact-input swap by the pool's own arithmetic. Raises Skip("illiquid")."""
        ...

    def swap_out(self, view: View, pool: PoolKey, token_in: Address, amount_out: int) -> Hop:
        """Exact-output swap. Raises Skip("illiquid")."""
        ...

    def encode(self, hop: Hop, executor: Address) -> Step:
        """The exact-input swap of the executor's whole balance of `hop.token_in`."""
        ...

    def gas(self, hop: Hop) -> int: ...


@runtime_checkable
class FlashLender(Protocol):
    """Lends tokens within one transaction (pure; reads its owner's tables)."""

    source: Address

    def quote(self, view: View, token: Address, amount: int, at_s: int) -> Funding:
        """Raises Skip when it does not lend that much of that token."""
        ...

    def after(self, view: View, funding: Funding, at_s: int) -> list[Write]:
        """The state the loan's repayment leaves."""
        ...


class Adapter(Protocol):
    """An adapter: opens a market given one address. The adapter's only I/O. Entry-point group `keeper.adapters`."""

    name: str

    async def open(self, reader: Reader, name: str, address: Address, first_block: int | None) -> Market: ...


class Feed(Protocol):
    def updates(self) -> AsyncIterator[ChainUpdate]: ...


class Simulator(Protocol):
    async def simulate(self, calls: Sequence[bytes], landing: Landing) -> list[Simulation]:
        """Run these calls of the executor one after another in the landing block."""
        ...


class BidPolicy(Protocol):
    def bid(self, prediction: Prediction, gas_used: int, landing: Landing) -> Bid:
        """Raises Skip("unprofitable") when no bid leaves a profit."""
        ...


class Relay(Protocol):
    async def send(self, raw: bytes, tx: Hash) -> Sent: ...


class Clock(Protocol):
    def now_s(self) -> float:
        """Wall clock, unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class OutcomeSink(Protocol):
    async def record(self, outcomes: Sequence[Outcome]) -> None: ...
