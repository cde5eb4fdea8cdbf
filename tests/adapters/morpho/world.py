"""Random life on the devnet's Morpho: lenders, borrowers, the owner, oracles, liquidators and time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from keeper.devnet import Devnet
from keeper.devnet.genesis import morpho
from keeper.devnet.genesis.morpho import MARKETS, Market
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.names import DEPLOYER, TRANSMITTER, derived
from keeper.devnet.oracle import report
from keeper.fixedpoint import MAX_UINT256
from keeper.types import Address
from tests.adapters.world import Action

LIQUIDATOR = derived("tests: liquidator of isolated markets")
FEE_RECIPIENT = derived("tests: fee recipient")
FIRST_EPOCH = 100_000
WAD = 10**18


class World:
    """Drives one devnet. `rng` decides everything; `ids`: the markets' ids, in the order of `MARKETS`."""

    def __init__(self, net: Devnet, rng: random.Random) -> None:
        self.net, self.rng = net, rng
        self.ids = {morpho.market_id(net.addresses, market): market for market in MARKETS}
        self.users = [*dict.fromkeys(entry.address for entry in net.isolated), *(derived(f"tests: user {i}") for i in range(6))]
        self.prices = {symbol: token.price for symbol, token in BY_SYMBOL.items()}
        self._epoch = FIRST_EPOCH

    async def prepare(self) -> None:
        """Ether, tokens and allowances for everyone; fees are on in two markets."""
        singleton = self.net.addresses["morpho.blue"]
        for account in (*self.users, LIQUIDATOR):
            await self.net.request("anvil_setBalance", account, hex(10**24))
            for symbol, token in BY_SYMBOL.items():
                amount = 10**5 * token.unit * (10**6 if account == LIQUIDATOR else 1)
                await self.net.request("anvil_dealERC20", account, self.net.addresses[f"token.{symbol}"], hex(amount))
                await self.net.request(
                    "anvil_setERC20Allowance", account, singleton, self.net.addresses[f"token.{symbol}"], hex(MAX_UINT256)
                )
        await self.send([self.owner("setFeeRecipient", FEE_RECIPIENT), self.fee(MARKETS[0], 10), self.fee(MARKETS[1], 25)])
        await self.net.mine()

    async def send(self, actions: Sequence[Action]) -> None:
        for action in actions:
            await self.net.send(action.sender, action.to, action.data, gas=3_000_000)

    # --- calls

    def call(self, sender: Address, function: str, market: Market, *arguments: Any) -> Action:
        return self._blue(sender, function, morpho.params(self.net.addresses, market), *arguments)

    def owner(self, function: str, *arguments: Any) -> Action:
        return self._blue(DEPLOYER, function, *arguments)

    def fee(self, market: Market, percent: int) -> Action:
        return self.call(DEPLOYER, "setFee", market, percent * WAD // 100)

    def liquidate(self, market: Market, account: Address, seized: int, shares: int) -> Action:
        return self.call(LIQUIDATOR, "liquidate", market, account, seized, shares, b"")

    def _blue(self, sender: Address, function: str, *arguments: Any) -> Action:
        return Action(sender, self.net.addresses["morpho.blue"], self.net.encode("morpho.blue", function, *arguments))

    def set_price(self, symbol: str, price: int) -> Action:
        self.prices[symbol], self._epoch = price, self._epoch + 1
        aggregator = f"aggregator.{symbol}"
        return Action(TRANSMITTER, self.net.addresses[aggregator], self.net.encode(aggregator, "transmit", *report(price, 0, self._epoch)))

    def tick(self, move: float) -> list[Action]:
        """One or two prices move, stablecoins by a fiftieth of it."""
        return [self.set_price(symbol, self._moved(symbol, move)) for symbol in self.rng.sample(list(BY_SYMBOL), self.rng.choice([1, 2]))]

    def _moved(self, symbol: str, move: float) -> int:
        size = self.rng.uniform(-move, move) / (50 if symbol in ("USDC", "DAI") else 1)
        start = BY_SYMBOL[symbol].price
        return min(max(int(self.prices[symbol] * (1 + size)) + self.rng.randrange(100), start // 3), start * 2)

    # --- what people do; much of it may well revert

    def action(self) -> Action:
        kinds: list[Callable[[Market, Address], Action]] = [
            *[self._supply, self._withdraw, self._borrow, self._repay, self._secure, self._release] * 3,
            *[self._accrue, self._fee, self._liquidate, self._liquidate, self._liquidate],
        ]
        return self.rng.choice(kinds)(self.rng.choice(MARKETS), self.rng.choice(self.users))

    def leverage(self) -> list[Action]:
        """Up to the limit, or a hair below it."""
        market, user = self.rng.choice(MARKETS), self.rng.choice(self.users)
        collateral = self.amount(market.collateral)
        price = morpho.price(market) * self.prices[market.collateral] // BY_SYMBOL[market.collateral].price
        if market.quoted:
            price = price * BY_SYMBOL[market.loan].price // self.prices[market.loan]
        most = collateral * price // 10**36 * market.lltv_bps // 10**4
        debt = int(most * self.rng.uniform(0.9, 0.99999))
        return [self.call(user, "supplyCollateral", market, collateral, user, b""), self.call(user, "borrow", market, debt, 0, user, user)]

    def amount(self, symbol: str) -> int:
        """From one smallest unit to some ten thousand dollars."""
        if self.rng.random() < 0.1:
            return self.rng.randrange(1, 5)
        return int(10 ** self.rng.uniform(-2, 4.5) * 10**8 * BY_SYMBOL[symbol].unit // BY_SYMBOL[symbol].price) + 1

    def _sized(self, symbol: str) -> tuple[int, int]:
        """Assets or shares."""
        amount = self.amount(symbol)
        return (amount, 0) if self.rng.random() < 0.6 else (0, amount * 10**6 + self.rng.randrange(10**6))

    def _supply(self, market: Market, user: Address) -> Action:
        return self.call(user, "supply", market, *self._sized(market.loan), self.rng.choice(self.users), b"")

    def _withdraw(self, market: Market, user: Address) -> Action:
        return self.call(user, "withdraw", market, *self._sized(market.loan), user, self.rng.choice(self.users))

    def _borrow(self, market: Market, user: Address) -> Action:
        return self.call(user, "borrow", market, *self._sized(market.loan), user, user)

    def _repay(self, market: Market, user: Address) -> Action:
        return self.call(user, "repay", market, *self._sized(market.loan), self.rng.choice(self.users), b"")

    def _secure(self, market: Market, user: Address) -> Action:
        return self.call(user, "supplyCollateral", market, self.amount(market.collateral), self.rng.choice(self.users), b"")

    def _release(self, market: Market, user: Address) -> Action:
        return self.call(user, "withdrawCollateral", market, self.amount(market.collateral), user, self.rng.choice(self.users))

    def _accrue(self, market: Market, user: Address) -> Action:
        return self.call(user, "accrueInterest", market)

    def _fee(self, market: Market, user: Address) -> Action:
        return self.fee(market, self.rng.randrange(26))

    def _liquidate(self, market: Market, user: Address) -> Action:
        amount = self.amount(market.collateral)
        return self.liquidate(market, user, *((amount, 0) if self.rng.random() < 0.5 else (0, amount * 10**6)))
