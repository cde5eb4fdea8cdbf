"""Random play: traders, makers, keepers and prices, as transactions; which of them succeed is the protocol's business."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import isqrt
from random import Random

from keeper.devnet.names import PERP_MARKETS
from keeper.devnet.rpc import RpcError
from keeper.types import Address
from tests.adapters.perp_v2.curie import NEVER, Curie, member

TRADERS, MAKERS = 6, 3
KEEPER = member("keeper")
NO_CODE = b"\0" * 32
UNIT = 10**18
USD = 10**6
WEIGHTS = {
    "open": 12,
    "close": 2,
    "provide": 2,
    "remove": 3,
    "price": 5,
    "arbitrage": 4,
    "crash": 2,
    "wait": 4,
    "withdraw": 3,
    "ether": 1,
    "settle": 1,
    "collateral": 1,
}


@dataclass
class Play:
    curie: Curie
    rng: Random
    traders: list[Address] = field(default_factory=list)
    makers: list[Address] = field(default_factory=list)
    orders: list[tuple[Address, str, int, int]] = field(default_factory=list)
    prices: dict[str, int] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    keeper: Address = KEEPER
    crowd: list[Address] = field(default_factory=list)
    """Who else may be liquidated."""

    @property
    def everyone(self) -> list[Address]:
        return [*self.traders, *self.makers, self.keeper]

    async def begin(self) -> None:
        """Everybody has money and makers are in."""
        self.traders = [member(f"trader {n}") for n in range(TRADERS)]
        self.makers = [member(f"maker {n}") for n in range(MAKERS)]
        self.prices = {market: (await self.curie.net.prices())[symbol] for market, symbol in PERP_MARKETS.items()}
        for who in self.everyone:
            await self.curie.enrich(who, "USDC", 10**7 * USD)
            await self.curie.enrich(who, "WETH", 10 * UNIT)
            equity = 2_000_000 if who in self.makers else 500_000 if who == self.keeper else self.rng.choice([500, 2_000, 10_000])
            await self.deposit(who, equity)
        for who in self.makers:
            for market in PERP_MARKETS:
                tick, spread = await self.curie.tick(market), self.rng.choice([60, 600, 12_000])
                await self.provide(who, market, tick - spread, tick + spread, 300_000)

    # --- single actions

    async def tried(self, what: str, who: Address, name: str, function: str, *args: object) -> None:
        try:
            await self.curie.call(name, function, *args, sender=who)
            self.done[what] += 1
        except RpcError:
            self.done[f"{what} refused"] += 1

    async def deposit(self, who: Address, usd: int) -> None:
        await self.curie.call("vault", "deposit", self.curie.usdc, usd * USD, sender=who)

    async def provide(self, who: Address, market: str, lower: int, upper: int, usd: int) -> None:
        lower, upper = lower // 60 * 60, upper // 60 * 60 + 60
        base = usd * UNIT * 10**8 // self.prices[market]
        order = (self.curie.at(f"base.{market}"), base, usd * UNIT, lower, upper, 0, 0, False, NEVER)
        await self.tried("provide", who, "clearing_house", "addLiquidity", order)
        self.orders.append((who, market, lower, upper))

    async def open(self, who: Address, market: str, short: bool, usd: float, exact_in: bool = True, limit: int = 0) -> None:
        amount = int(usd * UNIT * 10**8 / self.prices[market]) if short == exact_in else int(usd * UNIT)
        bound = 0 if exact_in else NEVER // 2**16
        params = (self.curie.at(f"base.{market}"), short, exact_in, amount, bound, NEVER, limit, NO_CODE)
        await self.tried("open", who, "clearing_house", "openPosition", params)

    async def reprice(self, market: str, factor: float) -> None:
        self.prices[market] = max(int(self.prices[market] * factor), 10**6)
        await self.curie.net.set_answers({PERP_MARKETS[market]: self.prices[market]})
        await self.curie.net.mine()
        self.done["price"] += 1

    async def towards(self, market: str) -> None:
        """The keeper as arbitrageur: trades until the pool is at the index."""
        target = isqrt(self.prices[market] * 2**192 // 10**8)
        price = (await self.curie.net.read(f"perp.pool.{market}", "slot0"))[0]
        await self.open(self.keeper, market, price > target, 3_000_000.0, limit=target)

    async def crash(self, market: str, factor: float) -> None:
        """The index and then the pool move by as much as a window allows."""
        await self.wait(16)
        await self.reprice(market, factor)
        await self.towards(market)

    async def wait(self, seconds: int) -> None:
        head = await self.curie.net.request("eth_getBlockByNumber", "latest", False)
        await self.curie.net.mine(int(head["timestamp"], 16) + seconds)

    # --- random ones

    async def step(self) -> None:
        (action,) = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        await getattr(self, f"_{action}")(self.rng.choice(self.traders), self.rng.choice(list(PERP_MARKETS)))

    async def _open(self, who: Address, market: str) -> None:
        usd = self.rng.choice([90, 2_000, 10_000, 60_000]) * self.rng.random()
        await self.open(who, market, self.rng.random() < 0.5, usd, self.rng.random() < 0.7)

    async def _close(self, who: Address, market: str) -> None:
        await self.tried("close", who, "clearing_house", "closePosition", (self.curie.at(f"base.{market}"), 0, 0, NEVER, NO_CODE))

    async def _provide(self, who: Address, market: str) -> None:
        lower = await self.curie.tick(market) + self.rng.randrange(-3000, 1000)
        maker = self.rng.choice([*self.makers, who])
        await self.provide(maker, market, lower, lower + self.rng.choice([60, 600, 6000]), self.rng.choice([500, 20_000]))

    async def _remove(self, who: Address, market: str) -> None:
        maker, market, lower, upper = self.rng.choice(self.orders)
        base = self.curie.at(f"base.{market}")
        order = (await self.curie.net.read("perp.order_book", "getOpenOrder", maker, base, lower, upper))[0]
        liquidity = order[0] // self.rng.choice([1, 1, 2])
        await self.tried("remove", maker, "clearing_house", "removeLiquidity", (base, lower, upper, liquidity, 0, 0, NEVER))

    async def _price(self, who: Address, market: str) -> None:
        await self.reprice(market, self.rng.choice([0.9, 0.97, 0.995, 1.004, 1.03, 1.08]))

    async def _arbitrage(self, who: Address, market: str) -> None:
        await self.towards(market)

    async def _crash(self, who: Address, market: str) -> None:
        """And everybody who can be is liquidated."""
        await self.crash(market, self.rng.choice([0.925, 1.075]))
        base = self.curie.at(f"base.{market}")
        for account in self.rng.sample([*self.traders, *self.makers, *self.crowd], 6):
            if await self._lent(account, base):
                await self.tried("cancel", self.keeper, "clearing_house", "cancelAllExcessOrders", account, base)
            await self.tried("liquidate", self.keeper, "clearing_house", "liquidate(address,address)", account, base)

    async def _lent(self, who: Address, base: Address) -> int:
        debts = [await self.curie.read("order_book", "getTotalOrderDebt", who, base, of_base) for of_base in (True, False)]
        return sum(debts)

    async def _wait(self, who: Address, market: str) -> None:
        await self.wait(self.rng.choice([1, 5, 20, 120, 900, 1900]))

    async def _withdraw(self, who: Address, market: str) -> None:
        await self.tried("withdraw", who, "vault", "withdraw", self.curie.usdc, self.rng.choice([1, 10**7, 10**9, 3 * 10**9 + 1]))

    async def _ether(self, who: Address, market: str) -> None:
        await self.tried("ether", who, "vault", "deposit", self.curie.weth, self.rng.randrange(1, 2 * UNIT))

    async def _settle(self, who: Address, market: str) -> None:
        """Nobody may be settled without a word: a payment of 0 leaves no log, and is less than a wei."""
        bases = [self.curie.at(f"base.{name}") for name in PERP_MARKETS]
        if all([await self.curie.read("exchange", "getPendingFundingPayment", who, base) for base in bases]):
            await self.tried("settle", who, "clearing_house", "settleAllFunding", who)

    async def _collateral(self, who: Address, market: str) -> None:
        await self.tried("collateral", self.keeper, "vault", "liquidateCollateral", who, self.curie.weth, 10**17, False)
