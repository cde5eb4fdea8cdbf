"""A stress report as tables, for people."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from keeper.commands.output import in_unit, price_in_unit
from keeper.commands.stress_report import TOLERATED_SLIPPAGE, Report, Tail
from keeper.risk.losses import Prior, at_risk
from keeper.risk.moves import DAY_S
from keeper.risk.stress import LEAST_LEFT_PPM, PPM, owed
from keeper.types import Address

WIDEST = 1000
EVERY = 5
"""Points of the curve between two lines of its table."""

BEARERS = {
    "deficit": "the protocol: a deficit of its reserves, for the safety module or the treasury to cover",
    "suppliers": "suppliers: it stays owed to them",
    "reserves": "the protocol's reserves",
    "insurance fund": "the insurance fund",
    "socialised": "all suppliers at once: it is taken off what they own",
}


def show(report: Report) -> None:
    """Print it."""
    console = Console(file=sys.stdout, highlight=False)
    console.width = WIDEST  # a table takes what it needs; figures are never cut
    console.print(f"[bold]{title(report)}[/bold], on chain {report.chain} at block {report.block}\n")
    console.print(_curve(report))
    console.print(_banks(report))
    for bank in report.banks:
        console.print(f"bad debt of {bank.market} is borne by {BEARERS.get(bank.bearer, bank.bearer)}")
    console.print()
    console.print(_rounds(report) if report.rounds else "no cascade: nobody is liquidated\n")
    for text in (*_left(report), *(line for tail in report.tails for line in _tail(report, tail))):
        console.print(text)


def title(report: Report) -> str:
    """The shock, in words."""
    moved = ", ".join(f"{report.symbols[token]} {move / 10_000:+g} %" for token, move in report.moves.items())
    follow = f", oracles follow {report.feedback * 100:g} % of what pools move" if report.feedback else ""
    return f"{moved}{follow}"


def money(value: float, unit: str) -> str:
    """Whole units, by thousands: 12,345."""
    return in_unit(int(value), unit).rpartition(".")[0] if "." in in_unit(int(value), unit) else in_unit(int(value), unit)


def _table(heading: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=heading, title_justify="left", title_style="bold")
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _unit(report: Report) -> str:
    return "/".join(dict.fromkeys(bank.unit.partition("-")[0] for bank in report.banks))


def _curve(report: Report) -> Table:
    unit = {bank.market: bank.unit for bank in report.banks}
    tokens = [f"{report.symbols[token]} by" for token in report.moves]
    table = _table(
        f"Liquidatable debt against the shock ({_unit(report)})", ["market"], [*tokens, "accounts", "debt", "collateral", "uncovered"]
    )
    for market, points in report.curves.items():
        for point in points[::EVERY]:
            by = [
                f"{max(move * point.share, LEAST_LEFT_PPM - PPM) / 10_000:+.1f} %" if point.share else "0" for move in report.moves.values()
            ]
            figures = [money(value, unit[market]) for value in (point.debt, point.collateral, point.shortfall)]
            table.add_row(market, *by, str(point.accounts), *figures)
        table.add_section()
    return table


def _banks(report: Report) -> Table:
    table = _table(
        f"At the shock ({_unit(report)})",
        ["market"],
        ["accounts", "debt eligible", "of all", "collateral at risk", "expected bad debt", "written off", "left"],
    )
    for bank in report.banks:
        share = f"{bank.debt * 100 / bank.all_debt:.1f} %" if bank.all_debt else ""
        figures = [money(value, bank.unit) for value in (bank.collateral, bank.bad_debt, bank.written_off, bank.at_risk)]
        table.add_row(bank.market, str(bank.accounts), money(bank.debt, bank.unit), share, *figures)
    return table


def _rounds(report: Report) -> Table:
    prices = [report.symbols[token] for token in report.moves]
    table = _table(
        f"The cascade ({_unit(report)}); prices: oracle → pools after the round",
        ["round", *prices, "market"],
        ["accounts", "calls", "repaid", "seized", "sold", "slippage", "bad debt"],
    )
    for each in report.rounds:
        for number, tally in enumerate(tally for tally in each.tallies if tally.calls):
            shown = [_price(each.prices, each.traded, token, each.tallies[0].unit) if not number else "" for token in report.moves]
            figures = [money(value, tally.unit) for value in (tally.repaid, tally.seized, tally.sold)]
            slippage = f"{tally.slippage_bps / 100:.2f} %"
            counts = [str(len(tally.accounts)), str(tally.calls)]
            table.add_row(
                "" if number else str(each.number), *shown, tally.market, *counts, *figures, slippage, money(tally.bad_debt, tally.unit)
            )
    return table


def _price(prices: Mapping[Address, int], traded: Mapping[Address, int], token: Address, unit: str) -> str:
    words = [price_in_unit(found[token], unit).rpartition(" ")[0] for found in (prices, traded) if token in found]
    return " → ".join(words)


def _left(report: Report) -> Iterator[str]:
    if not report.left:
        yield "nobody stays liquidatable"
        return
    by_market: dict[str, Counter[str]] = {}
    for left in report.left:
        by_market.setdefault(left.market, Counter())[left.reason] += 1
    for market, reasons in by_market.items():
        mine = [left for left in report.left if left.market == market]
        debt = money(sum(owed(left.health) for left in mine), mine[0].health.unit)
        yield f"{market}: {len(mine)} left liquidatable, with {debt} of debt: {_told(reasons.items())}"


def _told(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts, key=lambda item: -item[1]))


def _tail(report: Report, tail: Tail) -> Iterator[Table | str]:
    losses, unit = tail.losses, tail.unit
    days = f"{report.horizon_s / DAY_S:g} day" + ("s" if report.horizon_s != DAY_S else "")
    yield ""
    table = _table(
        f"{len(losses.lost):,} paths over {days}, seed {report.seed} ({unit.partition('-')[0]})",
        ["at risk"],
        ["mean", "95 % of paths", "worst"],
    )
    for name, values in (
        ("value: bad debt", losses.lost),
        ("seized", losses.seized),
        ("liquidity: seized beyond what pools absorb", losses.stuck),
    ):
        table.add_row(name, *(money(value, unit) for value in (values.mean(), at_risk(values), values.max())))
    yield table
    absorbed = ", ".join(f"{report.symbols[token]} {money(value, unit)}" for token, value in tail.capacity.items())
    yield f"pools absorb within {TOLERATED_SLIPPAGE * 100:g} % slippage, of what accounts have: {absorbed}"
    yield f"{_assumed(report, tail)}pools are taken not to recover within the horizon"


def _assumed(report: Report, tail: Tail) -> str:
    if not tail.assumed:
        return ""
    names, prior = ", ".join(report.symbols[token] for token in tail.assumed), Prior()
    return f"too little history of {names}: {prior.volatility * 100:.0f} % a year assumed, {prior.pegged * 100:.0f} % if pegged; "


__all__ = ["money", "show", "title"]
