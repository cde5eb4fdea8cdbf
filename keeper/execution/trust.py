"""Whether plans may be sent before the node has proven them: only in markets where it has agreed to the wei for long. Pure but for its log.

It is asked all the same, meanwhile: the first time it disagrees the market has to be proven again. The executor's floor holds either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from keeper.log import get_logger
from keeper.types import Prediction, Simulation

Simulate = Literal["always", "unless_proven", "never"]
STRICTEST: tuple[Simulate, ...] = ("always", "unless_proven", "never")
PERMILLE = 1000

_log = get_logger("trust")


@dataclass
class _Record:
    """Of one market. `agreed`: simulations in a row that came out as planned; `gas_permille`: the most gas used, of what was estimated."""

    agreed: int = 0
    gas_permille: int = PERMILLE


@dataclass
class Trust:
    """`policy`: the strictest of all channels that are sent over; `proofs`: how many simulations in a row must have agreed."""

    policy: Simulate
    proofs: int
    _records: dict[str, _Record] = field(default_factory=dict)

    def enough(self, plans: Sequence[Prediction]) -> bool:
        """For all of these, which come one after another."""
        if self.policy == "unless_proven":
            return all(self._of(plan).agreed >= self.proofs for plan in plans)
        return self.policy == "never"

    def assumed(self, plan: Prediction) -> Simulation:
        """What the node would say."""
        return Simulation(True, plan.gas * self._of(plan).gas_permille // PERMILLE + 1, "", plan.profit)

    def learn(self, plans: Sequence[Prediction], simulations: Sequence[Simulation]) -> None:
        """What the node did say. A verdict on a plan behind one that failed says nothing."""
        for plan, simulation in zip(plans, simulations, strict=True):
            record = self._of(plan)
            if not simulation.ok or simulation.profit != plan.profit:
                if record.agreed >= self.proofs:
                    _log.error("plan_mismatch", market=plan.plan.market, account=plan.plan.account, **_told(plan, simulation))
                record.agreed = 0
                return
            record.agreed += 1
            record.gas_permille = max(record.gas_permille, -(-simulation.gas_used * PERMILLE // max(plan.gas, 1)))

    def _of(self, plan: Prediction) -> _Record:
        return self._records.setdefault(plan.plan.market, _Record())


def strictest(policies: Sequence[Simulate]) -> Simulate:
    """Of several channels, all of which get the same bytes; always, without any."""
    return min(policies, key=STRICTEST.index, default="always")


def _told(plan: Prediction, simulation: Simulation) -> dict[str, object]:
    return {"planned": plan.profit, "found": simulation.profit, "error": simulation.error}
