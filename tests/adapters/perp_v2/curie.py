"""The perpetuals of the devnet by name, and actors that nobody has heard of before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keeper.devnet import Devnet
from keeper.devnet.names import DEPLOYER, derived
from keeper.types import Address

NEVER = 2**256 - 1


@dataclass(frozen=True, slots=True)
class Curie:
    """`name`: without the "perp." in front. Amounts are smallest units."""

    net: Devnet

    def at(self, name: str) -> Address:
        return self.net.addresses[f"perp.{name}"]

    @property
    def usdc(self) -> Address:
        return self.net.addresses["token.USDC"]

    @property
    def weth(self) -> Address:
        return self.net.addresses["token.WETH"]

    def data(self, name: str, function: str, *args: Any) -> bytes:
        return self.net.encode(f"perp.{name}", function, *args)

    async def call(self, name: str, function: str, *args: Any, sender: Address = DEPLOYER) -> dict[str, Any]:
        """Raises RpcError on a revert."""
        return await self.net.call(sender, f"perp.{name}", function, *args)

    async def read(self, name: str, function: str, *args: Any) -> int:
        """The first word."""
        return int((await self.net.read(f"perp.{name}", function, *args))[0])

    async def tick(self, market: str) -> int:
        return int((await self.net.read(f"perp.pool.{market}", "slot0"))[1])

    async def enrich(self, who: Address, symbol: str, amount: int) -> None:
        """Give an account gas and tokens that the vault may take."""
        await self.net.request("anvil_setBalance", who, hex(10**21))
        await self.net.deal(symbol, who, amount)
        await self.net.call(who, f"token.{symbol}", "approve", self.at("vault"), NEVER)


def member(name: str) -> Address:
    return derived(f"perp tests: {name}")
