"""The block builder: what it takes, and how it makes a block of it on a node that would order by arrival.

The clock is the chain's: a slot has as many milliseconds as its block time, and who sends says when by its declared latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keeper.arena.mempool import Bundle, Mempool, Refused, Tx
from keeper.arena.ordering import Unit, arrange
from keeper.arena.raw import from_pool, from_raw
from keeper.devnet import Devnet
from keeper.devnet.basefee import next_base_fee, traffic
from keeper.types import Address, Hash

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

    def send_bundle(self, owner: str, txs: Sequence[str], first_block: int, last_block: int) -> Bundle:
        """`txs`: raw transactions, or hashes of public ones that wait. Raises Refused."""
        members = tuple(self._member(owner, item) for item in txs)
        bundle = Bundle(members, first_block, last_block, owner, self._arrival(owner))
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
        """The market's own, here now for everyone to see."""
        for tx in txs:
            here = replace(tx, arrived_ms=self.now_ms)
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
        units = await self._fitting(number, fee, room, int(head["timestamp"], 16) + step_s)
        self.built[number] = tuple([Hash(await self._net.request(*tx.request)) for unit in units for tx in unit])
        for stranger in strangers:
            await self._net.request("eth_sendTransaction", stranger | {"maxFeePerGas": hex(4 * fee), "maxPriorityFeePerGas": "0x0"})
        await self._net.request("anvil_setTime", head["timestamp"])
        await self._net.request("evm_mine", {"timestamp": hex(int(head["timestamp"], 16) + step_s)})
        await self._net.request("anvil_dropAllTransactions")
        self.pool.settle(await self._nonces(), number)
        self.now_ms = 0
        return number

    async def _fitting(self, number: int, base_fee_wei: int, gas_limit: int, timestamp_s: int) -> list[Unit]:
        """Arranged so that no bundle has a transaction that fails."""
        bundles, nonces = list(self.pool.bundles(number)), await self._nonces()
        while True:
            units = arrange(self.pool.txs(), bundles, nonces, base_fee_wei, gas_limit, SLOT_MS)
            failing = await self._failing(units, bundles, number, timestamp_s, base_fee_wei)
            if failing is None:
                return units
            bundles.remove(failing)

    async def _failing(
        self, units: Sequence[Unit], bundles: Sequence[Bundle], number: int, timestamp_s: int, base_fee_wei: int
    ) -> Bundle | None:
        whole = {bundle.txs: bundle for bundle in bundles}
        if not any(unit in whole for unit in units):
            return None
        flat = [(unit, tx) for unit in units for tx in unit]
        block = {
            "blockOverrides": {
                "number": hex(number),
                "time": hex(timestamp_s),
                "baseFeePerGas": hex(base_fee_wei),
                "gasLimit": hex(10**10),
            },
            "calls": [_call(tx) for _, tx in flat],
        }
        blocks = await self._net.request("eth_simulateV1", {"blockStateCalls": [block], "validation": False}, hex(number - 1))
        ran = zip(flat, blocks[0]["calls"], strict=True)
        return next((whole[unit] for (unit, _), result in ran if unit in whole and result["status"] != "0x1"), None)

    async def _nonces(self) -> dict[Address, int]:
        waiting = (tx.sender for tx in self.pool.txs())
        senders = list(dict.fromkeys([*waiting, *(tx.sender for tx in self.seen.values())]))
        counts = await self._net.batch([("eth_getTransactionCount", [sender, "latest"]) for sender in senders])
        return {sender: int(count, 16) for sender, count in zip(senders, counts, strict=True)}


def _call(tx: Tx) -> dict[str, str]:
    return {"from": tx.sender, "to": tx.to, "gas": hex(tx.gas_limit), "input": "0x" + tx.data.hex()}


__all__ = ["SLOT_MS", "Builder", "Refused"]
