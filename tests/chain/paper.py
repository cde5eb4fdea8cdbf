"""Nodes on paper: for what real ones do too rarely, or in too exact an order, to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from keeper.chain.node import Call
from keeper.chain.rpc_errors import RpcError
from keeper.types import Hash, Head

Answer = Any
QUICK_S = 0.001


def hash_of(number: int) -> Hash:
    return Hash(f"0x{number:064x}")


def head(number: int) -> Head:
    return Head(number, hash_of(number), hash_of(number - 1), number, 1, 1, 0)


def raw(number: int) -> dict[str, str]:
    fields = {"number": hex(number), "timestamp": hex(number), "gasLimit": "0x1", "gasUsed": "0x0", "baseFeePerGas": "0x1"}
    return {"hash": hash_of(number), "parentHash": hash_of(number - 1), **fields}


class PaperNode:
    """At block `number`. `answers`: method → what it answers: a value, an error, or a function of the parameters; `delay_s`: method → how
    long it takes."""

    def __init__(self, name: str, number: int = 100, **answers: Answer) -> None:
        self.name, self.number, self.answers = name, number, answers
        self.delay_s: dict[str, float] = {}
        self.asked: list[str] = []
        self.closed = False
        self.asked_closed = 0

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        return [await self._one(method, params) for method, params in calls]

    async def request(self, method: str, *params: Any) -> Any:
        result = await self._one(method, params)
        if isinstance(result, RpcError):
            raise result
        return result

    async def close(self) -> None:
        self.closed = True

    async def _one(self, method: str, params: Sequence[Any]) -> Any:
        self.asked_closed += self.closed
        self.asked.append(method)
        await asyncio.sleep(self.delay_s.get(method, QUICK_S))
        defaults: dict[str, Any] = {"eth_chainId": "0x1", "eth_getBlockByNumber": self._block}
        default = defaults.get(method)
        answer = self.answers.get(method, default)
        answer = answer(*params) if callable(answer) else answer
        if isinstance(answer, Exception) and not isinstance(answer, RpcError):
            raise answer
        return answer

    def _block(self, number: str, full: bool) -> Any:
        wanted = self.number if number == "latest" else int(number, 16)
        return raw(wanted) if wanted <= self.number else None
