"""What an adapter's author gives the suite: a deployment on a node that may be moved, and the people who use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from keeper.options import Options
from keeper.ports import Adapter, Market, Reader
from keeper.testing.adapter.node import Node
from keeper.types import Address, Cell


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction to try; random ones may well revert."""

    sender: Address
    to: Address
    data: bytes


class Deployment(ABC):
    """A market that lives on an anvil.

    `rpc`: the node's URL. `address`: what the adapter is opened with. `accounts`: everybody who may hold a position. `wrong_addresses`:
    contracts that are no such market, the likeliest mistakes first."""

    rpc: str
    adapter: Adapter
    address: Address
    accounts: Sequence[Address]
    wrong_addresses: Sequence[Address] = ()
    options: Mapping[str, object] = {}
    """As under `options` in a config."""

    exempt: ClassVar[Mapping[str, str]] = {}
    """Check, without its "test_" → why it does not apply to this protocol, in one line: it is skipped with that reason."""

    passing: ClassVar[frozenset[str]] = frozenset()
    """Reasons with which a fill may refuse an amount that is offered: not rules about the account, but what a venue allows just now."""

    blocks: int = 40
    """How many blocks of random life the checks look at."""

    steps_s: Sequence[int] = (1, 12, 12, 12, 12, 600, 86_400)
    """Seconds from one block to the next: one of these, at random."""

    async def open(self, adapter: Adapter, reader: Reader, name: str = "market") -> Market:
        """By this adapter."""
        return await adapter.open(reader, name, self.address, None, Options(self.options))

    async def prepare(self, node: Node) -> None:
        """Whatever the actions need: ether, tokens, allowances. What is sent is mined after."""
        return

    @abstractmethod
    def actions(self, rng: Random) -> Sequence[Transaction]:
        """A block's worth of random life: people act, prices move, some fall below their threshold. The same `rng`, the same life."""

    async def happens(self, node: Node, rng: Random) -> Sequence[Transaction]:
        """The same, for life that hangs on what the node says now."""
        return self.actions(rng)

    @abstractmethod
    def pause(self) -> Sequence[Transaction]:
        """What makes the contract refuse every liquidation."""

    async def fund(self, node: Node, token: Address, account: Address, amount: int) -> None:
        """Put that much of a token into an account."""
        await node.request("anvil_dealERC20", account, token, hex(amount))

    def unsettled(self, cell: Cell) -> bool:
        """Whether a fill leaves this cell to the events of its block: nothing it decides at its own timestamp hangs on it."""
        return False
