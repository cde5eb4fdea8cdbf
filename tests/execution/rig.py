"""A transaction engine on the devnet, its files, and the ways in which wires and processes fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from keeper.chain.fees import next_base_fee
from keeper.chain.reader import NodeReader
from keeper.chain.relay import PublicRelay
from keeper.chain.rpc import Rpc
from keeper.devnet import Devnet
from keeper.devnet.names import OPERATOR_KEY
from keeper.execution.engine import ChainReader, Limits, TxEngine
from keeper.execution.outbox import Outbox
from keeper.execution.receipts import NodeReceipts
from keeper.execution.signer import Signer
from keeper.execution.submission import Intent, Resolved, Submission
from keeper.ledger.ledger import Ledger
from keeper.ports import Relay
from keeper.secret import Secret
from keeper.types import Address, Bid, Hash, Head, SendResult, Sent

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


class Rig:
    """One process of the keeper: engine, outbox and ledger on one folder."""

    def __init__(self, net: Devnet, rpc: Rpc, ledger: Ledger, relay: Relay | None, chain: ChainReader | None, limits: Limits) -> None:
        self.net, self.ledger = net, ledger
        self.node = PublicRelay(rpc)
        self.wire = Wire(relay or self.node)
        self.receipts = NodeReceipts(rpc)
        self.reader = NodeReader(rpc)
        self.outbox = Outbox(ledger.database, net.chain_id, SIGNER.address)
        self.engine = TxEngine(self.outbox, SIGNER, self.wire, chain or self.receipts, next_base_fee, limits)

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
async def rig(
    net: Devnet, folder: Path, relay: Relay | None = None, chain: ChainReader | None = None, limits: Limits = LIMITS
) -> AsyncIterator[Rig]:
    """A process that has recovered."""
    async with stopped(net, folder, relay, chain, limits) as it:
        await it.engine.recover(await it.head())
        yield it


@asynccontextmanager
async def stopped(
    net: Devnet, folder: Path, relay: Relay | None = None, chain: ChainReader | None = None, limits: Limits = LIMITS
) -> AsyncIterator[Rig]:
    """A process that has its files open but has done nothing yet."""
    rpc = Rpc(net.rpc, "devnet", retries=0)
    ledger = await Ledger.open(folder / "ledger.sqlite", net.chain_id)
    try:
        yield Rig(net, rpc, ledger, relay, chain, limits)
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
