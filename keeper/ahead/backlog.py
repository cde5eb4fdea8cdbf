"""What waits in the mempool, as far as it may matter: what concerns an oracle, and what waits before it of its sender. Pure.

Anybody can name an oracle, so there is only room for so many; who has once made an oracle speak goes before all who have not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from keeper.types import Address, Waiting

KEEP_BLOCKS = 25
"""After so many what has not landed is forgotten."""

MOST = 64
"""Of what concerns an oracle, so many are thought of at once."""

MOST_OF_A_STRANGER = 4
"""So many of a sender by whom no oracle has spoken."""

MOST_HEARD = 4096
"""So many are remembered."""

REPORTERS = 1024


class _Heard(NamedTuple):
    waiting: Waiting
    block: int
    concerns: bool


class Backlog:
    def __init__(self) -> None:
        self._heard: dict[tuple[Address, int], _Heard] = {}
        self._reporters: dict[Address, None] = {}

    def hear(self, waiting: Waiting, block: int, concerns: bool) -> bool:
        """It takes the place of what its sender had at this nonce. `block`: the newest; `concerns`: an oracle. Whether that is news."""
        key = waiting.sender, waiting.nonce
        held = self._heard.pop(key, None)
        if concerns or waiting.sender in self._reporters:
            self._heard[key] = _Heard(waiting, block, concerns)
        if len(self._heard) > MOST_HEARD:
            del self._heard[next(iter(self._heard))]
        return (held is None or held.waiting.tx != waiting.tx) and (concerns or (held is not None and held.concerns))

    def forget(self, block: int) -> None:
        """What has waited for too long at this block."""
        self._heard = {key: heard for key, heard in self._heard.items() if block - heard.block < KEEP_BLOCKS}

    def reported(self, senders: Iterable[Address]) -> None:
        """By whom an oracle would speak: the node has said so."""
        for sender in senders:
            self._reporters.pop(sender, None)
            self._reporters[sender] = None
        while len(self._reporters) > REPORTERS:
            del self._reporters[next(iter(self._reporters))]

    def ordered(self, base_fee_wei: int) -> list[Waiting]:
        """What to look at, in a builder's order: each with what waits before it of its sender."""
        last = dict[Address, int]()
        for sender, nonce in self._chosen():
            last[sender] = max(nonce, last.get(sender, nonce))
        found = (heard.waiting for (sender, nonce), heard in self._heard.items() if nonce <= last.get(sender, -1))
        return block_order(found, base_fee_wei)

    def _chosen(self) -> list[tuple[Address, int]]:
        """Of what concerns an oracle: reporters' first, then the newest, of strangers only some."""
        newest = [key for key, heard in reversed(self._heard.items()) if heard.concerns]
        known = [key for key in newest if key[0] in self._reporters]
        strange, of = list[tuple[Address, int]](), dict[Address, int]()
        for key in newest:
            of[key[0]] = of.get(key[0], 0) + 1
            if key[0] not in self._reporters and of[key[0]] <= MOST_OF_A_STRANGER:
                strange.append(key)
        return (known + strange)[:MOST]


def block_order(waiting: Iterable[Waiting], base_fee_wei: int) -> list[Waiting]:
    """As a builder takes them: the highest tip first, but each behind its sender's own before it; without what cannot be in the block."""
    queues: dict[Address, list[Waiting]] = {}
    for item in sorted(waiting, key=lambda item: item.nonce, reverse=True):
        queues.setdefault(item.sender, []).append(item)
    found: list[Waiting] = []
    while queues:
        sender = max(queues, key=lambda sender: queues[sender][-1].tip_wei(base_fee_wei))
        item = queues[sender].pop()
        if item.tip_wei(base_fee_wei) >= 0:
            found.append(item)
        if item.tip_wei(base_fee_wei) < 0 or not queues[sender]:
            del queues[sender]
    return found
