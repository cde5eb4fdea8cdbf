"""Random life on the devnet's Aave markets: users, governance, oracles, foreign liquidators and a flash borrower."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache

from vyper import compile_code

from keeper.devnet import Devnet
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.names import DEPLOYER, TRANSMITTER, derived
from keeper.devnet.oracle import report
from keeper.fixedpoint import MAX_UINT256
from keeper.testing import Transaction as Action
from keeper.types import ZERO_ADDRESS, Address

LIQUIDATOR = derived("tests: liquidator")
RICH = 10**12  # whole tokens
FIRST_EPOCH = 100_000
BORROWER_OF_FLASH = """
# pragma version ~=0.4.0
from ethereum.ercs import IERC20

@external
def executeOperation(asset: address, amount: uint256, premium: uint256, initiator: address, params: Bytes[32]) -> bool:
    extcall IERC20(asset).approve(msg.sender, amount + premium)
    return True
"""

__all__ = ["LIQUIDATOR", "Action", "World"]


class World:
    """Drives one devnet. `rng` decides everything."""

    def __init__(self, net: Devnet, rng: random.Random) -> None:
        self.net = net
        self.rng = rng
        self.flash_borrower = ZERO_ADDRESS
        self._epoch = FIRST_EPOCH
        self._prices = {symbol: token.price for symbol, token in BY_SYMBOL.items()}

    @property
    def symbols(self) -> list[str]:
        return list(BY_SYMBOL)

    def asset(self, symbol: str) -> Address:
        return self.net.addresses[f"token.{symbol}"]

    # --- set-up

    async def prepare(self, accounts: Sequence[Address], markets: Sequence[str]) -> None:
        """Ether, tokens and allowances for everyone, and a contract that takes flash loans."""
        self.flash_borrower = await self._deploy_flash_borrower()
        everyone = [*accounts, LIQUIDATOR, self.flash_borrower]
        requests: list[tuple[str, list[object]]] = [("anvil_setBalance", [account, hex(10**24)]) for account in everyone]
        for account in everyone:
            for symbol, token in BY_SYMBOL.items():
                amount = RICH * token.unit if account == LIQUIDATOR else 10**5 * token.unit
                requests.append(("anvil_dealERC20", [account, self.asset(symbol), hex(amount)]))
                for market in markets:
                    spender = self.net.addresses[f"{market}.pool"]
                    requests.append(("anvil_setERC20Allowance", [account, spender, self.asset(symbol), hex(MAX_UINT256)]))
        for request in requests:
            await self.net.request(request[0], *request[1])

    async def _deploy_flash_borrower(self) -> Address:
        receipt = await self.net.transact(DEPLOYER, None, _flash_bytecode())
        return Address(receipt["contractAddress"])

    # --- running

    async def send(self, actions: Sequence[Action]) -> list[str]:
        return [await self.net.send(action.sender, action.to, action.data, gas=3_000_000) for action in actions]

    # --- oracles

    def tick(self, market_move: float) -> list[Action]:
        """One or two prices move; stablecoins by a fiftieth of it."""
        symbols = self.rng.sample(self.symbols, self.rng.choice([1, 2]))
        return [self.set_price(symbol, self._moved(symbol, market_move)) for symbol in symbols]

    def _moved(self, symbol: str, market_move: float) -> int:
        size = self.rng.uniform(-market_move, market_move) / (50 if symbol in ("USDC", "DAI") else 1)
        price = int(self._prices[symbol] * (1 + size)) + self.rng.randrange(100)
        start = BY_SYMBOL[symbol].price
        return min(max(price, start // 3), start * 2)

    def set_price(self, symbol: str, price: int) -> Action:
        self._prices[symbol] = price
        self._epoch += 1
        aggregator = f"aggregator.{symbol}"
        return Action(TRANSMITTER, self.net.addresses[aggregator], self.net.encode(aggregator, "transmit", *report(price, 0, self._epoch)))

    # --- what users and governance do

    def action(self, market: str, users: Sequence[Address]) -> Action:
        kinds: list[Callable[[str, Address, Sequence[Address]], Action]] = [
            *[self._supply, self._borrow, self._withdraw, self._repay] * 3,
            *[self._repay_with_atokens, self._transfer, self._transfer, self._toggle, self._emode, self._treasury, self._flash],
            *[self._liquidate] * 4,
        ]
        return self.rng.choice(kinds)(market, self.rng.choice(users), users)

    def leverage(self, market: str, user: Address) -> list[Action]:
        """One or two collaterals and one or two debts close to the limit, at times the same asset on both sides."""
        actions: list[Action] = []
        limit_base = 0
        for symbol in self.rng.sample(self.symbols, self.rng.choice([1, 1, 2, 3])):
            dollars = int(10 ** self.rng.uniform(1.5, 4.5))
            actions += [
                self.pool(market, user, "supply", self.asset(symbol), self._worth(symbol, dollars), user, 0),
                self.pool(market, user, "setUserUseReserveAsCollateral", self.asset(symbol), True),
            ]
            limit_base += dollars * BY_SYMBOL[symbol].threshold
        debts = self.rng.sample(self.symbols, self.rng.choice([1, 1, 2]))
        dollars = int(limit_base * self.rng.uniform(0.80, 0.93)) // 10_000 // len(debts)
        return actions + [
            self.pool(market, user, "borrow", self.asset(symbol), self._worth(symbol, dollars), 2, 0, user) for symbol in debts
        ]

    def _worth(self, symbol: str, dollars: int) -> int:
        return dollars * 10**8 * BY_SYMBOL[symbol].unit // self._prices[symbol] + 1

    def governance(self, market: str) -> Action:
        symbol = self.rng.choice(self.symbols)
        asset, token = self.asset(symbol), BY_SYMBOL[symbol]
        paused = self.rng.random() < 0.2
        threshold = token.threshold + self.rng.randrange(-300, 200)
        choices: list[tuple[str, tuple[object, ...]]] = [
            ("configureReserveAsCollateral", (asset, threshold - 500, threshold, token.bonus + self.rng.randrange(-50, 50))),
            ("setReserveFactor", (asset, self.rng.randrange(0, 5000))),
            ("setLiquidationProtocolFee", (asset, self.rng.choice([0, 1, 1000, 2000, 9999]))),
            ("updateFlashloanPremiumTotal" if market == "aave_v302" else "updateFlashloanPremium", (self.rng.randrange(0, 30),)),
        ]
        choices += [("setReservePause(address,bool)", (asset, paused))] * 3
        if market == "aave_v302":
            choices.append(("updateFlashloanPremiumToProtocol", (self.rng.randrange(0, 10_000),)))
        else:
            choices.append(("setReservePause(address,bool,uint40)", (asset, False, 3600)))
        name, arguments = self.rng.choice(choices)
        return self.admin(market, name, *arguments)

    def admin(self, market: str, function: str, *arguments: object) -> Action:
        configurator = f"{market}.configurator"
        return Action(DEPLOYER, self.net.addresses[configurator], self.net.encode(configurator, function, *arguments))

    def pool(self, market: str, sender: Address, function: str, *arguments: object) -> Action:
        pool = f"{market}.pool"
        return Action(sender, self.net.addresses[pool], self.net.encode(pool, function, *arguments))

    def flash_loan(self, market: str, symbol: str, amount: int) -> Action:
        return self.pool(market, LIQUIDATOR, "flashLoanSimple", self.flash_borrower, self.asset(symbol), amount, b"", 0)

    def cover_deficit(self, market: str) -> Action:
        symbol = self.rng.choice(self.symbols)
        return self.pool(market, LIQUIDATOR, "eliminateReserveDeficit", self.asset(symbol), self._amount(symbol))

    def _amount(self, symbol: str) -> int:
        """From one unit of the token's smallest to some ten thousand dollars."""
        if self.rng.random() < 0.1:
            return self.rng.randrange(1, 5)
        dollars = 10 ** self.rng.uniform(-2, 4.5)
        return int(dollars * 10**8 * BY_SYMBOL[symbol].unit // BY_SYMBOL[symbol].price) + 1

    def _supply(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        symbol = self.rng.choice(self.symbols)
        return self.pool(
            market, user, "supply", self.asset(symbol), self._amount(symbol), self.rng.choice([user, user, self.rng.choice(users)]), 0
        )

    def _borrow(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        symbol = self.rng.choice(self.symbols)
        return self.pool(market, user, "borrow", self.asset(symbol), self._amount(symbol), 2, 0, user)

    def _withdraw(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        symbol = self.rng.choice(self.symbols)
        return self.pool(market, user, "withdraw", self.asset(symbol), self.rng.choice([self._amount(symbol), MAX_UINT256]), user)

    def _repay(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        symbol = self.rng.choice(self.symbols)
        if self.rng.random() < 0.3:
            return self.pool(market, user, "repay", self.asset(symbol), MAX_UINT256, 2, user)
        return self.pool(market, user, "repay", self.asset(symbol), self._amount(symbol), 2, self.rng.choice(users))

    def _repay_with_atokens(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        symbol = self.rng.choice(self.symbols)
        return self.pool(market, user, "repayWithATokens", self.asset(symbol), self.rng.choice([self._amount(symbol), MAX_UINT256]), 2)

    def _transfer(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        symbol = self.rng.choice(self.symbols)
        amount = self.rng.choice([0, self._amount(symbol), self._amount(symbol)])
        receiver = self.rng.choice([user, *self.rng.sample(list(users), 3)])
        name = f"{market}.atoken.{symbol}"
        return Action(user, self.net.addresses[name], self.net.encode(name, "transfer", receiver, amount))

    def _toggle(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        asset = self.asset(self.rng.choice(self.symbols))
        return self.pool(market, user, "setUserUseReserveAsCollateral", asset, self.rng.random() < 0.7)

    def _emode(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        return self.pool(market, user, "setUserEMode", self.rng.choice([0, 1, 2]))

    def _flash(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        symbol = self.rng.choice(self.symbols)
        return self.flash_loan(market, symbol, 1000 * self._amount(symbol))

    def _treasury(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        return self.pool(market, user, "mintToTreasury", [self.asset(symbol) for symbol in self.symbols])

    def _liquidate(self, market: str, user: Address, users: Sequence[Address]) -> Action:
        collateral, debt = self.rng.choice(self.symbols), self.rng.choice(self.symbols)
        cover = self.rng.choice([MAX_UINT256, self._amount(debt)])
        return self.pool(
            market, LIQUIDATOR, "liquidationCall", self.asset(collateral), self.asset(debt), user, cover, self.rng.random() < 0.5
        )


@cache
def _flash_bytecode() -> bytes:
    code: str = compile_code(BORROWER_OF_FLASH, output_formats=["bytecode"])["bytecode"]
    return bytes.fromhex(code.removeprefix("0x"))
