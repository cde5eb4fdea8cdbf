"""`keeper stress`: what a price shock would do to the accounts, to the pools and to whoever bears bad debt."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keeper.address import parse_address
from keeper.app import open_chain
from keeper.commands.output import emit
from keeper.commands.progress import backfill_progress
from keeper.commands.stress_report import Bars, Report, examine, quiet, symbols_of
from keeper.commands.stress_rows import rows
from keeper.config import Settings
from keeper.errors import ConfigError
from keeper.outlook import outlook
from keeper.risk.moves import DAY_S
from keeper.risk.stress import PPM, Tick
from keeper.types import Address

PLOTS = {".png", ".svg", ".pdf"}
_SHOCK = re.compile(r"\s*([^=\s]+)\s*=\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Shock:
    """A name as the user gave it, and how far its price moves."""

    name: str
    move_ppm: int


# --- what was asked for -------------------------------------------------------------------------------------------


def parse_shock(text: str) -> Shock:
    """Raises ValueError that says how it is written."""
    found = _SHOCK.fullmatch(text)
    if not found:
        raise ValueError(f"must be TOKEN=CHANGE% such as ETH=-30%, was {text!r}")
    move_ppm = round(float(found[2]) * 10_000)
    if move_ppm <= -PPM:
        raise ValueError(f"a price cannot fall by 100 % or more, was {text!r}")
    if not move_ppm:
        raise ValueError(f"must change the price, was {text!r}")
    return Shock(found[1], move_ppm)


def parse_plot(path: Path | None) -> Path | None:
    """Raises ConfigError before anything long has run."""
    if path is None:
        return None
    if path.suffix.lower() not in PLOTS:
        raise ConfigError(f"--plot must end in {', '.join(sorted(PLOTS))}, was {path.name}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot: there is no folder {path.parent}")
    return path


def resolve(shocks: Iterable[Shock], symbols: Mapping[Address, str]) -> dict[Address, int]:
    """Raises ConfigError for a name that no token has, or more than one."""
    found: dict[Address, int] = {}
    for shock in shocks:
        tokens = _tokens(shock.name, symbols)
        if twice := [symbols[token] for token in tokens if token in found]:
            raise ConfigError(f"--shock names {twice[0]} twice")
        found |= dict.fromkeys(tokens, shock.move_ppm)
    return found


def _tokens(name: str, symbols: Mapping[Address, str]) -> list[Address]:
    """By address, or by symbol; the name of a coin means its wrapped and its virtual forms: ETH is WETH and vETH."""
    for wanted in ({name.lower()}, {f"w{name}".lower(), f"v{name}".lower()}):
        found = [token for token, symbol in symbols.items() if symbol.lower() in wanted]
        called = Counter(symbols[token].lower() for token in found)
        if same := [token for token in found if called[symbols[token].lower()] > 1]:
            raise ConfigError(f"--shock: several tokens are called {symbols[same[0]]}: name one by its address: {', '.join(same)}")
        if found:
            return found
    if (address := _address(name)) in symbols:
        return [Address(str(address))]
    raise ConfigError(f"--shock: no market lists {name}: there are {', '.join(sorted(set(symbols.values())))}")


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


# --- the command --------------------------------------------------------------------------------------------------


async def stress(
    settings: Settings,
    shocks: Sequence[Shock],
    paths: int = 0,
    seed: int = 1,
    feedback: float = 0.0,
    days: float = 1.0,
    plot: Path | None = None,
    as_json: bool = False,
) -> None:
    """Prints each chain's report. Raises ConfigError for a token nobody knows, Halt when nobody owes anything."""
    target = parse_plot(plot)
    for named in settings.chains:
        with backfill_progress() as progress:
            async with open_chain(settings, named, progress, owned=False) as chain:
                await chain.catch_up()
                seen = (await outlook(chain)).volatility if paths else None
        moves = resolve(shocks, symbols_of(chain))
        with _bars() as bars:
            report = examine(chain, moves, paths, seed, feedback, days * DAY_S, seen, bars)
        await _tell(report, as_json, _plot_file(target, named.name, len(settings.chains)))


async def _tell(report: Report, as_json: bool, plot: Path | None) -> None:
    if as_json:
        await emit(rows(report), True)
    else:
        from keeper.commands.stress_text import show

        show(report)
    if plot:
        from keeper.commands.plots import draw

        draw(report, plot)
        print(f"drawn to {plot}", file=sys.stderr)


def _plot_file(path: Path | None, chain: str, chains: int) -> Path | None:
    return path if path is None or chains == 1 else path.with_stem(f"{path.stem}-{chain}")


# --- progress -----------------------------------------------------------------------------------------------------


@contextmanager
def _bars() -> Iterator[Bars]:
    """One bar for each step, on stderr and only for people."""
    if not sys.stderr.isatty():
        yield quiet
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def bar(what: str, total: int) -> Tick:
            task = shown.add_task(what, total=total)
            return lambda done: shown.update(task, completed=done)

        yield bar
