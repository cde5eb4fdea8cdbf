"""What the transaction engine keeps and reports: submissions, the receipts that end them."""

from __future__ import annotations

from dataclasses import dataclass, field

from keeper.execution.states import LANDED, UNRESOLVED, State
from keeper.types import Address, Bid, Hash, Log, Waiting

NOWHERE = Hash("")
"""The block hash of what no block has decided."""


@dataclass(frozen=True, slots=True)
class Intent:
    """Something worth one transaction. `plan_json` is opaque; "" of a transfer. `fee_cap_wei`: most it may pay per gas when its fees are
    raised; None: the engine's own cap alone."""

    to: Address
    data: bytes
    bid: Bid
    market: str
    account: Address
    plan_json: str
    block: int
    fee_cap_wei: int | None = None
    behind: tuple[Waiting, ...] = ()
    value_wei: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """The end of a transaction on the chain, as the node tells it."""

    tx: Hash
    ok: bool
    block_number: int
    block_hash: Hash
    tx_index: int
    gas_used: int
    effective_gas_price_wei: int
    logs: tuple[Log, ...] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """One signed transaction. `block_number`, `block_hash`: where it was decided, 0 and NOWHERE while it is not. `replaces`: id of the
    submission at the same nonce that this one is to supersede. `detail`: the relay's last word. `last_block`: the last that it can be in,
    0: any."""

    id: int
    chain_id: int
    signer: Address
    nonce: int
    tx: Hash
    raw: bytes = field(repr=False)
    to: Address
    max_fee_wei: int
    priority_fee_wei: int
    gas_limit: int
    state: State
    market: str
    account: Address
    plan_json: str = field(repr=False)
    created_block: int
    sent_block: int
    attempts: int
    replaces: int | None
    fee_cap_wei: int | None
    block_number: int = 0
    block_hash: Hash = NOWHERE
    detail: str = ""
    acknowledged: bool = True
    last_block: int = 0

    @property
    def unresolved(self) -> bool:
        return self.state in UNRESOLVED

    @property
    def landed(self) -> bool:
        return self.state in LANDED

    @property
    def refused(self) -> bool:
        """Dropped at the relay's word alone, which the chain may belie."""
        return self.state is State.DROPPED and self.block_hash == NOWHERE

    @property
    def is_cancel(self) -> bool:
        """A transfer of nothing to ourselves that only uses up a nonce."""
        return self.to == self.signer

    @property
    def is_transfer(self) -> bool:
        """Of ether, or of nothing: it carries out no plan."""
        return not self.plan_json

    @property
    def is_payment(self) -> bool:
        """Of ether: nothing is lost when it waits."""
        return self.is_transfer and not self.is_cancel

    @property
    def bid(self) -> Bid:
        return Bid(self.max_fee_wei, self.priority_fee_wei, self.gas_limit)


@dataclass(frozen=True, slots=True)
class Resolved:
    """News of a submission: how it ended, or that its end was undone. `receipt` is there when it landed."""

    submission: Submission
    receipt: Receipt | None = None

    @property
    def state(self) -> State:
        """One of the final states, or REORGED_OUT: then it is on its way again, however far it has got since."""
        return State.REORGED_OUT if self.submission.unresolved else self.submission.state
