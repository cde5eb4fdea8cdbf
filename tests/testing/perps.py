"""The devnet's perpetuals as the suite wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar, cast

from keeper.adapters.perp_v2 import PerpV2
from keeper.adapters.perp_v2.market import PerpV2Market
from keeper.devnet import Devnet
from keeper.devnet.names import DEPLOYER
from keeper.options import NO_OPTIONS, Options
from keeper.ports import Apply, Reader, View
from keeper.testing import Deployment, Node, Transaction
from keeper.types import Address, Key, Log, Write
from tests.adapters.perp_v2.curie import Curie
from tests.adapters.perp_v2.play import Play


class Written:
    """A devnet whose calls are written down, for a block that somebody else mines."""

    def __init__(self, net: Devnet) -> None:
        self._net = net
        self.calls: list[Transaction] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._net, name)

    async def call(self, sender: Address, name: str, function: str, *args: Any) -> None:
        self.calls.append(Transaction(sender, self._net.addresses[name], self._net.encode(name, function, *args)))

    async def mine(self, timestamp_s: int | None = None) -> None:
        return


class PerpDeployment(Deployment):
    """Makers and traders in both markets, with either collateral."""

    steps_s: Sequence[int] = (1, 12, 12, 16, 16, 120, 900, 1900)

    passing: ClassVar[frozenset[str]] = frozenset({"tick_limit", "price_band", "illiquid", "insurance_fund"})

    exempt: ClassVar[Mapping[str, str]] = {
        "the_guard_stops_whoever_is_healthy": "no single word says whether an account is liquidatable: the call itself reverts",
        "only_the_account_that_is_liquidated_changes": "the position is traded away in a pool, whose makers' positions move along",
        "touched_names_every_account_whose_rows_have_changed": "a maker's row holds for one count of swaps: others make it stale",
        "no_liquidation_earns_more_than_the_margin": "collateral is sold at a mean of its price, which may be far from the newest",
    }

    def __init__(self, net: Devnet) -> None:
        self.rpc, self.adapter, self.address = net.rpc, PerpV2(), net.addresses["perp.clearing_house"]
        self.wrong_addresses = [net.addresses["perp.vault"], net.addresses["token.USDC"], net.addresses["morpho.blue"]]
        self._written = Written(net)
        self._play = Play(Curie(net), Random(0))
        self.accounts: list[Address] = []

    async def prepare(self, node: Node) -> None:
        await self._play.begin()
        self.accounts = self._play.everyone
        self._play.curie = Curie(cast("Devnet", self._written))

    def actions(self, rng: Random) -> Sequence[Transaction]:
        raise NotImplementedError("what happens hangs on the pools")

    async def happens(self, node: Node, rng: Random) -> Sequence[Transaction]:
        self._play.rng = rng
        self._written.calls.clear()
        for _ in range(rng.randrange(1, 4)):
            await self._play.step()
        return tuple(self._written.calls)

    def pause(self) -> Sequence[Transaction]:
        net = self._written
        return [Transaction(DEPLOYER, net.addresses[name], net.encode(name, "pause")) for name in ("perp.clearing_house", "perp.vault")]


class FundingBackwards(PerpV2):
    """The adapter with one thing wrong: whoever should be paid funding pays it."""

    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> PerpV2Market:
        market = await super().open(reader, name, address, first_block, options)
        return Backwards(market.deployment)


class Backwards(PerpV2Market):
    def applier(self, view: View) -> Apply:
        apply = super().applier(view)

        def turned(log: Log, state: View) -> list[Write]:
            return [(table, key, -value if self._grows(table, key) else value) for table, key, value in apply(log, state)]

        return turned

    def _grows(self, table: str, key: Key) -> bool:
        return table == self.cells.pool and key[-1] in {"g", "gd"}
