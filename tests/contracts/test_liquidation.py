"""Real liquidations on both Aave versions, paid for in every way the executor knows, and what outsiders can do with the real lender."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from keeper.devnet import Devnet
from keeper.devnet.names import V36, V302
from keeper.execution import executor as codec
from keeper.types import Address, Callback, FundingKind, Guard, Step
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, STRANGER, Chain, Receipt, abi_call

POOL = "pool.WETH-USDC-500"
WAD = 10**18
CRASH = {"WETH": 2250 * 10**8, "wstETH": 2700 * 10**8}
KINDS = [FundingKind.FLASH_LOAN, FundingKind.FLASH_SWAP, FundingKind.NONE]


def calldata_gas(data: bytes) -> int:
    return sum(4 if byte == 0 else 16 for byte in data)


@dataclass(frozen=True, slots=True)
class Case:
    """One borrower of USDC against WETH and the executor that goes for it."""

    net: Devnet
    chain: Chain
    executor: Address
    market: str
    user: Address
    cover: int
    guarded_by: Guard | None = None

    @property
    def weth(self) -> Address:
        return self.net.addresses["token.WETH"]

    @property
    def usdc(self) -> Address:
        return self.net.addresses["token.USDC"]

    @property
    def lender(self) -> Address:
        return self.net.addresses[f"{self.market}.pool"]

    @property
    def guard(self) -> Guard:
        if self.guarded_by:
            return self.guarded_by
        return Guard(self.lender, abi_call("getUserAccountData(address)", self.user), 5, WAD)

    def liquidation(self) -> list[Step]:
        call = abi_call("liquidationCall(address,address,address,uint256,bool)", self.weth, self.usdc, self.user, self.cover, False)
        return [Step(self.usdc, abi_call("approve(address,uint256)", self.lender, self.cover)), Step(self.lender, call)]

    def sale(self) -> Step:
        """Sells all the WETH there is for USDC."""
        return Step(self.net.addresses[POOL], self._swap(0), self.weth, 4 + 2 * 32, callback=Callback.PUSH, owed=self.weth)

    def _swap(self, amount: int) -> bytes:
        """Up to the bytes it hands to the callback."""
        zero_for_one = self.weth < self.usdc
        limit = 4295128740 if zero_for_one else 1461446703485210103287273052203988822378723970341
        data = abi_call("swap(address,bool,int256,uint160,bytes)", self.executor, zero_for_one, amount, limit, b"")
        return data[:-32]

    def _loan(self) -> bytes:
        data = abi_call("flashLoanSimple(address,address,uint256,bytes,uint16)", self.executor, self.usdc, self.cover, b"", 0)
        return data[:-32]

    def funded(self, kind: FundingKind) -> Step:
        """Whoever pays first carries the rest."""
        deal = tuple(self.liquidation())
        if kind is FundingKind.FLASH_SWAP:
            return Step(self.net.addresses[POOL], self._swap(-self.cover), callback=Callback.PUSH, owed=self.weth, inner=deal)
        return Step(self.lender, self._loan(), callback=Callback.PULL, owed=self.usdc, inner=(*deal, self.sale()))

    def calldata(self, kind: FundingKind, min_profit: int = 1, guarded: bool = True) -> bytes:
        guard = self.guard if guarded else NO_GUARD
        steps = self.liquidation() if kind is FundingKind.NONE else [self.funded(kind)]
        profit_token = self.usdc if kind is FundingKind.FLASH_LOAN else self.weth
        tokens = [self.usdc if profit_token == self.weth else self.weth]
        return codec.encode_execute(guard, steps, profit_token, min_profit, tokens)

    async def send(self, kind: FundingKind, min_profit: int = 1, guarded: bool = True) -> Receipt:
        return await self.chain.send(OPERATOR, self.executor, self.calldata(kind, min_profit, guarded))

    async def debt(self) -> int:
        return await self.chain.balance(self.net.addresses[f"{self.market}.vtoken.USDC"], self.user)

    async def holdings(self, account: Address) -> dict[Address, int]:
        return {token: await self.chain.balance(token, account) for token in (self.weth, self.usdc)}


@pytest.fixture(params=[V36, V302])
async def healthy(request: pytest.FixtureRequest, net: Devnet, chain: Chain, executor: Address) -> Case:
    market: str = request.param
    user = next(b.address for b in net.population if b.market == market and b.archetype == "edge")
    case = Case(net, chain, executor, market, user, 0)
    return replace(case, cover=await case.debt() // 2)


@pytest.fixture
async def liquidatable(healthy: Case) -> Case:
    await healthy.net.set_prices(CRASH)
    await healthy.net.mine()
    assert (await healthy.net.read(f"{healthy.market}.pool", "getUserAccountData", healthy.user))[5] < WAD
    return healthy


@pytest.mark.parametrize("kind", KINDS)
async def test_a_liquidation_pays_the_beneficiary_exactly_its_profit(liquidatable: Case, kind: FundingKind) -> None:
    case = liquidatable
    principal = case.cover if kind is FundingKind.NONE else 0
    await case.net.deal("USDC", case.executor, principal)
    debt = await case.debt()
    receipt = await case.send(kind)
    profit_token = case.usdc if kind is FundingKind.FLASH_LOAN else case.weth
    settled = codec.settled(receipt.logs, case.executor)
    gains = codec.gains(receipt.logs, case.executor, BENEFICIARY)
    assert settled == (profit_token, gains[profit_token])
    assert settled[1] > 0
    assert {token: amount for token, amount in (await case.holdings(BENEFICIARY)).items() if amount} == gains
    assert debt - await case.debt() == pytest.approx(case.cover, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_rests_in_the_executor_after_a_liquidation(liquidatable: Case, kind: FundingKind) -> None:
    case = liquidatable
    await case.net.deal("USDC", case.executor, case.cover if kind is FundingKind.NONE else 0)
    assert (await case.send(kind)).ok
    assert await case.holdings(case.executor) == {case.weth: 0, case.usdc: 0}
    for spender in (case.lender, case.net.addresses[POOL]):
        allowed = await case.chain.call(STRANGER, case.usdc, abi_call("allowance(address,address)", case.executor, spender))
        assert int.from_bytes(allowed) == 0


@pytest.mark.parametrize("kind", [FundingKind.FLASH_LOAN, FundingKind.FLASH_SWAP])
async def test_a_liquidation_that_earns_one_unit_less_than_promised_reverts(liquidatable: Case, kind: FundingKind) -> None:
    snapshot = await liquidatable.net.snapshot()
    receipt = await liquidatable.send(kind)
    await liquidatable.net.revert(snapshot)
    _, profit = codec.settled(receipt.logs, liquidatable.executor) or ("", 0)
    assert (await liquidatable.chain.error(OPERATOR, liquidatable.executor, liquidatable.calldata(kind, profit + 1))) == (
        f"Unprofitable({profit})"
    )
    assert (await liquidatable.send(kind, profit)).ok


@pytest.mark.parametrize("kind", KINDS)
async def test_a_healthy_account_costs_little_more_than_asking_for_its_health(healthy: Case, kind: FundingKind) -> None:
    data = healthy.calldata(kind)
    assert await healthy.chain.error(OPERATOR, healthy.executor, data) == "Healthy"
    question = await healthy.chain.send(OPERATOR, healthy.guard.target, healthy.guard.data)
    left = await healthy.send(kind)
    assert not left.ok
    assert left.gas_used - calldata_gas(data) - (question.gas_used - calldata_gas(healthy.guard.data)) < 10_000


@pytest.mark.parametrize("kind", [FundingKind.FLASH_LOAN, FundingKind.FLASH_SWAP])
async def test_the_guard_saves_nearly_half_of_what_a_late_revert_burns(healthy: Case, kind: FundingKind) -> None:
    early, late = await healthy.send(kind), await healthy.send(kind, guarded=False)
    assert (early.ok, late.ok) == (False, False)
    assert early.gas_used < late.gas_used * 55 // 100


async def test_leaving_on_a_one_word_guard_costs_less_than_70_000_gas(healthy: Case) -> None:
    """The executor's own part: the health of an Aave account alone costs more than that."""
    debt_token = healthy.net.addresses[f"{healthy.market}.vtoken.USDC"]
    guard = Guard(debt_token, abi_call("scaledBalanceOf(address)", healthy.user), 0, 1)
    left = await replace(healthy, guarded_by=guard).send(FundingKind.FLASH_LOAN)
    assert not left.ok
    assert left.gas_used < 70_000


async def test_without_a_guard_the_protocol_s_own_refusal_comes_out(healthy: Case) -> None:
    data = await healthy.chain.revert(OPERATOR, healthy.executor, healthy.calldata(FundingKind.FLASH_LOAN, guarded=False))
    if healthy.market == V302:
        assert codec.decode_error(data) == "45"
    else:
        assert data == bytes.fromhex("930bb771")


async def test_a_loan_taken_by_a_stranger_in_our_name_is_refused(liquidatable: Case) -> None:
    steps = codec.encode_steps(liquidatable.liquidation())
    data = liquidatable.net.encode(
        f"{liquidatable.market}.pool", "flashLoanSimple", liquidatable.executor, liquidatable.usdc, 10**6, steps, 0
    )
    assert await liquidatable.chain.error(STRANGER, liquidatable.lender, data) == "UnexpectedCallback"
