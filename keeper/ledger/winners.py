"""What the winners of liquidations paid, asked of a node: who sent the transaction, its tip, and what else reached the builder.

A payment inside a transaction shows in no receipt. What the block's fee recipient gained beyond all tips was paid to him directly; it is
shared out among the others' liquidations of the block by their worth: ours pay nothing that way. A node that does not keep old balances
tells of tips alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keeper.chain.node import Node
from keeper.chain.rpc_errors import RpcError
from keeper.errors import Transient
from keeper.planning.races import Liquidated
from keeper.types import Address, Hash, Head


@dataclass(frozen=True, slots=True)
class Winner:
    """`to`: the contract called; `tip_wei`: per gas beyond the base fee, what was paid to the builder included."""

    sender: Address
    to: Address
    ours: bool
    gas_used: int
    tip_wei: int


async def winners(rpc: Node, head: Head, found: Sequence[Liquidated], ours: Collection[Address]) -> dict[Hash, Winner]:
    """By transaction. `ours`: senders and contracts of ours. Raises Transient for a node that is away, or sends what is none."""
    receipts = await _receipts(rpc, [race.tx for race in found])
    try:
        by_tip = {tx: _winner(receipt, head, ours) for tx, receipt in receipts.items()}
        worth = {tx: 0 if winner.ours else sum(race.value_wei for race in found if race.tx == tx) for tx, winner in by_tip.items()}
        direct_wei = await _direct_wei(rpc, head) if any(worth.values()) else 0
        return {tx: _with_direct(winner, _part(direct_wei, worth, tx)) for tx, winner in by_tip.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Transient(f"{rpc.name}: sent a receipt that is not one") from None


async def _receipts(rpc: Node, txs: Iterable[Hash]) -> dict[Hash, Any]:
    wanted = sorted(set(txs))
    results = await rpc.batch([("eth_getTransactionReceipt", [tx]) for tx in wanted])
    return {tx: result for tx, result in zip(wanted, results, strict=True) if result and not isinstance(result, RpcError)}


async def _direct_wei(rpc: Node, head: Head) -> int:
    """What the fee recipient gained in the block beyond tips; 0 where the node does not tell. His own spending hides as much."""
    try:
        header = await rpc.request("eth_getBlockByHash", head.hash, False)
        receipts = await rpc.request("eth_getBlockReceipts", hex(head.number))
        miner = header["miner"]
        before, after = [int(await rpc.request("eth_getBalance", miner, hex(number)), 16) for number in (head.number - 1, head.number)]
    except RpcError:
        return 0
    tips = sum(int(receipt["gasUsed"], 16) * _tip_wei(receipt, head) for receipt in receipts)
    withdrawn = sum(int(item["amount"], 16) * 10**9 for item in header.get("withdrawals") or () if item["address"] == miner)
    return max(after - before - tips - withdrawn, 0)


def _tip_wei(receipt: Any, head: Head) -> int:
    return max(int(receipt["effectiveGasPrice"], 16) - head.base_fee_wei, 0)


def _part(direct_wei: int, worth: dict[Hash, int], tx: Hash) -> int:
    return direct_wei * worth[tx] // total if (total := sum(worth.values())) else 0


def _winner(receipt: Any, head: Head, ours: Collection[Address]) -> Winner:
    sender, to = Address(receipt["from"].lower()), Address((receipt["to"] or "").lower())
    return Winner(sender, to, bool({sender, to} & set(ours)), int(receipt["gasUsed"], 16), _tip_wei(receipt, head))


def _with_direct(winner: Winner, direct_wei: int) -> Winner:
    return replace(winner, tip_wei=winner.tip_wei + direct_wei // max(winner.gas_used, 1))
