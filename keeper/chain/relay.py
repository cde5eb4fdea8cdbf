"""Sending a signed transaction."""

from __future__ import annotations

from keeper.chain.rpc import Rpc
from keeper.chain.rpc_errors import RpcError
from keeper.chain.send_replies import classify
from keeper.chain.wire import hex_bytes
from keeper.errors import Transient
from keeper.types import Hash, SendResult, Sent


class PublicRelay:
    """A node's public mempool. Never raises for what a node or a network does, and never sends twice."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        """ACCEPTED with the node's answer; REFUSED with a label; UNKNOWN when nobody can tell."""
        try:
            answer = await self._rpc.request("eth_sendRawTransaction", hex_bytes(raw))
        except RpcError as error:
            return classify(error.words)
        except Transient as away:
            return Sent(SendResult.UNKNOWN, str(away))
        return Sent(SendResult.ACCEPTED) if str(answer).lower() == tx else Sent(SendResult.UNKNOWN, f"the node answered with {answer}")


class DryRelay:
    """Sends nothing."""

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        return Sent(SendResult.REFUSED, "dry_run")
