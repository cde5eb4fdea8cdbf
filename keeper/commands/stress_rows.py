"""A stress report as rows, for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keeper.commands.stress_report import TOLERATED_SLIPPAGE, Report, Tail
from keeper.risk.losses import at_risk
from keeper.risk.stress import owed, secured

Row = dict[str, Any]


def rows(report: Report) -> Iterator[Row]:
    """Kinds "curve", "shock", "round", "left", "absorbs" and "paths". Values in the market's unit. `share_bps`: of the shock as asked."""
    yield from _curve_rows(report)
    yield from _shock_rows(report)
    yield from _round_rows(report)
    for left in report.left:
        figures = {"debt": owed(left.health), "collateral": secured(left.health), "at_risk": left.at_risk, "unit": left.health.unit}
        yield {"kind": "left", "chain": report.chain, "market": left.market, "account": left.account, "reason": left.reason, **figures}
    for tail in report.tails:
        yield from _tail_rows(report, tail)


def _curve_rows(report: Report) -> Iterator[Row]:
    units = {bank.market: bank.unit for bank in report.banks}
    for market, points in report.curves.items():
        for point in points:
            figures = {"accounts": point.accounts, "debt": point.debt, "collateral": point.collateral, "shortfall": point.shortfall}
            yield {
                "kind": "curve",
                "chain": report.chain,
                "market": market,
                "share_bps": round(point.share * 10_000),
                **figures,
                "unit": units[market],
            }


def _shock_rows(report: Report) -> Iterator[Row]:
    moved = {report.symbols[token]: move // 100 for token, move in report.moves.items()}
    for bank in report.banks:
        yield {
            "kind": "shock",
            "chain": report.chain,
            "market": bank.market,
            "block": report.block,
            "moves_bps": moved,
            "accounts": bank.accounts,
            "debt": bank.debt,
            "collateral": bank.collateral,
            "all_debt": bank.all_debt,
            "bad_debt": bank.bad_debt,
            "written_off": bank.written_off,
            "at_risk": bank.at_risk,
            "bearer": bank.bearer,
            "unit": bank.unit,
        }


def _round_rows(report: Report) -> Iterator[Row]:
    for each in report.rounds:
        for tally in each.tallies:
            yield {
                "kind": "round",
                "chain": report.chain,
                "round": each.number,
                "market": tally.market,
                "prices": {report.symbols[token]: price for token, price in each.prices.items()},
                "traded": {report.symbols[token]: price for token, price in each.traded.items()},
                "accounts": len(tally.accounts),
                "calls": tally.calls,
                "repaid": tally.repaid,
                "seized": tally.seized,
                "sold": tally.sold,
                "slippage_bps": tally.slippage_bps,
                "bad_debt": tally.bad_debt,
                "unit": tally.unit,
            }


def _tail_rows(report: Report, tail: Tail) -> Iterator[Row]:
    for token, value in tail.capacity.items():
        yield {
            "kind": "absorbs",
            "chain": report.chain,
            "token": token,
            "symbol": report.symbols[token],
            "value": int(value),
            "unit": tail.unit,
        }
    losses = tail.losses
    yield {
        "kind": "paths",
        "chain": report.chain,
        "paths": len(losses.lost),
        "seed": report.seed,
        "horizon_s": int(report.horizon_s),
        "assumed": [report.symbols[token] for token in tail.assumed],
        "slippage_bps": round(TOLERATED_SLIPPAGE * 10_000),
        "value_at_risk": int(at_risk(losses.lost)),
        "liquidity_at_risk": int(at_risk(losses.stuck)),
        "seized_at_risk": int(at_risk(losses.seized)),
        "mean_lost": int(losses.lost.mean()),
        "mean_seized": int(losses.seized.mean()),
        "unit": tail.unit,
    }
