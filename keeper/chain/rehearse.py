"""What transactions of others that wait would do in the next block, by the node's own word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keeper.chain.node import Call, Node
from keeper.chain.rpc_errors import RpcError
from keeper.chain.wire import block_overrides, hex_bytes, log_of
from keeper.errors import Transient
from keeper.types import Address, Landing, Log, Waiting

GAS_LIMIT = 10**10


async def rehearse(rpc: Node, waiting: Sequence[Waiting], landing: Landing) -> list[tuple[Log, ...] | None]:
    """The logs of each, one after another; None for one that has landed, that waits for another of its sender, or that reverts. Raises
    Transient for a node that is away or cannot do it."""
    senders = sorted({item.sender for item in waiting})
    block = {"blockOverrides": {**block_overrides(landing), "gasLimit": hex(GAS_LIMIT)}, "calls": [call_of(item) for item in waiting]}
    run: Call = ("eth_simulateV1", [{"blockStateCalls": [block], "validation": False}, hex(landing.number - 1)])
    counts: list[Call] = [("eth_getTransactionCount", [sender, hex(landing.number - 1)]) for sender in senders]
    simulated, *nonces = await rpc.batch([run, *counts])
    for reply in (simulated, *nonces):
        if isinstance(reply, RpcError):
            raise Transient(f"{rpc.name}: {reply.message}")
    following = {sender: int(nonce, 16) for sender, nonce in zip(senders, nonces, strict=True)}
    return [_logs(item, result, landing, following) for item, result in zip(waiting, simulated[0]["calls"], strict=True)]


def call_of(item: Waiting) -> dict[str, str]:
    return {"from": item.sender, "to": item.to, "gas": hex(item.gas), "value": hex(item.value_wei), "input": hex_bytes(item.data)}


def _logs(item: Waiting, result: Any, landing: Landing, following: dict[Address, int]) -> tuple[Log, ...] | None:
    """Of one sender only what is next, or comes after it."""
    if item.nonce != following[item.sender] or int(result["status"], 16) == 0:
        return None
    following[item.sender] += 1
    return tuple(log_of({**raw, "transactionHash": item.tx}, landing.timestamp_s) for raw in result["logs"])
