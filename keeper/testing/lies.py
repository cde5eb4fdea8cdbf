"""What a node in trouble says instead of the truth; for `FaultProxy.lie`. Each is told a call and the node's own reply to it."""

from __future__ import annotations

import random
from typing import Any

Reply = dict[str, Any]


class Lie:
    """`asked`: what the node is asked instead; `told`: what is answered instead."""

    def asked(self, call: dict[str, Any]) -> dict[str, Any]:
        return call

    def told(self, call: dict[str, Any], reply: Reply) -> Reply:
        return reply


class Frozen(Lie):
    """A node that stopped at a block: newer ones it does not have, and of its newest it says what was."""

    def __init__(self, number: int) -> None:
        self._number = number

    def asked(self, call: dict[str, Any]) -> dict[str, Any]:
        return {**call, "params": [hex(self._number) if param == "latest" else param for param in call.get("params", [])]}

    def told(self, call: dict[str, Any], reply: Reply) -> Reply:
        if call["method"] == "eth_blockNumber":
            return {**reply, "result": hex(self._number)}
        if call["method"] == "eth_getLogs" and any(self._unknown(log) for log in reply.get("result") or ()):
            return _error(reply, "unknown block")
        if call["method"] in {"eth_simulateV1", "eth_call"} and self._beyond(call["params"][1:]):
            return _error(reply, "header not found")
        return {**reply, "result": None} if self._unknown(reply.get("result")) else reply

    def _beyond(self, params: list[Any]) -> bool:
        return any(isinstance(param, str) and param.startswith("0x") and int(param, 16) > self._number for param in params)

    def _unknown(self, result: Any) -> bool:
        number = result.get("number") or result.get("blockNumber") if isinstance(result, dict) else None
        return isinstance(number, str) and int(number, 16) > self._number


class ElsewhereBound(Lie):
    """A node of another chain, as after somebody changed what is behind a URL."""

    def told(self, call: dict[str, Any], reply: Reply) -> Reply:
        return {**reply, "result": "0x539"} if call["method"] == "eth_chainId" else reply


class LogsMissing(Lie):
    """A node that answers before it has indexed the block."""

    def told(self, call: dict[str, Any], reply: Reply) -> Reply:
        return {**reply, "result": []} if call["method"] == "eth_getLogs" and "result" in reply else reply


class LogsTwice(Lie):
    def told(self, call: dict[str, Any], reply: Reply) -> Reply:
        return {**reply, "result": reply["result"] * 2} if call["method"] == "eth_getLogs" and "result" in reply else reply


class Nonsense(Lie):
    """Now and then an answer that is none; the same ones for the same seed."""

    ANSWERS: tuple[Any, ...] = (None, "0xzz", "", {}, 7, True, [None], {"hash": "0x12"}, "<html>busy</html>")

    def __init__(self, seed: int, share: float = 0.3) -> None:
        self._random, self._share = random.Random(seed), share

    def told(self, call: dict[str, Any], reply: Reply) -> Reply:
        if call["method"].startswith("eth_send") or self._random.random() >= self._share:
            return reply
        return {key: value for key, value in reply.items() if key != "error"} | {"result": self._random.choice(self.ANSWERS)}


def _error(reply: Reply, message: str) -> Reply:
    return {"jsonrpc": "2.0", "id": reply["id"], "error": {"code": -32000, "message": message}}
