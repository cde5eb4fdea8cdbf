"""The stages of the way from an oracle's log to a signed transaction, one by one, and what each may take.

The baseline of each is the same fixed work of plain Python, called in turn with it: so the ratio is the machine's no more than the code's,
and can be committed. `budget.json` has the ratios; a stage that is half as slow again is over its budget.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from keeper.bench.bed import Bed
from keeper.bench.measure import Measure, Result, Trial
from keeper.bench.oracle import Race, races
from keeper.errors import Halt

ACCOUNTS = 10_000
ROUNDS, BUDGET_S = 400, 20.0
SLOWER_MOST = 1.5
FILE = Path(__file__).with_name("budget.json")
STAGES = ("decode", "book", "scan", "plan", "bid", "encode", "sign")
YARDSTICK = 2_000

Stage = Callable[[int], None]


def yardstick(round_: int) -> int:
    """A millisecond or so of what the keeper does most: integers of 256 bits, and small dictionaries."""
    ray, seen, value = 10**27, dict[int, int](), 10**18 + round_
    for place in range(YARDSTICK):
        value = (value * (ray + place) + ray // 2) // ray
        seen[place & 63] = value
    return len(seen) + value


class _Way:
    """Each stage leaves what the next one needs."""

    def __init__(self, race: Race) -> None:
        self._race = race
        plans = race.plans()
        if not plans:
            raise Halt("nobody became due")
        self._block, self._candidates, self._plan = race.decode(), race.scan(), plans[0]
        self._data, self._bid = race.encode(self._plan), race.bid(self._plan)
        self._stages = (self.decode, self.book, self.scan, self.plan, self.bid, self.encode, self.sign)

    def until(self, stage: Stage, round_: int) -> None:
        """Back to where the log has not come yet, and on to just before the stage."""
        self._race.mark()
        for earlier in self._stages[: self._stages.index(stage)]:
            earlier(round_)

    def decode(self, round_: int) -> None:
        self._block = self._race.decode()

    def book(self, round_: int) -> None:
        self._race.take(self._block)

    def scan(self, round_: int) -> None:
        self._candidates = self._race.scan()

    def plan(self, round_: int) -> None:
        self._plan, *_ = self._race.planned(self._candidates)

    def bid(self, round_: int) -> None:
        self._bid = self._race.bid(self._plan)

    def encode(self, round_: int) -> None:
        self._data = self._race.encode(self._plan)

    def sign(self, round_: int) -> None:
        self._race.sign(self._data, self._bid, round_)


async def _stage(name: str, bed: Bed) -> Trial:
    (race,) = await races(bed, 1)
    way = _Way(race)
    stage: Stage = getattr(way, name)
    return Trial(stage, yardstick, before=partial(way.until, stage))


def budget() -> Mapping[str, float]:
    """Measure → its committed ratio."""
    found: dict[str, float] = json.loads(FILE.read_text())
    return found


def over(result: Result) -> str:
    """By how much a stage is over its budget; "" when it is not, or has none."""
    allowed, ratio = budget().get(result.measure), result.row()["ratio"]
    if allowed is None or ratio is None or ratio * SLOWER_MOST >= allowed:
        return ""
    return f"{result.measure}: {allowed / ratio:.2f} times as slow as its budget (ratio {ratio:.3g}, committed {allowed:.3g})"


MEASURES = tuple(
    Measure(
        f"stage-{name}",
        f"{name}, of an oracle's log that makes somebody due",
        "fixed work of plain Python",
        partial(_stage, name),
        ROUNDS,
        BUDGET_S,
        at=(ACCOUNTS,),
        devnet=True,
    )
    for name in STAGES
)
