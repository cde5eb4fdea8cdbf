"""The recent part of the chain the book stands on, linked by hashes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from keeper.errors import Halt
from keeper.types import Hash, Head


class Branch:
    """The last `depth` + 1 heads, oldest first; the newest is the tip."""

    def __init__(self, heads: Sequence[Head], depth: int) -> None:
        if not heads or any(child.parent_hash != parent.hash for parent, child in pairwise(heads)):
            raise Halt("the book's recent blocks do not follow one another: rebuild it")
        self._depth = depth
        self._keep(heads)

    @property
    def tip(self) -> Head:
        return self._heads[-1]

    @property
    def oldest(self) -> Head:
        return self._heads[0]

    def has(self, block: Hash) -> bool:
        return block in self._hashes

    def since(self, block: Hash) -> tuple[Head, ...]:
        """From that block, which must be one of ours, to the tip."""
        return tuple(self._heads[next(i for i, head in enumerate(self._heads) if head.hash == block) :])

    def move(self, ancestor: Hash, heads: Sequence[Head]) -> tuple[Head, ...]:
        """Go back to `ancestor`, which must be one of ours, then forward over `heads`; returns what was left, newest first."""
        kept = next(i for i, head in enumerate(self._heads) if head.hash == ancestor) + 1
        left = tuple(reversed(self._heads[kept:]))
        self._keep([*self._heads[:kept], *heads])
        return left

    def _keep(self, heads: Sequence[Head]) -> None:
        self._heads = list(heads[-self._depth - 1 :])
        self._hashes = {head.hash for head in self._heads}
