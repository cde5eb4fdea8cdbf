"""The devnet's Yield v2 as the suite wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar

from keeper.adapters.yield_v2 import YieldV2
from keeper.devnet import Devnet
from keeper.devnet.names import derived
from keeper.testing import Deployment, Node, Transaction
from keeper.types import Address
from tests.adapters.world import Action
from tests.adapters.yield_v2.world import World

BUILT = 8


class Settled(World):
    """An id hangs on the second a vault is built in, so that all are built before the rest of life begins."""

    settled = False

    def build(self, mined_s: int) -> list[Action]:
        return self._start(sorted(self.vaults)) if self.settled else super().build(mined_s)


class YieldDeployment(Deployment):
    """The vaults it was born with, and some that are built close to the edge."""

    exempt: ClassVar[Mapping[str, str]] = {
        "the_guard_stops_whoever_is_healthy": "the guard asks whether an auction is on, not whether the vault is below its level",
        "bounds_are_close_to_the_contracts_own_surplus": "a vault on auction is judged by what its lot costs and brings, not by its debt",
        "bad_debt_is_flagged_exactly_where_it_remains": "the legs of a vault on auction are those of its lot, not of the vault",
    }

    def __init__(self, net: Devnet) -> None:
        self.rpc, self.adapter, self.address = net.rpc, YieldV2(), net.addresses["yield.witch"]
        self.wrong_addresses = [net.addresses["yield.cauldron"], net.addresses["token.USDC"], net.addresses["morpho.blue"]]
        self.options = {"reward_to": [derived("tests: reward")]}
        self.accounts: list[Address] = [vault.address for vault in net.vaults]
        self._net, self._world = net, Settled(net, Random(0))

    async def prepare(self, node: Node) -> None:
        await self._world.prepare()
        await node.mine(12)
        for _ in range(BUILT):
            latest = await node.request("eth_getBlockByNumber", "latest", False)
            await self._world.send(self._world.build(int(latest["timestamp"], 16) + 12))
            await node.mine(12)
        self._world.settled = True
        self.accounts += sorted(self._world.vaults)

    def actions(self, rng: Random) -> Sequence[Transaction]:
        world, world.rng = self._world, rng
        actions = [*world.tick(0.15), *world.tick(0.1)]
        actions += [action for _ in range(rng.randrange(1, 4)) for action in world.action(self.accounts, 0)]
        actions += world.governance() if rng.random() < 0.1 else world.usual() if rng.random() < 0.2 else []
        return [Transaction(action.sender, action.to, action.data) for action in actions]

    def pause(self) -> Sequence[Transaction]:
        """The Witch may neither take vaults nor move what is in them."""
        world, witch = self._world, self.address
        joins = [name for name in self._net.addresses if name.startswith("yield.join.")]
        actions = [world.allow("yield.cauldron", witch, "give", "slurp", on=False)]
        actions += [world.allow(join, witch, "join", "exit", on=False) for join in joins]
        return [Transaction(action.sender, action.to, action.data) for action in actions]
