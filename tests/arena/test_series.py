"""What several matches come to together."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from keeper.arena.series import total
from keeper.commands.arguments import seeds

Row = dict[str, Any]


def match(
    scenario: str, seed: int, captured: int, capturable: int, net: int, losses: int = 0, constants: dict[int, int] | None = None
) -> list[Row]:
    """With a rival who got the rest."""
    of = {"scenario": scenario, "seed": seed}
    share = captured / capturable
    rows = [{"row": "participant", "who": who, "captured_share": part, **of} for who, part in (("us", share), ("twin", 1 - share))]
    rows += [{"row": "constant", "share_bps": bps, "net_wei": wei, **of} for bps, wei in (constants or {}).items()]
    figures = {"captured_wei": captured, "capturable_wei": capturable, "captured_share": share, "net_profit": net, "paid_wei": 1, "won": 3}
    return [*rows, {"row": "result", "who": "us", "losses_by_reason": {"outbid": losses} if losses else {}, **figures, **of}]


def test_shares_are_of_the_sum_and_mean_shares_of_the_matches() -> None:
    figures = total([*match("big", 1, 90, 100, 50), *match("burst", 1, 100, 400, -5, losses=6)])
    assert (figures["captured_share"], figures["net_profit"], figures["win_rate"]) == (0.38, 45, 0.5)
    assert figures["shares"] == {"big": 0.9, "burst": 0.25}
    assert figures["mean_shares"] == {"us": 0.575, "twin": 0.425}
    assert (figures["least_share"], figures["least_match"], figures["least_net_wei"]) == (0.25, "burst 1", -5)
    assert figures["losses_by_reason"] == {"outbid": 6}
    assert "of_best_constant" not in figures


def test_the_best_constant_is_one_for_all_matches() -> None:
    """Not the best of each."""
    figures = total(
        [*match("big", 1, 1, 1, 60, constants={1000: 100, 5000: 50}), *match("big", 2, 1, 1, 30, constants={1000: 0, 5000: 70})]
    )
    assert (figures["best_constant_bps"], figures["best_constant_net_wei"], figures["of_best_constant"]) == (5000, 120, 0.75)


@pytest.mark.parametrize(("text", "first", "last"), [("7", 7, 7), ("101-105", 101, 105), ("0-0", 0, 0)])
def test_seeds_are_one_or_a_range(text: str, first: int, last: int) -> None:
    assert [*seeds(text)] == [*range(first, last + 1)]


@pytest.mark.parametrize("text", ["", "a", "5-4", "-5", "1-", "1-2-3", "1.5", "0-5000"])
def test_what_is_no_seed_is_told(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="101-105"):
        seeds(text)
