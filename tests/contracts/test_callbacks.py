"""Who may call back, when, with what: forged callbacks, hostile lenders, pools and tokens, re-entry.

A puppet plays the hostile part. It reports each call it tries (`Tried`), so a test sees that the attempt was made and refused even
where the transaction as a whole goes through.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import decode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.execution import executor as codec
from keeper.execution.executor import encode_execute, encode_steps
from keeper.types import ZERO_ADDRESS, Address, Funding, FundingKind, Step
from tests.contracts.chain import NO_FUNDING, NO_GUARD, OPERATOR, OWNER, STRANGER, Chain, Receipt, abi_call, selector

LEND = selector("flashLoanSimple(address,address,uint256,bytes,uint16)")
SWAP = selector("swap(address,bool,int256,uint160,bytes)")
APPROVE = selector("approve(address,uint256)")
TRANSFER = selector("transfer(address,uint256)")
TRIED = codec.topic("Tried(bool,bytes)")
UNEXPECTED = selector("UnexpectedCallback()")

callers = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))


def lent(asset: Address, amount: int, premium: int, initiator: Address, params: bytes) -> bytes:
    return abi_call("executeOperation(address,uint256,uint256,address,bytes)", asset, amount, premium, initiator, params)


def owed(amount0: int, amount1: int, data: bytes) -> bytes:
    return abi_call("uniswapV3SwapCallback(int256,int256,bytes)", amount0, amount1, data)


def mint(token: Address, to: Address, amount: int) -> Step:
    return Step(token, abi_call("mint(address,uint256)", to, amount))


def swap(pool: Address, executor: Address, pays: Address) -> Step:
    return Step(pool, abi_call("swap(address,bool,int256,uint160,bytes)", executor, True, 1, 1, word(pays)))


def word(address: Address) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


def funded(kind: FundingKind, source: Address, token: Address) -> Funding:
    return Funding(kind, source, token, 1000, 0)


def run(steps: list[Step], profit_token: Address, funding: Funding = NO_FUNDING) -> bytes:
    return encode_execute(NO_GUARD, funding, True, steps, profit_token, 0, [])


def tried(receipt: Receipt) -> list[tuple[bool, bytes]]:
    """(went through, reply) of every call the puppets tried."""
    assert receipt.ok
    return [decode(["bool", "bytes"], log.data) for log in receipt.logs if log.topics == (TRIED,)]


REFUSED = [(False, UNEXPECTED)]
PAID = (True, b"")
LOCKED = b""


# --- from outside -------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(caller=callers, own_name=st.booleans(), params=st.binary(max_size=256), amount=st.integers(0, 2**128))
async def test_nobody_calls_back_out_of_the_blue(
    chain: Chain, executor: Address, token: Address, caller: Address, own_name: bool, params: bytes, amount: int
) -> None:
    initiator = executor if own_name else caller
    for data in (lent(token, amount, 0, initiator, params), owed(amount, -1, params), owed(-1, amount, word(token))):
        assert await chain.error(caller, executor, data) == "UnexpectedCallback"


async def test_even_an_operator_calls_back_in_vain(chain: Chain, executor: Address, token: Address) -> None:
    steps = encode_steps([mint(token, executor, 1)])
    for sender in (OWNER, OPERATOR, executor):
        for data in (lent(token, 1, 0, executor, steps), owed(1, 0, steps), owed(1, 0, word(token))):
            assert await chain.error(sender, executor, data) == "UnexpectedCallback"


# --- hostile lenders ----------------------------------------------------------------------------------------------


async def lend(chain: Chain, executor: Address, token: Address, kind: FundingKind, *calls: bytes, steps: list[Step]) -> bytes:
    """Calldata of an `execute` whose lender makes these calls of the executor."""
    lender = await chain.puppet()
    await chain.program(lender, LEND if kind is FundingKind.FLASH_LOAN else SWAP, *((executor, call) for call in calls), reply=bytes(64))
    await chain.program(lender, selector("token0()"), reply=word(token))
    await chain.program(lender, selector("token1()"), reply=word(token))
    return run(steps, token, funded(kind, lender, token))


async def test_the_lender_in_progress_runs_the_steps_once(chain: Chain, executor: Address, token: Address) -> None:
    steps = [mint(token, executor, 5)]
    call = lent(token, 0, 3, executor, encode_steps(steps))
    data = await lend(chain, executor, token, FundingKind.FLASH_LOAN, call, call, steps=steps)
    receipt = await chain.send(OPERATOR, executor, data)
    assert [ok for ok, _ in tried(receipt)] == [True, False]
    assert codec.settled(receipt.logs, executor) == (token, 5)


async def test_the_flash_swap_in_progress_runs_the_steps_once_and_is_paid(chain: Chain, executor: Address, token: Address) -> None:
    steps = [mint(token, executor, 5)]
    call = owed(3, -1000, encode_steps(steps))
    data = await lend(chain, executor, token, FundingKind.FLASH_SWAP, call, call, steps=steps)
    receipt = await chain.send(OPERATOR, executor, data)
    assert [ok for ok, _ in tried(receipt)] == [True, False]
    assert codec.settled(receipt.logs, executor) == (token, 2)


@pytest.mark.parametrize("kind", [FundingKind.FLASH_LOAN, FundingKind.FLASH_SWAP])
async def test_a_lender_that_never_calls_back_is_an_error(chain: Chain, executor: Address, token: Address, kind: FundingKind) -> None:
    data = await lend(chain, executor, token, kind, steps=[mint(token, executor, 5)])
    assert await chain.error(OPERATOR, executor, data) == "NotFunded"


async def test_a_lender_that_never_calls_back_is_an_error_without_steps_too(chain: Chain, executor: Address, token: Address) -> None:
    assert await chain.error(OPERATOR, executor, await lend(chain, executor, token, FundingKind.FLASH_LOAN, steps=[])) == "NotFunded"


async def test_a_lender_cannot_change_the_steps_the_initiator_or_the_kind(chain: Chain, executor: Address, token: Address) -> None:
    steps, other = [mint(token, executor, 5)], encode_steps([mint(token, executor, 6)])
    forged = [lent(token, 0, 0, executor, other), lent(token, 0, 0, STRANGER, encode_steps(steps)), owed(0, 0, encode_steps(steps))]
    right = lent(token, 0, 0, executor, encode_steps(steps))
    for call in forged:
        receipt = await chain.send(OPERATOR, executor, await lend(chain, executor, token, FundingKind.FLASH_LOAN, call, right, steps=steps))
        assert tried(receipt) == [(False, UNEXPECTED), (True, (1).to_bytes(32))]


async def test_a_flash_swap_cannot_change_the_steps_or_the_kind(chain: Chain, executor: Address, token: Address) -> None:
    steps, other = [mint(token, executor, 5)], encode_steps([mint(token, executor, 6)])
    forged = [owed(0, 0, other), owed(5, 0, word(token)), lent(token, 0, 0, executor, encode_steps(steps))]
    right = owed(0, 0, encode_steps(steps))
    for call in forged:
        receipt = await chain.send(OPERATOR, executor, await lend(chain, executor, token, FundingKind.FLASH_SWAP, call, right, steps=steps))
        assert tried(receipt) == [*REFUSED, PAID]


@pytest.mark.parametrize("kind", [FundingKind.FLASH_LOAN, FundingKind.FLASH_SWAP])
async def test_an_accomplice_of_the_lender_cannot_call_back(chain: Chain, executor: Address, token: Address, kind: FundingKind) -> None:
    steps = [mint(token, executor, 5)]
    accomplice, lender = await chain.puppet(), await chain.puppet()
    flash_loan = kind is FundingKind.FLASH_LOAN
    call = lent(token, 0, 0, executor, encode_steps(steps)) if flash_loan else owed(0, 0, encode_steps(steps))
    await chain.program(accomplice, b"help", (executor, call))
    await chain.program(lender, selector("token1()"), reply=word(token))
    await chain.program(lender, LEND if flash_loan else SWAP, (accomplice, b"help"), (executor, call), reply=bytes(64))
    receipt = await chain.send(OPERATOR, executor, run(steps, token, funded(kind, lender, token)))
    assert [ok for ok, _ in tried(receipt)] == [False, True, True]


async def test_a_token_that_refuses_the_repayment_approval_reverts_everything(chain: Chain, executor: Address, token: Address) -> None:
    refusing, lender = await chain.puppet(), await chain.puppet()
    await chain.program(refusing, APPROVE, reply=bytes(32))
    await chain.program(lender, LEND, (executor, lent(refusing, 1, 0, executor, encode_steps([]))))
    assert await chain.error(OPERATOR, executor, run([], token, funded(FundingKind.FLASH_LOAN, lender, refusing))) == "NotFunded"


# --- hostile pools in a step --------------------------------------------------------------------------------------


async def test_a_pool_is_paid_once_in_the_token_the_step_names(chain: Chain, executor: Address, token: Address) -> None:
    pool = await chain.puppet()
    await chain.program(pool, SWAP, (executor, owed(30, -1, word(token))), (executor, owed(30, -1, word(token))))
    receipt = await chain.send(OPERATOR, executor, run([mint(token, executor, 100), swap(pool, executor, token)], token))
    assert tried(receipt) == [PAID, *REFUSED]
    assert (await chain.balance(token, pool), codec.settled(receipt.logs, executor)) == (30, (token, 70))


async def test_a_pool_is_paid_whichever_side_it_is_owed_on(chain: Chain, executor: Address, token: Address) -> None:
    pool = await chain.puppet()
    await chain.program(pool, SWAP, (executor, owed(-1, 30, word(token))))
    assert tried(await chain.send(OPERATOR, executor, run([mint(token, executor, 100), swap(pool, executor, token)], token))) == [PAID]
    assert await chain.balance(token, pool) == 30


async def test_a_pool_cannot_ask_for_another_token(chain: Chain, executor: Address, token: Address) -> None:
    pool, other = await chain.puppet(), await chain.puppet()
    await chain.program(pool, SWAP, (executor, owed(30, -1, word(token))))
    receipt = await chain.send(OPERATOR, executor, run([mint(token, executor, 100), swap(pool, executor, other)], token))
    assert tried(receipt) == REFUSED
    assert await chain.balance(token, pool) == 0


async def test_a_pool_cannot_come_back_in_a_later_step(chain: Chain, executor: Address, token: Address) -> None:
    pool = await chain.puppet()
    await chain.program(pool, b"late", (executor, owed(30, -1, word(token))))
    steps = [mint(token, executor, 100), swap(pool, executor, token), Step(pool, b"late")]
    assert tried(await chain.send(OPERATOR, executor, run(steps, token))) == REFUSED


async def test_a_pool_cannot_come_back_after_the_last_step(chain: Chain, executor: Address, token: Address) -> None:
    pool = await chain.puppet()
    await chain.program(pool, selector("balanceOf(address)"), reply=(1).to_bytes(32))
    await chain.program(pool, TRANSFER, (executor, owed(30, -1, word(token))), reply=(1).to_bytes(32))
    steps = [mint(token, executor, 100), swap(pool, executor, token)]
    data = encode_execute(NO_GUARD, NO_FUNDING, False, steps, pool, 0, [token])
    assert tried(await chain.send(OPERATOR, executor, data)) == REFUSED


async def test_an_accomplice_of_a_pool_is_not_paid(chain: Chain, executor: Address, token: Address) -> None:
    pool, accomplice = await chain.puppet(), await chain.puppet()
    await chain.program(accomplice, b"help", (executor, owed(30, -1, word(token))))
    await chain.program(pool, SWAP, (accomplice, b"help"))
    receipt = await chain.send(OPERATOR, executor, run([mint(token, executor, 100), swap(pool, executor, token)], token))
    assert tried(receipt) == [(False, UNEXPECTED), PAID]  # the inner call failed; the outer, to the accomplice, did not


async def test_a_target_that_is_not_being_swapped_with_is_never_paid(chain: Chain, executor: Address, token: Address) -> None:
    target = await chain.puppet()
    await chain.program(target, APPROVE, (executor, owed(30, -1, word(token))))
    approve = Step(target, APPROVE + word(token) * 7)
    receipt = await chain.send(OPERATOR, executor, run([mint(token, executor, 100), approve], token))
    assert tried(receipt) == REFUSED


async def test_a_swap_with_other_callback_data_than_one_word_is_never_paid(chain: Chain, executor: Address, token: Address) -> None:
    pool = await chain.puppet()
    await chain.program(pool, SWAP, (executor, owed(30, -1, word(token))), (executor, owed(30, -1, b"")))
    step = swap(pool, executor, token)
    for data in (step.data + bytes(32), step.data[:-32]):
        receipt = await chain.send(OPERATOR, executor, run([mint(token, executor, 100), replace(step, data=data)], token))
        assert tried(receipt) == REFUSED * 2


async def test_a_pool_owed_nothing_but_a_negative_amount_is_refused(chain: Chain, executor: Address, token: Address) -> None:
    pool = await chain.puppet()
    await chain.program(pool, SWAP, (executor, owed(-1, -1, word(token))))
    assert tried(await chain.send(OPERATOR, executor, run([swap(pool, executor, token)], token))) == [(False, b"")]


# --- re-entry -----------------------------------------------------------------------------------------------------


async def test_a_step_cannot_re_enter_even_as_an_operator_and_owner(chain: Chain, executor: Address, token: Address) -> None:
    insider = await chain.puppet()
    own = await chain.deploy(codec.deploy_data(insider, STRANGER, [OPERATOR, insider]))
    calls = [(own, run([], token)), (own, codec.sweep_data(token)), (own, owed(1, 0, word(token)))]
    await chain.program(insider, b"back", *calls)
    receipt = await chain.send(OPERATOR, own, run([mint(token, own, 100), Step(insider, b"back")], token))
    assert tried(receipt) == [(False, b""), (False, b""), (False, UNEXPECTED)]
    assert codec.settled(receipt.logs, own) == (token, 100)


async def test_a_token_cannot_re_enter_while_it_is_forwarded(chain: Chain, executor: Address, token: Address) -> None:
    hostile = await chain.puppet()
    assert (await chain.send(OWNER, executor, codec.add_operator_data(hostile))).ok
    theft = run([Step(token, abi_call("transfer(address,uint256)", STRANGER, 100))], token)
    await chain.program(hostile, selector("balanceOf(address)"), reply=(1).to_bytes(32))
    await chain.program(hostile, TRANSFER, (executor, theft), (executor, owed(100, 0, word(token))), reply=(1).to_bytes(32))
    data = encode_execute(NO_GUARD, NO_FUNDING, False, [mint(token, executor, 100)], hostile, 0, [token])
    receipt = await chain.send(OPERATOR, executor, data)
    assert tried(receipt) == [(False, b""), (False, UNEXPECTED)]
    assert await chain.balance(token, STRANGER) == 0


async def test_a_step_at_the_executor_itself_gains_no_role(chain: Chain, executor: Address, token: Address) -> None:
    assert await chain.error(OPERATOR, executor, run([Step(executor, codec.add_operator_data(STRANGER))], token)) == "Unauthorized"
    assert await chain.revert(OPERATOR, executor, run([Step(executor, codec.sweep_data(token))], token)) == LOCKED
    assert await chain.error(OPERATOR, executor, run([Step(executor, owed(1, 0, word(token)))], token)) == "UnexpectedCallback"


async def test_the_zero_address_as_source_is_not_funded(chain: Chain, executor: Address, token: Address) -> None:
    for kind in (FundingKind.FLASH_LOAN, FundingKind.FLASH_SWAP):
        assert await chain.revert(OPERATOR, executor, run([], token, funded(kind, ZERO_ADDRESS, token))) == b""
