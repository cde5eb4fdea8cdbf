"""All measures, in the order in which they run: those that need a devnet last."""

from __future__ import annotations

from keeper.bench import chain, logs, memory, passes, signing, ticks
from keeper.bench.measure import Measure

MEASURES: tuple[Measure, ...] = (*passes.MEASURES, *ticks.MEASURES, *logs.MEASURES, *signing.MEASURES, *memory.MEASURES, *chain.MEASURES)
