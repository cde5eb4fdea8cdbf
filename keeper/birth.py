"""What an adapter follows it follows from its first log on: a first block that is too late leaves out parts without a word.

A node need not keep the states of old blocks, so the proof is a log: contracts announce their first owner (or role) when they are created.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from keeper.errors import ConfigError
from keeper.types import Address, Log


def require_births(contracts: Collection[Address], announced: Iterable[Log], first_block: int) -> None:
    """`announced`: what these contracts said at their creation, from `first_block` on. Raises ConfigError when one has said nothing."""
    born = {log.address for log in announced}
    older = next((contract for contract in contracts if contract not in born), None)
    if older is not None:
        raise ConfigError(
            f"first_block = {first_block} is too late: {older} was created before it, or the node keeps no logs of that block; "
            "correct first_block, or leave it out to have it found"
        )
