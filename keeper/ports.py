"""The seams: what the pipeline asks of the world. Only `app.py` knows who answers.

Pure ports (`LogSource`, `Market`, `Venue`, `FlashLender`, `BidPolicy`) get all data as arguments: no I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from keeper.options import NO_OPTIONS, Options
from keeper.types import (
    Action,
    Address,
    Audit,
    Bid,
    Cell,
    ChainUpdate,
    Deal,
    Entries,
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
    Parcel,
    PoolKey,
    PoolPrice,
    Prediction,
    PriceFeed,
    Purchase,
    Quote,
    Read,
    Row,
    RowBlock,
    Sent,
    Simulation,
    Step,
    Write,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class View(Protocol):
    """State at one moment: integers in named tables. An absent cell is 0."""

    @property
    def version(self) -> int:
        """Another number after every write, here or below."""
        ...

    def get(self, table: str, key: Key) -> int: ...

    def keys(self, table: str) -> Iterator[Key]:
        """Keys whose value is not 0, in no particular order."""
        ...

    def keys_of(self, table: str, account: Address) -> Iterator[Key]:
        """Those keys that end in this account."""
        ...

    def accounts(self, table: str) -> Iterator[Address]:
        """What those keys end in, each once: the accounts with a cell in a table of accounts."""
        ...


class ColumnView(View, Protocol):
    """The state itself, whose tables of accounts are columns. Slots are dense, per source, and stable for the life of the process."""

    def slots(self, source: str) -> int:
        """How many slots a source has handed out: they are 0 … slots - 1."""
        ...

    def slot(self, source: str, account: Address) -> int | None: ...

    def account(self, source: str, slot: int) -> Address: ...

    def held(self, source: str, slots: NDArray[np.int32] | None = None) -> Entries:
        """Every cell of a source's tables of accounts that is not 0, but for those that are apart: of all, or of these account by account;
        then `slot` is the place among them. `number` is that of the key + 4096 · the table's place among the source's."""
        ...

    def apart(self, table: str) -> Mapping[Key, int]:
        """The cells of a table of accounts that no column can hold."""
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


Apply = Callable[[Log, View], list[Write]]
"""The cells a log changes, on the state just before it."""


class LogSource(Protocol):
    """Something whose state follows from event logs."""

    name: str
    """Unique and stable over restarts: the prefix of its tables."""

    columns: tuple[str, ...]
    """Its tables with a cell per account, keyed (account) or (number, account) with 0 ≤ number < 4096: kept as columns, for there may be
    millions."""

    @property
    def first_block(self) -> int: ...

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        """What to follow now; may grow as events announce new contracts."""
        ...

    def apply(self, log: Log, view: View) -> list[Write]:
        """The cells this log changes. `view` is the state just before it."""
        ...

    def applier(self, view: View) -> Apply:
        """`apply` for many logs: what it has looked up in this view holds for every other one until writes reshape it."""
        ...

    def reshapes(self, writes: Iterable[Write]) -> bool:
        """Whether these writes may change what `filters` says, or what an applier has looked up."""
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

    debt_decides: bool
    """Whether what a row owes, its negative weights, tells if liquidating it can earn its gas. If not, none is parked."""

    def tokens(self, view: View) -> Mapping[Address, str]:
        """Every token that can be seized or repaid, with its symbol."""
        ...

    def accounts(self, view: View) -> Iterator[Address]:
        """Every account that owes something."""
        ...

    def touched(self, writes: Iterable[Write]) -> set[Address]:
        """Accounts whose row these writes change. Writes of other sources are ignored."""
        ...

    def factors(self, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
        """Values at `at_s` of these factors of its rows; one that is missing has no value."""
        ...

    def drivers(self, view: View, factor: Factor) -> tuple[Cell, ...]:
        """The cells a factor's value hangs on, besides time. They may change only with one of them."""
        ...

    def token_of(self, view: View, factor: Factor) -> Address | None:
        """The token whose price moves a factor."""
        ...

    def family(self, view: View, factor: Factor) -> str | None:
        """What a factor is likely to move with. Nothing but speed depends on it."""
        ...

    def rows(self, view: View, account: Address) -> tuple[Row, ...]:
        """One per trigger; none for an account that owes nothing."""
        ...

    def compiled(self, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
        """The rows of every account, or of those in these slots, as `rows` gives them, many at once. No block has an account twice: the
        second row of an account is in a later block than its first."""
        ...

    def margin(self, view: View) -> float:
        """The most a liquidation can earn per unit of debt at the market's own prices: 0.05 for a bonus of 5 %."""
        ...

    def health(self, view: View, account: Address, at_s: int) -> Health: ...

    def audit(self, view: View, account: Address, at_s: int) -> Audit: ...

    def pairs(self, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        """Every legal choice; empty when the account is healthy. Raises Skip (paused, grace_period, …) when none is legal now."""
        ...

    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        """Exactly what the call would move. Raises Skip with the rule that forbids it."""
        ...

    def encode(self, fill: Fill, executor: Address) -> tuple[Action, ...]:
        """The calls that make the deal; what it pays out goes to the executor."""
        ...

    def guard(self, deal: Deal) -> Guard:
        """Whether the deal is still there to be made."""
        ...

    def gas(self, fill: Fill) -> int:
        """Rough gas of the liquidation call alone; the simulation has the last word."""
        ...

    def value(self, view: View, token: Address, amount: int) -> int | None:
        """Worth of `amount` in the market's unit of value, at its own oracle; None when it has no price."""
        ...

    def price(self, view: View, token: Address) -> int | None:
        """Of a whole token, in the market's unit of value, at its own oracle; None when it has none."""
        ...

    def repriced(self, view: View, prices: Mapping[Address, int]) -> list[Write]:
        """The cells that make its oracle give these prices; tokens its oracle is not asked for are passed over."""
        ...

    def bearer(self, view: View) -> str:
        """Who bears debt that nothing secures any more: "deficit" (the protocol's own, for its safety module or treasury to cover),
        "suppliers" (it stays owed to them), "reserves", "insurance fund" or "socialised"."""
        ...

    def feeds(self, view: View) -> tuple[PriceFeed, ...]:
        """What stands behind the price of every token that can be seized or repaid; without those that have no price."""
        ...

    def decode_error(self, data: bytes) -> str | None:
        """The name of the protocol's revert, None if it is not one of its own."""
        ...


@runtime_checkable
class Clocked(Protocol):
    """A market in which time alone can make accounts due (pure)."""

    def next_change(self, view: View, at_s: int) -> int | None:
        """The first moment after `at_s` at which some factor bends: an average steps, a ramp ends. None: no such moment is known."""
        ...


@runtime_checkable
class Selective(Protocol):
    """A market of many markets, some of which may have to stay outside (pure)."""

    def left_out(self, view: View) -> str | None:
        """What is not followed though the options allow it, and why, for people; None if nothing is."""
        ...


@runtime_checkable
class Auctioneer(Protocol):
    """A market that sells lots at a price that falls with the clock, so that their buyer may wait (pure)."""

    def falls(self, view: View, deal: Deal, at_s: int) -> bool:
        """Whether the deal is a better one a moment later, if nobody makes it before."""
        ...

    def bought(self, logs: Sequence[Log], view: View) -> tuple[Purchase, ...]:
        """The purchases that these logs tell of. `view`: the state just before them."""
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

    def shifted(self, view: View, pool: PoolKey, up: int, down: int) -> tuple[Write, ...]:
        """The state trade leaves that moves the pool's price of token 0 in token 1 by up / down; as far as it has liquidity."""
        ...

    def encode(self, hop: Hop, executor: Address) -> Step:
        """The exact-input swap of the executor's whole balance of `hop.token_in`."""
        ...

    def encode_flash(self, hop: Hop, executor: Address) -> bytes:
        """The head of the exact-output swap that pays first and is paid in its callback: up to and including the offset of the bytes it
        hands to that."""
        ...

    def gas(self, hop: Hop) -> int: ...


@runtime_checkable
class CallbackMarket(Protocol):
    """A market that pays out, calls back, and only then pulls its payment from an allowance: what it pays out can pay (pure)."""

    def callback(self, fill: Fill, executor: Address) -> bytes:
        """The head of the call: up to and including the offset of the bytes it hands to the callback."""
        ...


@runtime_checkable
class Witness(Protocol):
    """A venue whose pools remember what they traded at (pure; reads its own tables)."""

    def pools(self, view: View) -> tuple[PoolKey, ...]: ...

    def testimony(self, view: View, pool: PoolKey, at_s: int, window_s: int) -> PoolPrice | None:
        """None when the pool does not remember the whole window, of at most an hour."""
        ...


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

    def encode_loan(self, funding: Funding, executor: Address) -> bytes:
        """The head of the call that borrows: up to and including the offset of the bytes it hands to the callback. It pulls the repayment
        from an allowance."""
        ...


class Adapter(Protocol):
    """An adapter: opens a market given one address. The adapter's only I/O. Entry-point group `keeper.adapters`."""

    name: str

    async def open(self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS) -> Market:
        """Raises ConfigError when there is no such deployment, OptionError for options it does not know, Transient when no node answers.
        Options are read, and finished, before the node is asked; the class it says it returns tells what such a market can do."""
        ...


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
    """One way to the block builders. Never raises for what a node or a network does, and never sends twice."""

    async def send(self, raw: bytes, tx: Hash) -> Sent: ...


class Carrier(Protocol):
    """All the ways to them. `carry`: these parcels of one signer, in the order of their nonces, an answer
    each; `last_block`: the last block in which
    what is sent for a block can land, 0 where it may land at any time; `recall`: nothing may come of what is on its way any more."""

    async def carry(self, parcels: Sequence[Parcel]) -> list[Sent]: ...

    def last_block(self, block: int, behind: bool) -> int: ...

    async def recall(self) -> None: ...


class OutcomeSink(Protocol):
    async def record(self, outcomes: Sequence[Outcome]) -> None: ...
