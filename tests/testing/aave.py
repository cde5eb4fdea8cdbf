"""The devnet's Aave markets as the suite wants them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from keeper.adapters.aave_v3 import AaveV3
from keeper.devnet import Devnet
from keeper.testing import Deployment, Node, Transaction
from keeper.types import Cell
from tests.adapters.world import World


class AaveDeployment(Deployment):
    """`name`: "aave_v36" or "aave_v302"."""

    def __init__(self, net: Devnet, name: str) -> None:
        self.rpc, self.adapter, self.address = net.rpc, AaveV3(), net.addresses[f"{name}.provider"]
        self.accounts = [borrower.address for borrower in net.population if borrower.market == name]
        self.wrong_addresses = [net.addresses[f"{name}.pool"], net.addresses["token.USDC"], net.addresses["uniswap.factory"]]
        self._name, self._world = name, World(net, Random(0))

    async def prepare(self, node: Node) -> None:
        await self._world.prepare(self.accounts, [self._name])

    def actions(self, rng: Random) -> Sequence[Transaction]:
        world, world.rng = self._world, rng
        actions = [*world.tick(0.15), *(world.action(self._name, self.accounts) for _ in range(rng.randrange(1, 5)))]
        actions += world.leverage(self._name, rng.choice(self.accounts))
        return actions + ([world.governance(self._name)] if rng.random() < 0.2 else [])

    def pause(self) -> Sequence[Transaction]:
        world = self._world
        return [world.admin(self._name, "setReservePause(address,bool)", world.asset(symbol), True) for symbol in world.symbols]

    def unsettled(self, cell: Cell) -> bool:
        """Rates: no index moves by them within the block, whose events bring the new ones."""
        table, key = cell
        return table.endswith("/index") and key[-1] in {"lr", "br"}
