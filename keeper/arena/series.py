"""Several matches together: what each participant got of all there was, and what the best constant bid would have netted on them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import mean
from typing import Any

Row = dict[str, Any]

CONSTANTS_BPS = (1_000, 2_500, 4_000, 4_500, 5_000, 5_500, 7_000, 9_000)
"""Shares of the profit that are bid throughout, for comparison."""


def total(rows: Sequence[Row]) -> Row:
    """Of all rows of all matches: the shares of the sum, and `mean_shares`, in which every match counts the same."""
    results = [row for row in rows if row["row"] == "result"]
    capturable_wei = sum(row["capturable_wei"] for row in results)
    captured_wei = sum(row["captured_wei"] for row in results)
    reasons = Counter[str]()
    for row in results:
        reasons.update(row["losses_by_reason"])
    won = sum(row["won"] for row in results)
    least = min(results, key=lambda row: float(row["captured_share"]))
    return {
        "row": "total",
        "who": results[0]["who"],
        "matches": len(results),
        "captured_share": _share(captured_wei, capturable_wei),
        "net_profit": sum(row["net_profit"] for row in results),
        "win_rate": _share(won, won + reasons.total()),
        "losses_by_reason": dict(reasons),
        "least_share": least["captured_share"],
        "least_match": f"{least['scenario']} {least['seed']}",
        "least_net_wei": min(row["net_profit"] for row in results),
        "shares": dict(_by_scenario(results)),
        "mean_shares": dict(_means(rows)),
        "net_wei": sum(row["net_profit"] for row in results),
        "paid_wei": sum(row["paid_wei"] for row in results),
        **_hindsight(rows, sum(row["net_profit"] for row in results)),
    }


def _by_scenario(results: Sequence[Row]) -> Iterator[tuple[str, float]]:
    for scenario in dict.fromkeys(row["scenario"] for row in results):
        mine = [row for row in results if row["scenario"] == scenario]
        yield scenario, _share(sum(row["captured_wei"] for row in mine), sum(row["capturable_wei"] for row in mine))


def _means(rows: Sequence[Row]) -> Iterator[tuple[str, float]]:
    played = [row for row in rows if row["row"] == "participant"]
    for who in dict.fromkeys(row["who"] for row in played):
        yield who, round(mean(row["captured_share"] for row in played if row["who"] == who), 4)


def _hindsight(rows: Sequence[Row], net_wei: int) -> Row:
    """The constant that nets most over all matches together, and ours as a share of that."""
    nets: dict[int, int] = Counter()
    for row in rows:
        if row["row"] == "constant":
            nets[row["share_bps"]] += row["net_wei"]
    if not nets:
        return {}
    best = max(nets, key=lambda share_bps: nets[share_bps])
    return {"best_constant_bps": best, "best_constant_net_wei": nets[best], "of_best_constant": _share(net_wei, nets[best])}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole > 0 else 0.0
