"""All measures, in the order in which they run: those that need a devnet last."""

from __future__ import annotations

from keeper.bench import chain, events, logs, memory, oracle, passes, restart, signing, stages, strangers, ticks
from keeper.bench.measure import Measure

MEASURES: tuple[Measure, ...] = (
    *passes.MEASURES,
    *ticks.MEASURES,
    *strangers.MEASURES,
    *events.MEASURES,
    *logs.MEASURES,
    *signing.MEASURES,
    *restart.MEASURES,
    *memory.MEASURES,
    *chain.MEASURES,
    *oracle.MEASURES,
    *stages.MEASURES,
)
