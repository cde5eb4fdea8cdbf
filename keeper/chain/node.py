"""What answers JSON-RPC calls: one endpoint, or several as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Call = tuple[str, Sequence[Any]]
"""(method, parameters)"""


class Node(Protocol):
    @property
    def name(self) -> str: ...

    async def request(self, method: str, *params: Any) -> Any:
        """One call's result. Raises RpcError on the node's error reply, Transient when the node is away, slow or over its limit."""
        ...

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Many calls' results in order, an RpcError in the place of each that failed. Raises Transient like `request`."""
        ...

    async def close(self) -> None: ...


def repeatable(method: str) -> bool:
    """Only reads may be asked again: a repeated send or a repeated evm_mine does something twice."""
    return method.startswith(("eth_", "net_", "web3_")) and not method.startswith(("eth_send", "eth_cancel"))
