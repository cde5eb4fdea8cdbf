"""The devnet's Morpho Blue as the suite wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar

from keeper.adapters.morpho_blue import MorphoBlue
from keeper.devnet import Devnet
from keeper.testing import Deployment, Node, Transaction
from tests.adapters.morpho.conftest import trusted
from tests.adapters.morpho.world import FEE_RECIPIENT, World


class MorphoDeployment(Deployment):
    """All of its honest markets."""

    exempt: ClassVar[Mapping[str, str]] = {
        "nothing_is_offered_while_the_chain_refuses_everything": "the singleton cannot be paused by anybody",
        "the_guard_stops_whoever_is_healthy": "no view tells a health factor: the guard asks for the debt, and the call itself reverts",
    }

    def __init__(self, net: Devnet) -> None:
        self.rpc, self.adapter, self.address = net.rpc, MorphoBlue(), net.addresses["morpho.blue"]
        self._world = World(net, Random(0))
        self.accounts = [*self._world.users, FEE_RECIPIENT]
        self.wrong_addresses = [net.addresses["token.USDC"], net.addresses["uniswap.factory"], net.addresses["yield.witch"]]
        self.options = trusted(net)

    async def prepare(self, node: Node) -> None:
        await self._world.prepare()

    def actions(self, rng: Random) -> Sequence[Transaction]:
        world, world.rng = self._world, rng
        actions = [*world.tick(0.15), *(world.action() for _ in range(rng.randrange(2, 6)))]
        actions += [action for _ in range(rng.randrange(1, 4)) for action in world.leverage()]
        return [Transaction(action.sender, action.to, action.data) for action in actions]

    def pause(self) -> Sequence[Transaction]:
        return ()
