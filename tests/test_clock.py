"""Clocks: the system's tells the time, the manual one is moved by hand."""

from __future__ import annotations

import asyncio
import time

import pytest

from keeper.clock import ManualClock, SystemClock
from keeper.ports import Clock


async def _woken(clock: Clock, seconds: float, woken: list[float]) -> None:
    await clock.sleep(seconds)
    woken.append(seconds)


async def _yield() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_sleepers_wake_in_the_order_of_their_times_and_no_sooner() -> None:
    clock, woken = ManualClock(100.0), list[float]()
    async with asyncio.TaskGroup() as tasks:
        for seconds in (3, 1, 2):
            tasks.create_task(_woken(clock, seconds, woken))
        await _yield()
        assert clock.sleepers == 3
        clock.advance(0.9)
        await _yield()
        assert woken == []
        clock.advance(1.1)
        await _yield()
        assert woken == [1, 2]
        clock.advance(1)
    assert woken == [1, 2, 3]
    assert (clock.now_s(), clock.sleepers) == (103.0, 0)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await _yield()
    task.cancel()
    await _yield()
    assert clock.sleepers == 0
    clock.advance(2)
    assert task.cancelled()


async def test_no_time_is_no_wait_and_no_way_back() -> None:
    clock = ManualClock()
    await asyncio.wait_for(clock.sleep(0), timeout=1)
    with pytest.raises(ValueError, match="must be 0 or more"):
        clock.advance(-1)


async def test_the_system_clock_is_the_machines() -> None:
    clock: Clock = SystemClock()
    before = time.time()
    await clock.sleep(0.001)
    assert before < clock.now_s() < before + 5
