"""A whole run: which measures, at which sizes of book, one result after another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keeper.bench.bed import Bed
from keeper.bench.catalogue import MEASURES
from keeper.bench.machine import machine, versions
from keeper.bench.measure import Measure, Result, run
from keeper.bench.population import Spec, described
from keeper.errors import ConfigError

DESCRIBED_ACCOUNTS = 100_000
"""The shares in print are of a book of this size: they hardly depend on it."""


@dataclass(frozen=True, slots=True)
class Options:
    """`accounts`: sizes of book; `only`: names of measures, all if empty; `devnet`: also those that need one."""

    accounts: tuple[int, ...]
    only: tuple[str, ...] = ()
    seed: int = 1
    devnet: bool = True


def chosen(options: Options, measures: Sequence[Measure] = MEASURES) -> list[Measure]:
    """Raises ConfigError for a name that no measure has, and when nothing is left to measure."""
    names = [measure.name for measure in measures]
    if unknown := [name for name in options.only if name not in names]:
        raise ConfigError(f"no measure is named {unknown[0]!r}: there are {', '.join(map(repr, names))}")
    wanted = [measure for measure in measures if measure.name in options.only or not options.only]
    found = [measure for measure in wanted if (options.devnet or not measure.devnet) and measure.sizes(options.accounts)]
    if not found:
        raise ConfigError("nothing to measure: what was asked for needs a devnet, or books of another size")
    return found


def setting(options: Options) -> dict[str, Any]:
    """Where and on what the figures are made."""
    return {"machine": machine(), "versions": versions(), "book": described(Spec(DESCRIBED_ACCOUNTS, options.seed))}


async def results(options: Options, measures: Sequence[Measure], tell: Callable[[str], None]) -> AsyncIterator[Result]:
    """Size by size, so that one book at a time is in memory."""
    for size in sorted({size for measure in measures for size in measure.sizes(options.accounts)}):
        bed = Bed(size, options.seed, tell)
        for measure in measures:
            if size in measure.sizes(options.accounts):
                tell(f"{measure.name}, {size:,} accounts" if size else measure.name)
                yield await run(measure, bed)
