"""A stress report as a figure for a risk report: the liquidation curve, the cascade's rounds, and the distribution of losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keeper.commands.stress_report import Report, Tail
from keeper.commands.stress_text import title
from keeper.risk.losses import at_risk
from keeper.risk.moves import DAY_S

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f5fa8", "#e08a1e", "#3a8f5c", "#8a4fa3", "#b5473c", "#5b6770")
LOSS, PRICE, FAINT, INK = "#b5473c", "#222b36", "#d9dee4", "#222b36"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": True,
    "legend.facecolor": "white",
    "legend.edgecolor": "white",
    "legend.framealpha": 0.9,
    "svg.hashsalt": "keeper",
}
BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.9, "pad": 2}
DPI = 160
LEAST_SHOWN = 100.0
"""Where the logarithmic axis of losses begins, in whole units."""


def draw(report: Report, path: Path) -> None:
    """Write the figure; the ending of the name says how. Raises OSError where the file cannot be written."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context(STYLE):
        panels = 2 + len(report.tails)
        figure, axes = pyplot.subplots(panels, 1, figsize=(9.5, 0.9 + 3.7 * panels), layout="constrained", squeeze=False)
        try:
            _fill(figure, list(axes[:, 0]), report)
            figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
        finally:
            pyplot.close(figure)


def _fill(figure: Figure, axes: Sequence[Axes], report: Report) -> None:
    figure.suptitle(f"Stress: {title(report)}".replace(", oracles", "\noracles"), x=0.015, ha="left", fontsize=13, fontweight="bold")
    figure.supxlabel(f"chain {report.chain}, block {report.block}", x=0.99, ha="right", fontsize=8, color="#7b8794")
    _curve(axes[0], report)
    _cascade(axes[1], report)
    for axis, tail in zip(axes[2:], report.tails, strict=True):
        _losses(axis, report, tail)


# --- panels -------------------------------------------------------------------------------------------------------


def _curve(axis: Axes, report: Report) -> None:
    """Debt stacked by market, the uncovered part of all in front."""
    token, move = next(iter(report.moves.items()))
    curves = list(report.curves.values())
    x = np.array([point.share * move / 10_000 for point in curves[0]])
    units = [bank.unit for bank in report.banks]
    debts = np.array([[_whole(point.debt, unit) for point in points] for points, unit in zip(curves, units, strict=True)])
    bare = np.array([[_whole(point.shortfall, unit) for point in points] for points, unit in zip(curves, units, strict=True)])
    axis.stackplot(x, debts, labels=[f"debt eligible, {name}" for name in report.curves], colors=COLOURS, alpha=0.85, linewidth=0)
    axis.plot(x, bare.sum(axis=0), color=LOSS, linewidth=2, label="of it, not covered by collateral")
    axis.axvline(move / 10_000, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    beside: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "xytext": (-6, 0), "textcoords": "offset points", "ha": "right"}
    axis.annotate("the shock", (move / 10_000, 0.82), bbox=BOX, **beside)
    axis.set_title("Liquidation curve")
    axis.set_xlim(float(x[0]), float(x[-1]))
    axis.set_xlabel(f"change of {report.symbols[token]}" + (", the others in step" if len(report.moves) > 1 else ""))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:+.0f} %" if value else "0")
    _values(axis, units[0])
    axis.set_ylim(top=1.22 * max(float(debts.sum(axis=0).max()), 1.0))
    axis.legend(loc="upper left", ncols=3)


def _cascade(axis: Axes, report: Report) -> None:
    """What each round repaid, and bad debt, as bars; prices as lines."""
    axis.set_title("Cascade: debt repaid per round, and the price")
    if not report.rounds:
        axis.text(0.5, 0.5, "nobody is liquidated", transform=axis.transAxes, ha="center")
        axis.set_axis_off()
        return
    numbers = [each.number for each in report.rounds]
    floor = np.zeros(len(numbers))
    for colour, bank in zip(_cycle(len(report.banks)), report.banks, strict=True):
        mine = [next(tally for tally in each.tallies if tally.market == bank.market) for each in report.rounds]
        repaid = np.array([_whole(tally.repaid, bank.unit) for tally in mine])
        axis.bar(numbers, repaid, 0.62, bottom=floor, color=colour, alpha=0.85, label=f"repaid, {bank.market}")
        floor = floor + repaid
    bad = np.array([sum(_whole(tally.bad_debt, tally.unit) for tally in each.tallies) for each in report.rounds])
    axis.bar(numbers, bad, 0.62, bottom=floor, color=LOSS, label="written off as bad debt")
    axis.set_xlabel("round")
    axis.set_xticks(numbers)
    axis.grid(visible=False, axis="x")
    axis.margins(y=0.25)
    _values(axis, report.banks[0].unit)
    lines = _prices(axis.twinx(), report)
    bars, names = axis.get_legend_handles_labels()
    axis.legend([*bars, *lines], [*names, *(str(line.get_label()) for line in lines)], loc="upper right", ncols=2)


def _prices(axis: Axes, report: Report) -> list[Any]:
    """The first token shocked, as a share of its price in the first round."""
    token = next(iter(report.moves))
    first = report.rounds[0].prices[token]
    numbers = [each.number for each in report.rounds]
    lines = axis.plot(numbers, [each.prices[token] / first for each in report.rounds], "o-", color=PRICE, markersize=4, label="oracle")
    seen = [(each.number, each.traded[token] / first) for each in report.rounds if token in each.traded]
    lines += (
        axis.plot(*zip(*seen, strict=True), "o--", color=PRICE, markersize=4, markerfacecolor="white", label="pools after it")
        if seen
        else []
    )
    axis.set_ylabel(f"{report.symbols[token]} after the shock = 100 %")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.1f} %")
    axis.spines["right"].set_visible(True)
    axis.grid(visible=False)
    return list(lines)


def _losses(axis: Axes, report: Report, tail: Tail) -> None:
    """How many paths exceed each value: where a curve meets the dashed line is what is at risk."""
    losses, unit = tail.losses, tail.unit
    shown = (
        ("seized", losses.seized, COLOURS[0]),
        ("seized beyond what pools absorb", losses.stuck, COLOURS[1]),
        ("bad debt", losses.lost, LOSS),
    )
    for name, values, colour in shown:
        exceeded = np.arange(len(values), 0, -1) / len(values) * 100
        label = f"{name}: {_short(_whole(at_risk(values), unit))} at risk"
        if not values.any():
            axis.plot([], [], color=colour, linewidth=2, label=f"{name}: none")
            continue
        axis.step(np.maximum(np.sort(_whole(values, unit)), LEAST_SHOWN), exceeded, where="post", color=colour, linewidth=2, label=label)
        axis.plot(max(_whole(at_risk(values), unit), LEAST_SHOWN), 5, "o", color=colour, clip_on=False)
    axis.axhline(5, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axis.set_title(
        f"Losses over {len(losses.lost):,} paths of {report.horizon_s / DAY_S:g} days, seed {report.seed}".replace(" 1 days", " 1 day")
    )
    axis.set_xscale("log")
    axis.set_xlim(left=LEAST_SHOWN)
    axis.set_ylim(0, 118)
    axis.set_yticks(range(0, 101, 20))
    axis.set_ylabel("paths that exceed it")
    axis.set_xlabel(unit.partition("-")[0])
    axis.xaxis.set_major_formatter(lambda value, _: _short(value))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
    axis.legend(loc="upper left", ncols=3)


# --- figures ------------------------------------------------------------------------------------------------------


def _values(axis: Axes, unit: str) -> None:
    axis.set_ylabel(unit.partition("-")[0])
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(lambda value, _: _short(value))


def _cycle(size: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(size)]


def _whole(value: Any, unit: str) -> Any:
    """From the market's smallest unit to whole ones."""
    return value / 10.0 ** int(unit.rpartition("-")[2] or 0)


def _short(value: float) -> str:
    """1.2M, 35k, 870."""
    for size, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
