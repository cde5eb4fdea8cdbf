"""A market that goes on for ever: prices that wander and come back, and borrowers who borrow again what they can."""

from __future__ import annotations

import random
from collections.abc import Mapping

from keeper.devnet import Devnet
from keeper.devnet.genesis.borrowers import VARIABLE_RATE, Borrower, population
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.names import DEPLOYER, OPERATOR, PERP_ARBITRAGEUR, TRADER, TRANSMITTER
from tests.e2e.world import ETHER_LIKE

MAX = 2**256 - 1
ETHER_EACH = 10**22
WIDEST_BPS, STEP_BPS = 1500, 300
"""How far ether wanders from where it was, and how far at most from one block to the next."""

USED_BPS = 9_900
"""Of what somebody could borrow, what he does: he is due after a fall of a few per cent."""


class Life:
    """The same seed, the same life, but for what the keeper makes of it. Everything is put into the mempool; the next block has it."""

    def __init__(self, net: Devnet, people: int, seed: int, first: Mapping[str, int]) -> None:
        self._net, self._chance, self._first = net, random.Random(seed), first
        self._people = population(people, seed)
        self._ether_bps = 0

    async def fund(self) -> None:
        """Those who move the markets pay gas for ever, and so do we."""
        payers = (DEPLOYER, TRANSMITTER, TRADER, PERP_ARBITRAGEUR, OPERATOR, *(who.address for who in self._people))
        await self._net.batch([("anvil_setBalance", [payer, hex(ETHER_EACH)]) for payer in payers])

    async def move(self) -> None:
        """A new price: anywhere near the last one."""
        step = self._chance.randint(-STEP_BPS, STEP_BPS)
        self._ether_bps = max(-WIDEST_BPS, min(WIDEST_BPS, self._ether_bps + step))
        prices = {symbol: price + price * self._ether_bps * ETHER_LIKE.get(symbol, 0) // 10**6 for symbol, price in self._first.items()}
        await self._net.set_prices(prices)

    async def borrow(self) -> None:
        """Somebody takes on as much debt as he may; who can borrow nothing worth the name brings new collateral for the next time."""
        who = self._chance.choice(self._people)
        pool, debt = f"{who.market}.pool", next(iter(who.debt))
        _, _, available, *_ = await self._net.read(pool, "getUserAccountData", who.address)
        amount = available * USED_BPS // 10_000 * 10 ** BY_SYMBOL[debt].decimals // (await self._net.prices())[debt]
        if available < 10**10:
            await self._supply(who)
        else:
            await self._send(who, pool, "borrow", self._net.addresses[f"token.{debt}"], amount, VARIABLE_RATE, 0, who.address)

    async def _supply(self, who: Borrower) -> None:
        """As much as at the beginning."""
        for symbol, amount in who.collateral.items():
            token = f"token.{symbol}"
            give = ("transfer", who.address, amount) if symbol == "WETH" else ("mint(address,uint256)", who.address, amount)
            await self._net.send(DEPLOYER, self._net.addresses[token], self._net.encode(token, *give))
            await self._send(who, token, "approve", self._net.addresses[f"{who.market}.pool"], MAX)
            await self._send(who, f"{who.market}.pool", "supply", self._net.addresses[token], amount, who.address, 0)

    async def _send(self, who: Borrower, name: str, function: str, *args: object) -> None:
        await self._net.send(who.address, self._net.addresses[name], self._net.encode(name, function, *args))
