"""What the market does in the arena, slot by slot; the same for the same seed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keeper.devnet.paths import path
from keeper.errors import ConfigError

SPIKE = 20
PAUSE_S = 900
THIN_PERCENT = 90
CALM_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """What waits for the block at a slot's end. `prices`: where pools go, and oracles a slot later; None: nowhere. `step_s`: how long after
    the last one it comes. `base_fee_factor`: how much others drive the base fee up. `drain_percent`: of all liquidity, withdrawn before."""

    prices: Mapping[str, int] | None = None
    step_s: int = 12
    base_fee_factor: int = 1
    drain_percent: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """`kind`, `steps`: the price path; `quiet`: slots without a move after each step. `accounts`: of the lending markets of its kind."""

    about: str
    accounts: int
    kind: str
    steps: int
    quiet: int = 1
    first: Slot = Slot()
    pause_at: int = -1

    def slots(self, seed: int, start: Mapping[str, int]) -> list[Slot]:
        """From these prices on."""
        moves = enumerate(path(self.kind, self.steps, seed, start))
        paths = [[Slot(to), Slot(step_s=PAUSE_S if step == self.pause_at else 12), *[Slot()] * self.quiet] for step, to in moves]
        return [self.first, *(slot for part in paths for slot in part), *[Slot()] * CALM_SLOTS]


SCENARIOS = {
    "big": Scenario("one big position", 6, "crash", 1, quiet=2),
    "fifty": Scenario("fifty positions at once", 190, "crash", 1, quiet=3),
    "cascade": Scenario("a cascade: step after step down", 40, "crash", 5),
    "gas": Scenario("the base fee jumps to twenty times its level, then prices fall", 40, "crash", 3, first=Slot(base_fee_factor=SPIKE)),
    "thin": Scenario("pools lose nine tenths of their liquidity, then prices fall", 40, "crash", 3, first=Slot(drain_percent=THIN_PERCENT)),
    "burst": Scenario("oracles report at every block, down and back up", 40, "wick", 6, quiet=0),
    "pause": Scenario("the sequencer stands still for a quarter of an hour in the middle of a fall", 40, "crash", 3, pause_at=1),
}


def scenario(name: str) -> Scenario:
    """Raises ConfigError naming those there are."""
    if name not in SCENARIOS:
        raise ConfigError(f"scenario must be one of {', '.join(SCENARIOS)}, was {name!r}")
    return SCENARIOS[name]
