"""A policy from outside: a process is asked about every plan that is about to be bid for, all at once and in bounded time.

Whatever it answers is held to the caps; where it says nothing, the configured policy's word holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from keeper.config.settings import BiddingSettings
from keeper.errors import Skip
from keeper.execution.model import Facts, ModelProcess, program
from keeper.log import get_logger
from keeper.ports import BidPolicy
from keeper.types import Bid, Landing, Plan, Prediction

log = get_logger("model")

Asked = tuple[Prediction, int]
"""A plan, and the gas it used when it was simulated."""


class Asking(Protocol):
    async def ask(self, facts: Facts) -> int: ...


class AdvisedPolicy:
    """A `BidPolicy` with the process' answers at hand; without a process it is the default's word. It is to be put behind the caps."""

    def __init__(self, process: Asking | None, default: BidPolicy) -> None:
        self._process, self._default = process, default
        self._said: dict[tuple[int, Plan], int] = {}

    def bid(self, prediction: Prediction, gas_used: int, landing: Landing) -> Bid:
        """Raises Skip as the default does: what it declines the process is not asked about."""
        bid = self._default.bid(prediction, gas_used, landing)
        total_wei = self._said.get((landing.number, prediction.plan))
        if total_wei is None:
            return bid
        tip_wei = total_wei // gas_used
        return Bid(max(bid.max_fee_wei, landing.base_fee_wei + tip_wei), tip_wei, bid.gas_limit)

    async def advise(self, plans: Sequence[Asked], landing: Landing) -> None:
        """Ask about these; each once."""
        self._said = {key: said for key, said in self._said.items() if key[0] == landing.number}
        if self._process:
            await asyncio.gather(*(self._one(self._process, *asked, landing) for asked in plans))

    async def _one(self, process: Asking, prediction: Prediction, gas_used: int, landing: Landing) -> None:
        key = landing.number, prediction.plan
        if key in self._said or not prediction.plan.contested:
            return
        try:
            offered = self._default.bid(prediction, gas_used, landing)
            self._said[key] = await process.ask(_facts(prediction, gas_used, landing, offered))
        except Skip:
            return
        except (OSError, TimeoutError, ValueError) as error:
            plan = prediction.plan
            log.warning("model_silent", market=plan.market, account=plan.account, why=str(error) or "no answer in time")


def _facts(prediction: Prediction, gas_used: int, landing: Landing, offered: Bid) -> Facts:
    return {
        "bid": f"{prediction.plan.market} {prediction.plan.account}",
        "block": landing.number,
        "timestamp": landing.timestamp_s,
        "gas": gas_used,
        "value": str(prediction.value_wei),
        "cost": str(gas_used * landing.base_fee_wei),
        "offered": str(offered.priority_fee_wei * gas_used),
    }


@asynccontextmanager
async def advised(wanted: BiddingSettings, folder: Path, default: BidPolicy) -> AsyncIterator[AdvisedPolicy]:
    """With the user's own program, if there is one, kept running as long as this lasts. Raises ConfigError where it is not to be found."""
    if not wanted.model:
        yield AdvisedPolicy(None, default)
        return
    program(wanted.model, folder, "bidding.model")
    async with ModelProcess.start(wanted.model, wanted.answer_ms / 1000, folder=folder) as process:
        yield AdvisedPolicy(process, default)
