"""A transaction engine on the devnet, its files, and the ways in which wires and processes fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from keeper.chain.carriers import Carriers, Each
from keeper.chain.fees import next_base_fee
from keeper.chain.reader import NodeReader
from keeper.chain.relay import PublicRelay
from keeper.chain.rpc import Rpc
from keeper.devnet import Devnet
from keeper.devnet.names import OPERATOR_KEY
from keeper.errors import Transient
from keeper.execution.engine import ChainReader, Limits, TxEngine
from keeper.execution.outbox import Outbox
from keeper.execution.receipts import NodeReceipts
from keeper.execution.signer import Signer
from keeper.execution.submission import Intent, Receipt, Resolved, Submission
from keeper.ledger.ledger import Ledger
from keeper.ports import Relay
from keeper.secret import Secret
from keeper.types import Address, Bid, Hash, Head, Parcel, SendResult, Sent

GWEI = 10**9
SINK = Address("0x" + "5e" * 20)
LIMITS = Limits(max_fee_wei=500 * GWEI, max_priority_fee_wei=50 * GWEI)
SIGNER = Signer(Secret(OPERATOR_KEY))


def account(i: int) -> Address:
    return Address(f"0x{i + 1:040x}")


def intent(i: int = 0, max_fee_wei: int = 100 * GWEI, gas: int = 60_000, to: Address = SINK, cap_wei: int | None = None) -> Intent:
    return Intent(to, i.to_bytes(4, "big"), Bid(max_fee_wei, GWEI, gas), "market", account(i), "{}", 0, cap_wei)


class Wire:
    """A relay on the real node that keeps a list of what passed."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.passed: list[Hash] = []

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        self.passed.append(tx)
        return await self.relay.send(raw, tx)


class Deaf(Wire):
    """The node takes it; the answer never arrives."""

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        await super().send(raw, tx)
        return Sent(SendResult.UNKNOWN, "no answer")


class Leaky(Wire):
    """It never reaches the node, and nobody can tell."""

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        self.passed.append(tx)
        return Sent(SendResult.UNKNOWN, "no answer")


class Refusing(Wire):
    """A strict relay: it takes nothing, for a reason that is the transaction's own fault."""

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        self.passed.append(tx)
        return Sent(SendResult.REFUSED, "gas_limit")


class Hanging(Wire):
    """The node takes it; the answer comes when `answer` is set."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        sent = await super().send(raw, tx)
        self.asked.set()
        await self.answer.wait()
        return sent


class Sealed:
    """A builder that holds what it is given, until it is told to let it land."""

    ties = True
    blocks = 1

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.held: list[Parcel] = []
        self.recalled = 0

    async def carry(self, parcels: Sequence[Parcel]) -> list[Sent]:
        self.held += parcels
        return [Sent(SendResult.ACCEPTED) for _ in parcels]

    async def recall(self) -> None:
        self.recalled += 1

    async def land(self, parcel: Parcel) -> None:
        assert (await self._relay.send(parcel.raw, parcel.tx)).result is SendResult.ACCEPTED


class Chain:
    """The chain as a node tells it that may be away, or behind."""

    def __init__(self, inner: ChainReader) -> None:
        self._inner = inner
        self.away = False
        self.behind = 0

    async def nonce(self, address: Address, tag: Literal["latest", "pending"] = "latest") -> int:
        if self.away:
            raise Transient("the node is away")
        return await self._inner.nonce(address, tag) - self.behind

    async def receipt(self, tx: Hash) -> Receipt | None:
        return (await self.receipts([tx]))[0]

    async def receipts(self, txs: Sequence[Hash]) -> list[Receipt | None]:
        return [None] * len(txs) if self.behind else await self._inner.receipts(txs)


class Rig:
    """One process of the keeper: engine, outbox and ledger on one folder."""

    def __init__(self, net: Devnet, rpc: Rpc, ledger: Ledger, relay: Relay | None) -> None:
        self.net, self.ledger = net, ledger
        self.node = PublicRelay(rpc)
        self.wire = Wire(relay or self.node)
        self.receipts = NodeReceipts(rpc)
        self.chain = Chain(self.receipts)
        self.reader = NodeReader(rpc)
        self.outbox = Outbox(ledger.database, net.chain_id, SIGNER.address)
        self.engine = self.over(Carriers([Each(self.wire)]))

    def over(self, carrier: Carriers) -> TxEngine:
        return TxEngine(self.outbox, SIGNER, carrier, self.chain, next_base_fee, LIMITS)

    async def mine(self, blocks: int = 1) -> list[Resolved]:
        """Mine, and follow each head; the news of the last."""
        news: list[Resolved] = []
        for _ in range(blocks):
            await self.net.mine()
            news = await self.engine.on_head(await self.head())
        return news

    async def head(self) -> Head:
        return await self.reader.head()

    async def nonce(self) -> int:
        return await self.receipts.nonce(SIGNER.address)

    async def submit(self, *intents: Intent) -> list[Submission]:
        return await self.engine.submit(intents)

    def now(self, submission: Submission) -> Submission:
        found = self.outbox.get(submission.id)
        assert found is not None
        return found


@asynccontextmanager
async def rig(net: Devnet, folder: Path, relay: Relay | None = None) -> AsyncIterator[Rig]:
    """A process that has recovered."""
    async with stopped(net, folder, relay) as it:
        await it.engine.recover(await it.head())
        yield it


@asynccontextmanager
async def stopped(net: Devnet, folder: Path, relay: Relay | None = None) -> AsyncIterator[Rig]:
    """A process that has its files open but has done nothing yet."""
    rpc = Rpc(net.rpc, "devnet", retries=0)
    ledger = await Ledger.open(folder / "ledger.sqlite", net.chain_id)
    try:
        yield Rig(net, rpc, ledger, relay)
    finally:
        await ledger.close()
        await rpc.close()


async def take_nonces(net: Devnet, count: int) -> None:
    """Somebody else uses our key."""
    for _ in range(count):
        await net.send(SIGNER.address, SINK, b"", gas=21_000)
    await net.mine()


async def raise_base_fee(net: Devnet, base_fee_wei: int) -> None:
    await net.request("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))


def states(news: Sequence[Resolved]) -> list[str]:
    return [item.state for item in news]
