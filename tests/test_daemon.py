"""A chain that starts again leaves nothing of its last life in memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from keeper import daemon
from keeper.config import load
from keeper.devnet import Devnet
from keeper.errors import Transient


class Life:
    """In place of a pipeline with its book; the third ends well. Its tasks are in a group, as a pipeline's are."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.myself = self  # as books and their readers know each other

    async def run(self, blocks: int | None) -> None:
        if self.number < 3:
            raise ExceptionGroup("tasks", [Transient("away")])


async def test_the_last_life_is_gone_before_the_next_begins(net: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, alive = list[weakref.ref[Life]](), list[int]()

    @asynccontextmanager
    async def opened(*_: Any) -> AsyncIterator[Life]:
        alive.append(sum(one() is not None for one in begun))
        life = Life(len(begun) + 1)
        begun.append(weakref.ref(life))
        yield life

    monkeypatch.setattr(daemon, "open_pipeline", opened)
    monkeypatch.setattr(daemon, "RESTART_FIRST_S", 0.0)
    gc.disable()  # nothing but the daemon's own care
    try:
        await daemon.run(load(net.config, {}), live=False)
    finally:
        gc.enable()
    assert alive == [0, 0, 0]
