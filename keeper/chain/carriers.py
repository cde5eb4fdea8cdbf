"""Every way to the block builders at once: the same bytes on all of them, so that no nonce is spent twice.

What comes behind a transaction of others goes to those alone that can tie the two together, where there are any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from keeper.chain.relay import best, clear
from keeper.ports import Relay
from keeper.types import Hash, Parcel, Sent


class Channel(Protocol):
    """`ties`: it can hold a transaction right behind others', or drop it. `blocks`: in how many blocks, from the one that is meant, what it
    is given can land; 0: it is never given up."""

    ties: bool
    blocks: int

    async def carry(self, parcels: Sequence[Parcel]) -> list[Sent]: ...

    async def recall(self) -> None: ...


class Each:
    """A relay that knows single transactions only."""

    blocks = 0

    def __init__(self, relay: Relay, ties: bool = False) -> None:
        self._relay, self.ties = relay, ties

    async def carry(self, parcels: Sequence[Parcel]) -> list[Sent]:
        """All at once, the lowest nonce first."""
        answers = await asyncio.gather(*(self._relay.send(parcel.raw, parcel.tx) for parcel in parcels), return_exceptions=True)
        return [clear(answer) for answer in answers]

    async def recall(self) -> None:
        """A public transaction is taken back by its successor alone."""


class Carriers:
    """The `Carrier` over one channel or several."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = tuple(channels)
        self.ties = any(channel.ties for channel in channels)

    def last_block(self, block: int, behind: bool) -> int:
        terms = [channel.blocks for channel in self._for(behind)]
        return block + max(terms) - 1 if all(terms) else 0

    async def carry(self, parcels: Sequence[Parcel]) -> list[Sent]:
        answers: dict[Hash, list[Sent]] = {parcel.tx: [] for parcel in parcels}
        await asyncio.gather(*(self._over(channel, parcels, answers) for channel in self._channels))
        return [best(answers[parcel.tx]) for parcel in parcels]

    async def recall(self) -> None:
        await asyncio.gather(*(channel.recall() for channel in self._channels), return_exceptions=True)

    async def _over(self, channel: Channel, parcels: Sequence[Parcel], answers: dict[Hash, list[Sent]]) -> None:
        meant = [parcel for parcel in parcels if channel in self._for(bool(parcel.behind))]
        if not meant:
            return
        try:
            said = await channel.carry(meant)
        except Exception as error:
            said = [clear(error)] * len(meant)
        for parcel, sent in zip(meant, said, strict=True):
            answers[parcel.tx].append(sent)

    def _for(self, behind: bool) -> tuple[Channel, ...]:
        return tuple(channel for channel in self._channels if channel.ties) if behind and self.ties else self._channels
