"""What a check is about: a life, an adapter, and what they come to at every block. Computed once, when first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from keeper.book.state import Tables
from keeper.ports import Adapter, Market
from keeper.testing.adapter.attempt import Attempt, attempts_on
from keeper.testing.adapter.follower import Follower, copied
from keeper.testing.adapter.life import Life
from keeper.types import Address, Head, Write

BLOCK_S = 12


@dataclass(frozen=True)
class State:
    """A market at one head. `changed`: the cells its block may have changed."""

    market: Market
    view: Tables
    head: Head
    changed: tuple[Write, ...]

    @property
    def landing_s(self) -> int:
        """The timestamp of the block a transaction sent now would land in."""
        return self.head.timestamp_s + BLOCK_S


class Case:
    """One adapter on one life."""

    def __init__(self, life: Life, adapter: Adapter | None = None) -> None:
        self.life, self.deployment, self.reader = life, life.deployment, life.reader
        self.adapter = adapter or life.deployment.adapter
        self.accounts: Sequence[Address] = life.deployment.accounts
        self._states: list[State] = []
        self._attempts: list[Attempt] = []

    def rng(self, label: str) -> Random:
        """Every check has dice of its own."""
        return Random(f"{self.life.seed} {label}")

    async def open(self, name: str = "market") -> Market:
        """The market, opened anew."""
        return await self.deployment.open(self.adapter, self.reader, name)

    async def follower(self) -> Follower:
        """A newly opened market on the block where life began."""
        return await Follower.start(await self.open(), self.reader, self.life.heads[0])

    async def states(self) -> list[State]:
        """One for every block that was lived."""
        if not self._states:
            follower = await self.follower()
            for head in self.life.heads[1:]:
                changed = await follower.advance([head])
                self._states.append(State(follower.market, copied(follower.market, follower.view.cells()), head, tuple(changed)))
        return self._states

    async def attempts(self) -> list[Attempt]:
        """Offered liquidations, tried on the chain."""
        if not self._attempts:
            rng = self.rng("attempts")
            for state in await self.states():
                self._attempts += await attempts_on(self.life, state.market, state.view, state.head, state.landing_s, rng)
        return self._attempts
