"""What measures stand on: one size of book with all that can be shared between them, made when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from keeper.bench import rows
from keeper.bench.fullpass import FullPass, fastest
from keeper.bench.population import Population, Spec, populate
from keeper.types import RowBlock

Opened = TypeVar("Opened")


class Bed:
    """`accounts`: the size of the book. `tell` hears of what takes long. Entered around each measure."""

    def __init__(self, accounts: int, seed: int = 1, tell: Callable[[str], None] = lambda text: None) -> None:
        self.accounts, self.seed, self.tell = accounts, seed, tell
        self._open = AsyncExitStack()

    def rng(self) -> np.random.Generator:
        """A new one, always the same: of the book's seed, but not the book's own numbers."""
        return np.random.default_rng((self.seed, 1))

    @cached_property
    def population(self) -> Population:
        return populate(Spec(self.accounts, self.seed))

    @cached_property
    def rows(self) -> RowBlock:
        return rows.block(self.population)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The factors' values at the start, in the order of `rows.factors`."""
        return rows.values()

    @cached_property
    def full_pass(self) -> FullPass:
        """The fastest look at every row that numpy is capable of at this size."""
        found = fastest(self.rows, self.values)
        self.tell(f"fastest full pass at {self.accounts:,} accounts: {found.name}")
        return found

    async def enter(self, context: AbstractAsyncContextManager[Opened]) -> Opened:
        """Open something for the rest of the measure."""
        return await self._open.enter_async_context(context)

    async def __aenter__(self) -> Bed:
        self._open = AsyncExitStack()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()
