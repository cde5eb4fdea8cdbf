"""Aave v3 with one thing wrong each: what a tired author might ship."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from keeper.adapters.aave_v3 import AaveV3
from keeper.adapters.aave_v3.cells import Deployment, Era
from keeper.adapters.aave_v3.codec import topic
from keeper.adapters.aave_v3.market import ADAPTER, AaveV3Market
from keeper.adapters.aave_v3.position import Position
from keeper.adapters.aave_v3.versions import RuleSet
from keeper.book.state import Overlay
from keeper.fixedpoint import ray_mul_down
from keeper.options import NO_OPTIONS, Options
from keeper.ports import Apply, Market, Reader, View
from keeper.types import Address, Factor, Fill, Log, Quote, Step, Write


class Broken:
    """The adapter, but for the market it opens."""

    name = ADAPTER

    def __init__(self, kind: type[AaveV3Market]) -> None:
        self._kind = kind

    async def open(self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS) -> Market:
        market = await AaveV3().open(reader, name, address, first_block, options)
        assert isinstance(market, AaveV3Market)
        return self._kind(market.deployment)


def deaf_to(*signatures: str) -> type[AaveV3Market]:
    """A market that misses some events."""
    missed = {topic(signature) for signature in signatures}

    class Deaf(AaveV3Market):
        def applier(self, view: View) -> Apply:
            heard = super().applier(view)
            return lambda log, state: [] if log.topics[:1] and log.topics[0] in missed else heard(log, state)

    return Deaf


def ruled_by(change: Callable[[RuleSet], RuleSet]) -> type[AaveV3Market]:
    """A market that takes the rules for others."""

    class Misruled(AaveV3Market):
        def __init__(self, deployment: Deployment) -> None:
            super().__init__(replace(deployment, eras=tuple(Era(era.since, change(era.rules)) for era in deployment.eras)))

    return Misruled


RoundsDown = ruled_by(lambda rules: replace(rules, tokens=replace(rules.tokens, debt_balance=ray_mul_down)))
WithoutCloseFactor = ruled_by(lambda rules: replace(rules, close_factor=lambda exposure: exposure.debt))
MissesTransfers = deaf_to("BalanceTransfer(address,address,uint256,uint256)")
StaleIndex = deaf_to("ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)")
ForgetsEmode = deaf_to("UserEModeSet(address,uint8)")
OverlooksPauses = deaf_to("ReservePaused(address,bool)")


class InterestBackwards(AaveV3Market):
    """The wrong sign on what grows with time."""

    def factors(self, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
        rates = [(self.cells.index, key) for key in view.keys(self.cells.index) if key[1] in {"lr", "br"}]
        return super().factors(Overlay(view, [(table, key, -view.get(table, key)) for table, key in rates]), at_s, wanted)


class KeepsAColumn(AaveV3Market):
    """One column lives in the market and not in its tables: no journal knows of it."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        self._bits: dict[Address, Write] = {}

    def applier(self, view: View) -> Apply:
        apply = super().applier(view)

        def remembering(log: Log, state: View) -> list[Write]:
            writes = apply(log, Overlay(state, self._bits.values()))
            self._bits |= {Address(str(write[1][-1])): write for write in writes if write[0] == self.cells.bits}
            return [write for write in writes if write[0] != self.cells.bits]

        return remembering

    def position(self, view: View, account: Address, at_s: int) -> Position:
        return super().position(Overlay(view, self._bits.values()), account, at_s)


class ABlockLate(AaveV3Market):
    """Health as of the block before."""

    def position(self, view: View, account: Address, at_s: int) -> Position:
        return super().position(view, account, at_s - 12)


class NamesAnother(AaveV3Market):
    """The call is about somebody else."""

    def encode(self, fill: Fill, executor: Address) -> tuple[Step, ...]:
        return super().encode(replace(fill, account=Address("0x" + "77" * 20)), executor)
