"""Block builders that take bundles (`eth_sendBundle`): ours right behind what others have waiting, or nowhere. Losing costs nothing.

One bundle for each of ours, with those of its signer whose nonces come before it. None may fail, but what is in the block already, be it
by the bundle before or, of what they come behind, by somebody else's, may be left out. So each is worth to the builder what it offers,
whatever comes after it, and nothing of ours is in a block that has nothing for it. Who loses one loses those behind it: several signers
are several chances.

The form is Flashbots' and its successors'; where the bytes of another's transaction are not known its hash stands for them, which those
who auction order flow understand.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from keeper.chain.node import Node
from keeper.chain.relay import best
from keeper.chain.rpc_errors import RpcError
from keeper.chain.send_replies import classify
from keeper.chain.signed import signed_bytes
from keeper.chain.wire import hex_bytes
from keeper.errors import Transient
from keeper.types import Address, Parcel, SendResult, Sent, Waiting


class BundleChannel:
    """`blocks`: in how many blocks a bundle may land. `new_id`: of a bundle, by which a later one takes its place."""

    ties = True

    def __init__(self, rpc: Node, blocks: int = 1, new_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> None:
        self._rpc, self.blocks, self._new_id = rpc, blocks, new_id
        self._ids: dict[tuple[int, Address, int], str] = {}

    async def carry(self, parcels: Sequence[Parcel]) -> list[Sent]:
        first = parcels[-1].block
        self._ids = {key: one for key, one in self._ids.items() if key[0] >= first}
        ours = sorted({p.nonce: p for p in (*parcels[-1].after, *parcels)}.values(), key=lambda p: p.nonce)
        must = [place for place, p in enumerate(ours) if p.last_block or p in parcels]
        behind = max((p.behind for p in parcels), key=len)
        bundles = [(number, place) for number in range(first, first + self.blocks) for place in must]
        sent = await asyncio.gather(*(self._send(number, place, ours, behind) for number, place in bundles))
        return [best(sent)] * len(parcels)

    async def recall(self) -> None:
        """Builders that know no cancelling let it run out."""
        ids, self._ids = list(self._ids.values()), {}
        calls = (self._rpc.request("eth_cancelBundle", {"replacementUuid": one}) for one in ids)
        await asyncio.gather(*calls, return_exceptions=True)

    async def _send(self, number: int, must: int, ours: Sequence[Parcel], behind: Sequence[Waiting]) -> Sent:
        """In the place of the one with the same id."""
        named = self._ids.setdefault((number, ours[must].signer, ours[must].nonce), self._new_id())
        try:
            await self._rpc.request("eth_sendBundle", bundle(number, ours[: must + 1], behind) | {"replacementUuid": named})
        except RpcError as error:
            return classify(error.words)
        except Transient as away:
            return Sent(SendResult.UNKNOWN, str(away))
        return Sent(SendResult.ACCEPTED)


def bundle(number: int, ours: Sequence[Parcel], behind: Sequence[Waiting]) -> dict[str, Any]:
    """For that block; of ours the last has to succeed."""
    return {
        "txs": [*(hex_bytes(raw) if (raw := signed_bytes(item.told)) else item.tx for item in behind), *(hex_bytes(p.raw) for p in ours)],
        "blockNumber": hex(number),
        "droppingTxHashes": [*(item.tx for item in behind), *(parcel.tx for parcel in ours[:-1])],
    }
