"""Spot hedges of the account on a real pool, paid for in its callback."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from keeper.devnet import Devnet
from keeper.execution import account as codec
from keeper.execution.executor import encode_execute
from keeper.types import Address, Callback, Guard, Permission, Step
from tests.contracts.chain import NO_GUARD, OPERATOR, STRANGER, Chain, abi_call, selector
from tests.contracts.custody import allow, limit, number

POOL = "pool.WETH-USDC-500"
SWAP = "swap(address,bool,int256,uint160,bytes)"
LEAST, MOST = 4295128740, 1461446703485210103287273052203988822378723970341
USD, MONEY = 10**6, 100_000


@dataclass(frozen=True, slots=True)
class Desk:
    """An account with USDC that may buy and sell WETH."""

    chain: Chain
    executor: Address
    account: Address

    def at(self, name: str) -> Address:
        return self.chain.net.addresses[name]

    @property
    def usdc(self) -> Address:
        return self.at("token.USDC")

    @property
    def weth(self) -> Address:
        return self.at("token.WETH")

    def permissions(self) -> list[Permission]:
        pinned = [((0, number(self.account)), (1, int(token < other))) for token, other in self.sides]
        return [Permission(self.at(POOL), selector(SWAP), pins, token) for pins, (token, _) in zip(pinned, self.sides, strict=True)]

    @property
    def sides(self) -> list[tuple[Address, Address]]:
        return [(self.usdc, self.weth), (self.weth, self.usdc)]

    def sells(self, token: Address, amount: int, recipient: Address | None = None) -> Step:
        down = token < (self.weth if token == self.usdc else self.usdc)
        arguments = recipient or self.account, down, amount, LEAST if down else MOST, b""
        return Step(self.at(POOL), abi_call(SWAP, *arguments)[:-32], callback=Callback.PUSH, owed=token)

    def call(self, *steps: Step) -> bytes:
        return encode_execute(NO_GUARD, [codec.wrapped(self.account, steps)], self.usdc, 0, [])

    async def holdings(self) -> list[int]:
        return [await self.chain.balance(token, self.account) for token in (self.usdc, self.weth)]


@pytest.fixture
async def desk(net: Devnet, chain: Chain, executor: Address, account: Address) -> Desk:
    made = Desk(chain, executor, account)
    await net.deal("USDC", account, MONEY * USD)
    await allow(chain, account, *made.permissions())
    return made


async def test_a_hedge_is_bought_and_all_of_it_sold_again(desk: Desk) -> None:
    assert (await desk.chain.send(OPERATOR, desk.executor, desk.call(desk.sells(desk.usdc, 50_000 * USD)))).ok
    usdc, weth = await desk.holdings()
    assert (usdc, weth > 0) == (50_000 * USD, True)
    back = desk.sells(desk.weth, 0)
    patched = Step(back.target, back.data, desk.weth, 4 + 2 * 32, callback=Callback.PUSH, owed=desk.weth)
    assert (await desk.chain.send(OPERATOR, desk.executor, desk.call(patched))).ok
    usdc, weth = await desk.holdings()
    assert (99_900 * USD < usdc < MONEY * USD, weth) == (True, 0)


async def test_an_exact_amount_is_bought(desk: Desk) -> None:
    assert (await desk.chain.send(OPERATOR, desk.executor, desk.call(desk.sells(desk.usdc, -(10**18))))).ok
    assert (await desk.holdings())[1] == 10**18


async def test_what_is_bought_goes_nowhere_else(desk: Desk) -> None:
    stolen = desk.call(desk.sells(desk.usdc, USD, STRANGER))
    assert await desk.chain.error(OPERATOR, desk.executor, stolen) == "Forbidden"


async def test_the_token_of_the_other_side_does_not_pay(desk: Desk) -> None:
    """It is a form of the permit, but not with this side pinned."""
    step = desk.sells(desk.usdc, USD)
    wrong = Step(step.target, step.data, callback=Callback.PUSH, owed=desk.weth)
    assert await desk.chain.error(OPERATOR, desk.executor, desk.call(wrong)) == "Forbidden"


async def test_the_owner_bounds_what_may_be_sold(desk: Desk) -> None:
    balance = abi_call("balanceOf(address)", desk.account)
    await limit(desk.chain, desk.account, Guard(desk.usdc, balance, 0, below=2**255 - 1, least=60_000 * USD))
    assert await desk.chain.error(OPERATOR, desk.executor, desk.call(desk.sells(desk.usdc, 40_001 * USD))) == "LimitPassed(0)"
    assert (await desk.chain.send(OPERATOR, desk.executor, desk.call(desk.sells(desk.usdc, 40_000 * USD)))).ok
