"""Who is done with what: the arena's clock moves on when everybody is, so that how busy the machine is decides nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from keeper.errors import Halt

PATIENCE_S = 120.0
POLL_S = 5.0


@dataclass(frozen=True, slots=True)
class Step:
    """What there is to react to. "head": the block `block` was mined. "pending": something new waits for the next one. "end"."""

    number: int
    kind: str
    block: int

    def plain(self) -> dict[str, Any]:
        return {"number": self.number, "kind": self.kind, "block": self.block}


class Barrier:
    """`slow`: those who react to heads alone; the others also react to what is pending."""

    def __init__(self, slow: frozenset[str], quick: frozenset[str]) -> None:
        self._slow, self._quick = slow, quick
        self.step = Step(-1, "none", -1)
        self._waiting: set[str] = set()
        self.failures: list[asyncio.Task[None]] = []
        """Each raises when a participant has ended."""
        self._changed = asyncio.Condition()

    async def announce(self, kind: str, block: int) -> None:
        """A step, and wait until everybody it concerns has reacted. Raises Halt naming who did not."""
        async with self._changed:
            self._waiting = set(self._quick | (self._slow if kind == "head" else frozenset())) if kind != "end" else set()
            self.step = Step(self.step.number + 1, kind, block)
            self._changed.notify_all()
        everybody = asyncio.create_task(self._everybody())
        try:
            await asyncio.wait({everybody, *self.failures}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            for failure in self.failures:
                if failure.done():
                    failure.result()
            if not everybody.done():
                names = ", ".join(sorted(self._waiting))
                raise Halt(f"arena: at block {block} ({kind}) these did not get done within {PATIENCE_S:g} s: {names}")
        finally:
            everybody.cancel()

    async def _everybody(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting)

    async def done(self, who: str, kind: str, block: int) -> None:
        async with self._changed:
            if (kind, block) == (self.step.kind, self.step.block):
                self._waiting.discard(who)
                self._changed.notify_all()

    async def after(self, number: int) -> dict[str, Any] | None:
        """The step after that one; None: not yet, ask again."""
        async with self._changed:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._changed.wait_for(lambda: self.step.number > number)
            except TimeoutError:
                return None
            return self.step.plain()
