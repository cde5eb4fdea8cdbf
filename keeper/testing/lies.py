"""What a node in trouble says instead of the truth; for `FaultProxy.lie`. Each is told a call and the node's own reply to it."""

from __future__ import annotations

import random
from collections.abc import Callable
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


class OldHeads(Lie):
    """Now and then its newest block is an old one, as of a load balancer with a straggler behind it."""

    def __init__(self, seed: int, most: int = 5) -> None:
        self._random, self._most, self._newest = random.Random(seed), most, 0

    def asked(self, call: dict[str, Any]) -> dict[str, Any]:
        back = self._random.randint(0, self._most)
        if "latest" not in call.get("params", []) or not back or self._newest <= back:
            return call
        return {**call, "params": [hex(self._newest - back) if param == "latest" else param for param in call["params"]]}

    def told(self, call: dict[str, Any], reply: Reply) -> Reply:
        if call["method"] == "eth_getBlockByNumber" and reply.get("result"):
            self._newest = max(self._newest, int(reply["result"]["number"], 16))
        return reply


class Forked(Lie):
    """A node on a branch of its own from a block on: the same transactions in blocks of other hashes."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._true: dict[str, str] = {}

    def asked(self, call: dict[str, Any]) -> dict[str, Any]:
        return {**call, "params": _mapped(call.get("params", []), lambda text: self._true.get(text, text))}

    def told(self, call: dict[str, Any], reply: Reply) -> Reply:
        return {**reply, "result": self._shift(reply["result"])} if "result" in reply else reply

    def _shift(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._shift(item) for item in value]
        if not isinstance(value, dict):
            return value
        names = {"hash": 0, "parentHash": 1} if "parentHash" in value else {"blockHash": 0}
        number = value.get("number") or value.get("blockNumber")
        shifted = {key: self._shift(item) for key, item in value.items()}
        for name, below in names.items():
            if value.get(name) and number and int(number, 16) - below >= self._since:
                shifted[name] = self._other(value[name])
        return shifted

    def _other(self, block: str) -> str:
        other = f"0x{int(block, 16) ^ (2**256 - 1):064x}"
        self._true[other] = block
        return other


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


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return change(value) if isinstance(value, str) else value
