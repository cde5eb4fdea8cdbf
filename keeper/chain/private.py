"""A builder's private door (`eth_sendPrivateTransaction`): nobody else sees what waits there, and it is given up after some blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keeper.chain.node import Node
from keeper.chain.rpc_errors import RpcError
from keeper.chain.send_replies import classify
from keeper.chain.wire import hex_bytes
from keeper.errors import Transient
from keeper.types import Hash, Parcel, SendResult, Sent


class PrivateChannel:
    """`blocks`: how many a transaction is kept for."""

    ties = False

    def __init__(self, rpc: Node, blocks: int = 25) -> None:
        self._rpc, self.blocks = rpc, blocks
        self._kept: dict[Hash, int] = {}

    async def carry(self, parcels: Sequence[Parcel]) -> list[Sent]:
        return list(await asyncio.gather(*(self._send(parcel) for parcel in parcels)))

    async def recall(self) -> None:
        """Those that know no cancelling let it run out."""
        kept, self._kept = list(self._kept), {}
        calls = (self._rpc.request("eth_cancelPrivateTransaction", {"txHash": tx}) for tx in kept)
        await asyncio.gather(*calls, return_exceptions=True)

    async def _send(self, parcel: Parcel) -> Sent:
        last = parcel.block + self.blocks - 1
        self._kept = {tx: until for tx, until in self._kept.items() if until >= parcel.block} | {parcel.tx: last}
        try:
            await self._rpc.request("eth_sendPrivateTransaction", {"tx": hex_bytes(parcel.raw), "maxBlockNumber": hex(last)})
        except RpcError as error:
            return classify(error.words)
        except Transient as away:
            return Sent(SendResult.UNKNOWN, str(away))
        return Sent(SendResult.ACCEPTED)
