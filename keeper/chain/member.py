"""One node of several: whether it can be trusted with a question now, and why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from keeper.chain.node import Call, Node
from keeper.chain.rpc_errors import RpcError, lacks_block
from keeper.errors import Transient

log = structlog.get_logger("keeper.chain")

SHUNNED_FIRST_S, SHUNNED_MOST_S = 0.5, 30.0
LAGS = 2
"""Blocks behind the others from which it is told: one is how news travels."""

THINGS = {"eth_getBlockByNumber", "eth_getBlockByHash", "eth_getTransactionByHash", "eth_getTransactionReceipt"}
"""What a node that lacks it says nothing of."""

NEWEST: Call = ("eth_getBlockByNumber", ["latest", False])
CHAIN_ID: Call = ("eth_chainId", [])


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """`problem`: why it is shunned, "" when it is not. `behind`: blocks, at the last look."""

    name: str
    problem: str
    behind: int


class Lacking(Exception):
    """A node that does not have what was asked for, with all it answered."""

    def __init__(self, results: list[Any]) -> None:
        super().__init__()
        self.results = results


class Member:
    """Shunned for a while after each failure, longer each time; then asked for its chain before it is believed again."""

    def __init__(self, node: Node, chain_id: int, now_s: Callable[[], float]) -> None:
        self.node, self.newest = node, -1
        self._chain_id, self._now_s = chain_id, now_s
        self._met = self._lags = False
        self._failures, self._until_s, self._problem = 0, 0.0, ""

    @property
    def shunned(self) -> bool:
        return self._until_s > self._now_s()

    def status(self, best: int) -> NodeStatus:
        return NodeStatus(self.node.name, self._problem if self.shunned else "", best - self.newest if self.newest >= 0 else 0)

    async def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Raises Transient; Lacking when it does not have what was asked for."""
        unmet = not self._met
        try:
            results = await self.node.batch([CHAIN_ID, *calls] if unmet else calls)
            if unmet:
                self._meet(results.pop(0))
        except Transient as away:
            self.shun(str(away))
            raise
        if any(_lacking(method, result) for (method, _), result in zip(calls, results, strict=True)):
            raise Lacking(results)
        if not self.shunned:
            self._welcome()
        return results

    async def head(self, best: int) -> Any:
        """Its newest block, raw. `best`: the newest that any node is known to have. Raises Transient."""
        try:
            (raw,) = await self.ask([NEWEST])
        except Lacking:
            raw = None
        if not isinstance(raw, dict):
            raise Transient(f"{self.node.name}: the node has no latest block")
        self.newest = number_of(raw)
        if (lags := self.newest + LAGS <= best) != self._lags:
            self._lags = lags
            log.info("node_lags" if lags else "node_keeps_up", node=self.node.name, block=self.newest, newest=best)
        return raw

    def shun(self, problem: str) -> None:
        if not self._problem:
            log.warning("node_shunned", node=self.node.name, problem=problem)
        self._until_s = self._now_s() + min(SHUNNED_FIRST_S * 2.0 ** min(self._failures, 20), SHUNNED_MOST_S)
        self._failures += 1
        self._met, self._problem = False, problem

    def _welcome(self) -> None:
        if self._problem:
            log.info("node_back", node=self.node.name)
        self._failures, self._problem = 0, ""

    def _meet(self, found: Any) -> None:
        if isinstance(found, RpcError) or int(found, 16) != self._chain_id:
            raise Transient(f"{self.node.name}: is not on chain {self._chain_id}")
        self._met = True


def _lacking(method: str, result: Any) -> bool:
    return lacks_block(result) if isinstance(result, RpcError) else result is None and method in THINGS


def number_of(raw: Any) -> int:
    return int(raw["number"], 16)
