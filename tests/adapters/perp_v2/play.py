"""Random play: traders, makers, keepers and prices, as transactions; which of them succeed is the protocol's business."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import isqrt
from random import Random

from keeper.devnet.rpc import RpcError
from keeper.types import Address
from tests.adapters.perp_v2.deployment import GAS, PRICES, Curie, members

TRADERS, MAKERS, KEEPER, LENDER = 6, 3, "keeper", "lender"
NEVER = 2**256 - 1
NO_CODE = b"\0" * 32
UNIT = 10**18
USD = 10**6


@dataclass
class Play:
    curie: Curie
    rng: Random
    traders: list[Address] = field(default_factory=list)
    makers: list[Address] = field(default_factory=list)
    orders: list[tuple[Address, str, int, int]] = field(default_factory=list)
    prices: dict[str, int] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    @property
    def everyone(self) -> list[Address]:
        return [*self.traders, *self.makers, self.keeper]

    async def begin(self) -> None:
        """Everybody has money, makers are in, the fund is filled."""
        self.traders = members([f"trader {n}" for n in range(TRADERS)])
        self.makers = members([f"maker {n}" for n in range(MAKERS)])
        (self.keeper,) = members([KEEPER])
        at, net = self.curie.addresses, self.curie.net
        self.prices = {market: (await net.prices())[symbol] for market, symbol in PRICES.items()}
        for who in self.everyone:
            await net.request("anvil_setBalance", who, hex(10**21))
            await net.deal("USDC", who, 10**8 * USD)
            await self.curie.token("USDC", "approve", at["vault"], NEVER, sender=who)
            await net.deal("WETH", who, 100 * UNIT)
            await self.curie.token("WETH", "approve", at["vault"], NEVER, sender=who)
        await net.deal("USDC", at["fund"], 10_000 * USD)
        for who in self.makers:
            await self.deposit(who, 2_000_000)
            for market in PRICES:
                tick = await self.tick(market)
                spread = self.rng.choice([60, 600, 12_000])
                await self.provide(who, market, tick - spread, tick + spread, 300_000)
        for who in self.traders:
            await self.deposit(who, self.rng.choice([500, 2_000, 10_000]))
        await self.deposit(self.keeper, 500_000)

    # --- single actions

    async def send(self, who: Address, name: str, function: str, *args: object) -> None:
        await self.curie.net.send(who, self.curie.addresses[name], self.curie.data(name, function, *args), gas=GAS // 8)

    async def tried(self, what: str, who: Address, name: str, function: str, *args: object) -> None:
        try:
            await self.curie.call(name, function, *args, sender=who)
            self.done[what] += 1
        except RpcError:
            self.done[f"{what} refused"] += 1

    async def tick(self, market: str) -> int:
        raw = await self.curie.net.request(
            "eth_call",
            {"to": self.curie.addresses[f"pool.{market}"], "data": "0x" + self.curie.data(f"pool.{market}", "slot0").hex()},
            "latest",
        )
        return int.from_bytes(bytes.fromhex(raw[2:])[32:64], signed=True)

    async def deposit(self, who: Address, usd: int) -> None:
        await self.curie.call("vault", "deposit", self.curie.addresses["usdc"], usd * USD, sender=who)

    async def provide(self, who: Address, market: str, lower: int, upper: int, usd: int) -> None:
        lower, upper = lower // 60 * 60, upper // 60 * 60 + 60
        base = usd * UNIT * 10**8 // self.prices[market]
        order = (self.curie.addresses[f"base.{market}"], base, usd * UNIT, lower, upper, 0, 0, False, NEVER)
        await self.tried("add liquidity", who, "house", "addLiquidity", order)
        self.orders.append((who, market, lower, upper))

    async def open(self, who: Address, market: str, short: bool, usd: float, exact_in: bool = True, limit: int = 0) -> None:
        in_base = short == exact_in
        amount = int(usd * UNIT * 10**8 / self.prices[market]) if in_base else int(usd * UNIT)
        bound = 0 if exact_in else NEVER // 2**16
        params = (self.curie.addresses[f"base.{market}"], short, exact_in, amount, bound, NEVER, limit, NO_CODE)
        await self.tried("open", who, "house", "openPosition", params)

    async def close(self, who: Address, market: str) -> None:
        await self.tried("close", who, "house", "closePosition", (self.curie.addresses[f"base.{market}"], 0, 0, NEVER, NO_CODE))

    async def reprice(self, market: str, factor: float) -> None:
        self.prices[market] = max(int(self.prices[market] * factor), 10**6)
        await self.curie.net.set_answers({PRICES[market]: self.prices[market]})
        await self.curie.net.mine()
        self.done["price"] += 1

    async def towards(self, market: str) -> None:
        """The keeper as arbitrageur: trades until the pool is at the index."""
        target = isqrt(self.prices[market] * 2**192 // 10**8)
        short = isqrt(int(1.0001 ** await self.tick(market) * 10**12) * 2**192 // 10**12) > target
        await self.open(self.keeper, market, short, 3_000_000.0, limit=target)

    async def crash(self, market: str) -> None:
        """The index and then the pool move by as much as a window allows, and everybody who can is liquidated."""
        await self.wait(16)
        await self.reprice(market, self.rng.choice([0.925, 1.075]))
        await self.towards(market)
        await self._liquidate(market)

    async def wait(self, seconds: int) -> None:
        head = await self.curie.net.request("eth_getBlockByNumber", "latest", False)
        await self.curie.net.mine(int(head["timestamp"], 16) + seconds)

    # --- random ones

    async def step(self) -> None:
        rng, market = self.rng, self.rng.choice(list(PRICES))
        action = rng.choices(
            ["open", "close", "provide", "remove", "price", "arbitrage", "wait", "money", "ether", "liquidate", "settle", "collateral"],
            [12, 2, 2, 3, 5, 5, 4, 3, 1, 1, 1, 1],
        )[0]
        trader = rng.choice(self.traders)
        if action == "open":
            await self.open(trader, market, rng.random() < 0.5, rng.choice([90, 2_000, 10_000, 60_000]) * rng.random(), rng.random() < 0.7)
        elif action == "close":
            await self.close(trader, market)
        elif action == "provide":
            tick, who = await self.tick(market), rng.choice([*self.makers, trader])
            lower = tick + rng.randrange(-3000, 1000)
            await self.provide(who, market, lower, lower + rng.choice([60, 600, 6000]), rng.choice([500, 20_000]))
        elif action == "remove" and self.orders:
            await self._remove(*rng.choice(self.orders))
        elif action == "price":
            await self.reprice(market, rng.choice([0.9, 0.97, 0.995, 1.004, 1.03, 1.08]))
        elif action == "arbitrage":
            await self.towards(market)
            if rng.random() < 0.4:
                await self.crash(market)
        elif action == "wait":
            await self.wait(rng.choice([1, 5, 20, 120, 900, 1900]))
        elif action == "money":
            token = self.curie.addresses["usdc"]
            await self.tried("withdraw", trader, "vault", "withdraw", token, rng.choice([1, 10**7, 10**9, 3 * 10**9 + 1]))
        elif action == "ether":
            await self.tried("ether", trader, "vault", "deposit", self.curie.addresses["weth"], rng.randrange(1, 2 * UNIT))
        elif action == "liquidate":
            await self._liquidate(market)
        elif action == "settle":
            await self._settle(trader)
        elif action == "collateral":
            await self._collateral(trader)

    async def _remove(self, who: Address, market: str, lower: int, upper: int) -> None:
        base = self.curie.addresses[f"base.{market}"]
        raw = await self.read("order_book", "getOpenOrder", who, base, lower, upper)
        share = self.rng.choice([1, 1, 2])
        await self.tried("remove liquidity", who, "house", "removeLiquidity", (base, lower, upper, raw // share, 0, 0, NEVER))

    async def _liquidate(self, market: str) -> None:
        base = self.curie.addresses[f"base.{market}"]
        for who in [*self.traders, *self.makers]:
            if await self.read("order_book", "getTotalOrderDebt", who, base, True) + await self.read(
                "order_book", "getTotalOrderDebt", who, base, False
            ):
                await self.tried("cancel", self.keeper, "house", "cancelAllExcessOrders", who, base)
            await self.tried("liquidate", self.keeper, "house", "liquidate(address,address)", who, base)

    async def _settle(self, who: Address) -> None:
        """Nobody else may have been settled without a word: a payment of 0 leaves no log, and is less than a wei."""
        pending = [await self.read("exchange", "getPendingFundingPayment", who, self.curie.addresses[f"base.{name}"]) for name in PRICES]
        if all(pending):
            await self.tried("settle", who, "house", "settleAllFunding", who)

    async def _collateral(self, who: Address) -> None:
        await self.tried("collateral", self.keeper, "vault", "liquidateCollateral", who, self.curie.addresses["weth"], 10**17, False)

    async def read(self, name: str, function: str, *args: object) -> int:
        data = "0x" + self.curie.data(name, function, *args).hex()
        raw = await self.curie.net.request("eth_call", {"to": self.curie.addresses[name], "data": data}, "latest")
        return int(raw[2:66], 16)
