"""The nonces of one signer: handed out locally, several in flight, never one twice, never a hole left behind.

Pure: the outbox is the durable record of what is held, the chain's own count the floor.
"""

from __future__ import annotations

from collections.abc import Iterable


class NonceLane:
    """`floor` is the lowest nonce that the chain has not used; what is held is held by a journalled transaction that may still land."""

    def __init__(self, floor: int = 0, held: Iterable[int] = ()) -> None:
        self.floor = floor
        self._held: set[int] = set()
        self.sync(floor, held)

    def sync(self, floor: int, held: Iterable[int]) -> None:
        """Take over what the chain and the outbox say now."""
        self.floor = floor
        self._held = {nonce for nonce in held if nonce >= floor}

    def take(self, count: int) -> list[int]:
        """The lowest free nonces, now held: a hole is filled before the lane grows."""
        taken: list[int] = []
        nonce = self.floor
        while len(taken) < count:
            if nonce not in self._held:
                taken.append(nonce)
            nonce += 1
        self._held.update(taken)
        return taken

    def holes(self) -> list[int]:
        """Free nonces below a held one: nothing above them can land."""
        return [nonce for nonce in range(self.floor, max(self._held, default=0)) if nonce not in self._held]
