"""The block builder: what it takes, and how it makes a block of it on a node that would order by arrival.

The clock is the chain's: a slot has as many milliseconds as its block time, and who sends says when by its declared latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keeper.arena.mempool import Bundle, Mempool, Refused, Tx
from keeper.arena.ordering import Unit, arrange
from keeper.arena.raw import from_pool, from_raw
from keeper.chain.wire import block_overrides
from keeper.devnet import Devnet
from keeper.devnet.basefee import next_base_fee, traffic
from keeper.types import Address, Hash, Landing

SLOT_MS = 12_000
ANY_GAS = 10**10


class Builder:
    """`latency_ms`: of each participant, from the moment there was something to react to until its transaction is here."""

    def __init__(self, net: Devnet, latency_ms: dict[str, int]) -> None:
        self._net, self._latency_ms = net, latency_ms
        self.pool = Mempool()
        self.now_ms = 0
        self.seen: dict[Hash, Tx] = {}
        """Every transaction that ever came, for the report."""
        self.built: dict[int, tuple[Hash, ...]] = {}

    # --- in

    def send(self, owner: str, raw: str, private: bool = False) -> Tx:
        """Raises Refused in a node's words."""
        tx = from_raw(raw, owner, private, self._arrival(owner))
        self.pool.add(tx)
        self.seen[tx.hash] = tx
        return tx

    def send_bundle(
        self,
        owner: str,
        txs: Sequence[str],
        first_block: int,
        last_block: int,
        dropping: frozenset[Hash] = frozenset(),
        reverting: frozenset[Hash] = frozenset(),
        name: str = "",
    ) -> Bundle:
        """`txs`: raw transactions, or hashes of public ones that wait. For the others see `Bundle`. Raises Refused."""
        members = tuple(self._member(owner, item) for item in txs)
        bundle = Bundle(members, first_block, last_block, owner, self._arrival(owner), dropping, reverting, name)
        self.pool.add_bundle(bundle)
        self.seen.update({tx.hash: tx for tx in members if tx.owner == owner})
        return bundle

    def _member(self, owner: str, item: str) -> Tx:
        known = self.pool.find(Hash(item.lower())) if len(item) == 66 else None
        if known is not None:
            return known
        tx = from_raw(item, owner, True, self._arrival(owner))
        return self.pool.find(tx.hash) or tx

    def _arrival(self, owner: str) -> int:
        return self.now_ms + self._latency_ms.get(owner, 0)

    def visible(self, owner: str = "") -> list[Tx]:
        """What a participant sees now: what is public and here, and its own."""
        return [tx for tx in self.pool.public(owner) if tx.arrived_ms <= self.now_ms or (owner and tx.owner == owner)]

    async def adopt(self) -> list[Tx]:
        """Take what the market left in the node's own pool away from there: it is to be `put` here."""
        content = await self._net.request("txpool_content")
        found = [from_pool(raw) for kind in ("pending", "queued") for of in content[kind].values() for raw in of.values()]
        await self._net.request("anvil_dropAllTransactions")
        return sorted(found, key=lambda tx: (tx.sender, tx.nonce))

    def put(self, txs: Sequence[Tx]) -> None:
        """The market's own, here now for everyone to see, behind those of its senders that still wait: of them the node knows nothing."""
        for tx in txs:
            nonce = self.pool.next_nonce(tx.sender, tx.nonce)
            method, fields = tx.request
            here = replace(tx, arrived_ms=self.now_ms, nonce=nonce, request=(method, fields | {"nonce": hex(nonce)}))
            self.pool.add(here)
            self.seen[tx.hash] = here

    # --- out

    async def build(self, step_s: int = SLOT_MS // 1000, base_fee_factor: int = 1) -> int:
        """Mine the next block; returns its number. `base_fee_factor`: others have driven the base fee up that much at once."""
        head = await self._net.request("eth_getBlockByNumber", "latest", False)
        number, gas_limit = int(head["number"], 16) + 1, int(head["gasLimit"], 16)
        fee = base_fee_factor * next_base_fee(int(head["baseFeePerGas"], 16), int(head["gasUsed"], 16), gas_limit)
        if base_fee_factor != 1:
            await self._net.request("anvil_setNextBlockBaseFeePerGas", hex(fee))
        strangers = traffic(fee)
        room = gas_limit - sum(int(tx["gas"], 16) for tx in strangers)
        units = await self._fitting(room, Landing(number, int(head["timestamp"], 16) + step_s, fee))
        self.built[number] = tuple([Hash(await self._net.request(*tx.request)) for unit in units for tx in unit.txs])
        for stranger in strangers:
            await self._net.request("eth_sendTransaction", stranger | {"maxFeePerGas": hex(4 * fee), "maxPriorityFeePerGas": "0x0"})
        await self._net.request("anvil_setTime", head["timestamp"])
        await self._net.request("evm_mine", {"timestamp": hex(int(head["timestamp"], 16) + step_s)})
        await self._net.request("anvil_dropAllTransactions")
        self.pool.settle(await self._nonces(), number)
        self.now_ms = 0
        return number

    async def _fitting(self, gas_limit: int, landing: Landing) -> list[Unit]:
        """Arranged so that no bundle has a transaction that fails, and that only used gas counts."""
        bundles, nonces = list(self.pool.bundles(landing.number)), await self._nonces()
        spent: dict[Hash, int] = {}
        while True:
            units = arrange(self.pool.txs(), bundles, nonces, landing.base_fee_wei, gas_limit, SLOT_MS, spent)
            ran = await self._ran(units, landing)
            failed = ((unit.bundle, tx) for unit, tx in _flat(units) if unit.bundle and not ran[tx.hash][0])
            failing = next(((bundle, tx) for bundle, tx in failed if tx.hash not in bundle.reverting), None)
            if failing is not None:
                bundles = [one for one in bundles if one is not failing[0]] + _without(*failing)
            elif ran.keys() <= spent.keys():
                return units
            spent |= {tx: gas for tx, (_, gas) in ran.items()}

    async def _ran(self, units: Sequence[Unit], landing: Landing) -> dict[Hash, tuple[bool, int]]:
        """Whether each would succeed in this order, and the gas it would use."""
        calls = [_call(tx) for _, tx in _flat(units)]
        if not calls:
            return {}
        block = {"blockOverrides": {**block_overrides(landing), "gasLimit": hex(ANY_GAS)}, "calls": calls}
        blocks = await self._net.request("eth_simulateV1", {"blockStateCalls": [block], "validation": False}, hex(landing.number - 1))
        found = zip(_flat(units), blocks[0]["calls"], strict=True)
        return {tx.hash: (result["status"] == "0x1", int(result["gasUsed"], 16)) for (_, tx), result in found}

    async def _nonces(self) -> dict[Address, int]:
        waiting = (tx.sender for tx in self.pool.txs())
        senders = list(dict.fromkeys([*waiting, *(tx.sender for tx in self.seen.values())]))
        counts = await self._net.batch([("eth_getTransactionCount", [sender, "latest"]) for sender in senders])
        return {sender: int(count, 16) for sender, count in zip(senders, counts, strict=True)}


def _flat(units: Sequence[Unit]) -> list[tuple[Unit, Tx]]:
    return [(unit, tx) for unit in units for tx in unit.txs]


def _without(bundle: Bundle, failing: Tx) -> list[Bundle]:
    """What is left to offer of a bundle in which this one fails."""
    left = tuple(tx for tx in bundle.txs if tx is not failing)
    return [replace(bundle, txs=left)] if failing.hash in bundle.dropping and left else []


def _call(tx: Tx) -> dict[str, str]:
    return {"from": tx.sender, "to": tx.to, "gas": hex(tx.gas_limit), "input": "0x" + tx.data.hex()}


__all__ = ["SLOT_MS", "Builder", "Refused"]
