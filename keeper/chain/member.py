"""One node of several: whether it can be trusted with a question now, and why not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from keeper.chain.node import Call, Node
from keeper.chain.rpc_errors import RpcError, is_revert, too_much
from keeper.errors import Transient

log = structlog.get_logger("keeper.chain")

SHUNNED_FIRST_S, SHUNNED_MOST_S = 0.5, 30.0
LAGS = 2
"""Blocks behind the others from which it is told: one is how news travels."""

FORGOTTEN_AFTER = 3
"""Failures in a row."""

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


class Member:
    """Shunned for a while after each failure, longer each time; then asked for its chain before it is believed again."""

    def __init__(self, node: Node, chain_id: int, now_s: Callable[[], float]) -> None:
        self.node, self.newest = node, -1
        self._chain_id, self._now_s = chain_id, now_s
        self._met = self._lags = False
        self._failures, self._until_s, self._problem, self._slow_at = 0, 0.0, "", ""

    @property
    def shunned(self) -> bool:
        return self._until_s > self._now_s()

    def status(self, best: int) -> NodeStatus:
        return NodeStatus(self.node.name, self._problem if self.shunned else "", best - self.newest if self.newest >= 0 else 0)

    async def ask(self, calls: Sequence[Call]) -> list[Any]:
        """What it says, an RpcError in the place of each call that failed. Raises Transient, whatever happens."""
        unmet = not self._met
        try:
            results = await self.node.batch([CHAIN_ID, *calls] if unmet else calls)
            if unmet:
                self._meet(results.pop(0))
        except Transient as away:
            self._fail(str(away))
            raise
        except Exception as odd:  # whatever one node brings about must not reach the others
            self._fail(type(odd).__name__)
            raise Transient(f"{self.node.name}: {type(odd).__name__}") from None
        if not self.shunned and not any(lacking(call, result) for call, result in zip(calls, results, strict=True)):
            self._welcome({method for method, _ in calls})
        return results

    async def head(self, best: int) -> Any:
        """Its newest block, raw, and that it is on our chain. `best`: the newest that any node is known to have. Raises Transient."""
        self._met = False
        (raw,) = await self.ask([NEWEST])
        if not isinstance(raw, dict):
            self.shun("has no latest block")
            raise Transient(f"{self.node.name}: the node has no latest block")
        self.newest = number_of(raw)
        if (lags := self.newest + LAGS <= best) != self._lags:
            self._lags = lags
            log.info("node_lags" if lags else "node_keeps_up", node=self.node.name, block=self.newest, newest=best)
        return raw

    def shun(self, problem: str, slow_at: str = "") -> None:
        """`slow_at`: the method at which it was; only by that it can win its good name back."""
        if not self._problem:
            log.warning("node_shunned", node=self.node.name, problem=problem)
        self._until_s = self._now_s() + min(SHUNNED_FIRST_S * 2.0 ** min(self._failures, 20), SHUNNED_MOST_S)
        self._failures += 1
        self._met, self._problem, self._slow_at = False, problem, slow_at

    def _fail(self, problem: str) -> None:
        """Who is gone for good has no newest block that others could be behind."""
        self.shun(problem)
        if self._failures > FORGOTTEN_AFTER:
            self.newest = -1

    def _welcome(self, methods: Collection[str]) -> None:
        if self._slow_at and self._slow_at not in methods:
            return
        if self._problem:
            log.info("node_back", node=self.node.name)
        self._failures, self._problem, self._slow_at = 0, "", ""

    def _meet(self, found: Any) -> None:
        if isinstance(found, RpcError) or int(found, 16) != self._chain_id:
            self.newest = -1
            raise Transient(f"{self.node.name}: is not on chain {self._chain_id}")
        self._met = True


def lacking(call: Call, result: Any) -> bool:
    """Whether another node may have more to say: this one does not have what was asked for, or cannot do it."""
    if isinstance(result, RpcError):
        return not (is_revert(result) or too_much(result))
    return result is None and call[0] in THINGS


def number_of(raw: Any) -> int:
    return int(raw["number"], 16)
