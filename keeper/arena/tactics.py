"""How rivals differ: what they react to, how fast, and what they bid. They plan as we do. Pure.

The figures of each are drawn from the seed; none bids more than nine tenths of what it expects to earn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eth_utils.crypto import keccak

from keeper.types import Landing

GWEI = 10**9
MOST_BPS = 9_000
"""Of its own estimate, gas at the base fee taken off: the most a rival bids."""

BUMP_BPS = 11_250
OUTBID_BPS = 10_200


@dataclass(frozen=True, slots=True)
class Tactic:
    """`tip_wei`: of the first bid, per gas; `share_bps`: of the expected profit, on top. `pending`: it reads the mempool: `backruns` oracle
    updates there, or `escalates` against others' bids."""

    latency_ms: int
    tip_wei: int
    share_bps: int = 0
    backruns: bool = False
    escalates: bool = False

    @property
    def quick(self) -> bool:
        return self.backruns or self.escalates

    def bid(self, value_wei: int, gas: int, landing: Landing) -> int | None:
        """The tip per gas of a first bid; None: not worth one."""
        most = most_wei(value_wei, gas, landing)
        return min(self.tip_wei + most * self.share_bps // 10_000, most) if most > 0 else None

    def answer(self, own_wei: int, theirs_wei: int, most: int) -> int | None:
        """The tip that beats another's, as far as it pays; None: let it go."""
        wanted = max(own_wei * BUMP_BPS // 10_000 + 1, theirs_wei * OUTBID_BPS // 10_000 + 1)
        return wanted if own_wei <= theirs_wei and wanted <= most else None


def most_wei(value_wei: int, gas: int, landing: Landing) -> int:
    """The most per gas."""
    return (value_wei - gas * landing.base_fee_wei) * MOST_BPS // 10_000 // gas


PLANNER = "planner"
"""Bids the least: alone it shows what there is to earn."""

RIVALS = ("poller", "tipper", "backrunner", "escalator")


def tactics(seed: int) -> Mapping[str, Tactic]:
    """Of every rival that is no daemon."""

    def draw(name: str, low: int, high: int) -> int:
        return low + int.from_bytes(keccak(text=f"{seed} arena {name}")[:8]) % (high - low + 1)

    return {
        PLANNER: Tactic(0, GWEI // 10),
        "poller": Tactic(draw("poller ms", 200, 900), draw("poller", 1, 3) * GWEI),
        "tipper": Tactic(draw("tipper ms", 100, 500), draw("tipper", 8, 15) * GWEI),
        "backrunner": Tactic(draw("backrunner ms", 30, 120), GWEI, draw("backrunner", 2_000, 5_000), backruns=True),
        "escalator": Tactic(draw("escalator ms", 50, 200), GWEI, draw("escalator", 500, 1_500), escalates=True),
    }
