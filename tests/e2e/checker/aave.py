"""The pooled markets: accounts with a health factor below 1, every pair at ten amounts."""

from __future__ import annotations

from collections.abc import Iterator

from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.types import Address
from tests.e2e.calls import MAX, Choice
from tests.e2e.checker.block import Block
from tests.e2e.checker.position import Position, shares

WAD = 10**18


async def unhealthy(block: Block) -> list[tuple[str, Address]]:
    """(market, account), by the chain's own word."""
    population = block.net.population
    replies = await block.read([(f"{b.market}.pool", "getUserAccountData", b.address) for b in population])
    return [(b.market, b.address) for b, reply in zip(population, replies, strict=True) if reply[5] < WAD]


async def positions(block: Block) -> list[Position]:
    return [await _position(block, market, account) for market, account in await unhealthy(block)]


async def _position(block: Block, market: str, account: Address) -> Position:
    sides = {side: await _held(block, market, side, account) for side in ("atoken", "vtoken")}
    deeds = tuple(_choices(market, account, sides["atoken"], sides["vtoken"]))
    return Position(market, account, sides["atoken"], sides["vtoken"], deeds)


async def _held(block: Block, market: str, side: str, account: Address) -> dict[Address, int]:
    replies = await block.read([(f"{market}.{side}.{symbol}", "balanceOf", account) for symbol in BY_SYMBOL])
    held = zip(BY_SYMBOL, replies, strict=True)
    return {block.net.addresses[f"token.{symbol}"]: reply[0] for symbol, reply in held if reply[0]}


def _choices(market: str, account: Address, collaterals: dict[Address, int], debts: dict[Address, int]) -> Iterator[Choice]:
    """Every pair: shares of the debt, and as much as the market allows."""
    for debt, owed in debts.items():
        for collateral in collaterals:
            yield from (Choice(market, account, debt, collateral, amount) for amount in (*shares(owed), MAX))
