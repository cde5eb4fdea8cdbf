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
from keeper.types import ZERO_ADDRESS, Action, Address, Callback, Step
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, OWNER, STRANGER, Chain, Receipt, abi_call, selector
from tests.contracts.lenders import LENT, PULLS, STANDARD_LENT, WAYS, Way, allowed, answers, lender, profit, take

APPROVE = selector("approve(address,uint256)")
TRANSFER = selector("transfer(address,uint256)")
BALANCE = selector("balanceOf(address)")
TRIED = codec.topic("Tried(bool,bytes)")
UNEXPECTED = selector("UnexpectedCallback()")
REFUSED = (False, UNEXPECTED)
SWAPS = WAYS[-1]

EVERY_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
EVERY_PULL = pytest.mark.parametrize("way", PULLS, ids=lambda way: way.name)
callers = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))


def mint(token: Address, to: Address, amount: int) -> Step:
    return Step(token, abi_call("mint(address,uint256)", to, amount))


def run(steps: list[Action], profit_token: Address) -> bytes:
    return encode_execute(NO_GUARD, steps, profit_token, 0, [])


def tried(receipt: Receipt) -> list[tuple[bool, bytes]]:
    """(went through, reply) of every call the puppets tried."""
    assert receipt.ok
    return [decode(["bool", "bytes"], log.data) for log in receipt.logs if log.topics == (TRIED,)]


def went(receipt: Receipt) -> list[bool]:
    return [ok for ok, _ in tried(receipt)]


# --- from outside -------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(caller=callers, own_name=st.booleans(), params=st.binary(max_size=256), amount=st.integers(0, 2**128))
async def test_nobody_calls_back_out_of_the_blue(
    chain: Chain, executor: Address, token: Address, caller: Address, own_name: bool, params: bytes, amount: int
) -> None:
    for data in answers(executor if own_name else caller, token, amount, params):
        assert await chain.error(caller, executor, data) == "UnexpectedCallback"


async def test_even_an_operator_calls_back_in_vain(chain: Chain, executor: Address, token: Address) -> None:
    for sender in (OWNER, OPERATOR, executor):
        for steps in (b"", encode_steps([mint(token, executor, 1)])):
            for data in answers(executor, token, 1, steps):
                assert await chain.error(sender, executor, data) == "UnexpectedCallback"


# --- a lender that plays along ------------------------------------------------------------------------------------


@EVERY_WAY
async def test_the_lender_in_progress_runs_the_steps_once_and_is_paid(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    inner = [mint(token, executor, 5)]
    call = executor, way.answer(executor, token, 3, encode_steps(inner))
    puppet = await chain.puppet()
    await chain.program(puppet, selector(way.called), call, call, *([take(token, executor, puppet, 3)] if way in PULLS else []))
    receipt = await chain.send(OPERATOR, executor, run([way.step(puppet, executor, token, inner)], token))
    assert (went(receipt)[:2], tried(receipt)[1]) == ([True, False], REFUSED)
    assert (profit(receipt.logs, executor), await chain.balance(token, puppet)) == (2, 3)


@EVERY_PULL
@pytest.mark.parametrize("taken", [0, 1, 3])
async def test_no_allowance_outlives_the_loan_whatever_the_lender_takes(
    chain: Chain, executor: Address, token: Address, way: Way, taken: int
) -> None:
    inner = [mint(token, executor, 5)]
    puppet = await chain.puppet()
    answer = executor, way.answer(executor, token, 3, encode_steps(inner))
    await chain.program(puppet, selector(way.called), answer, take(token, executor, puppet, taken))
    receipt = await chain.send(OPERATOR, executor, run([way.step(puppet, executor, token, inner)], token))
    assert went(receipt) == [True, True]
    assert (profit(receipt.logs, executor), await chain.balance(token, puppet)) == (5 - taken, taken)
    assert await allowed(chain, token, executor, puppet) == 0


@EVERY_PULL
async def test_a_lender_cannot_take_more_than_it_asked_for(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    inner = [mint(token, executor, 5)]
    puppet = await chain.puppet()
    answer = executor, way.answer(executor, token, 3, encode_steps(inner))
    await chain.program(puppet, selector(way.called), answer, take(token, executor, puppet, 4))
    receipt = await chain.send(OPERATOR, executor, run([way.step(puppet, executor, token, inner)], token))
    assert went(receipt) == [True, False]
    assert profit(receipt.logs, executor) == 5


@EVERY_WAY
async def test_loans_nest(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    """Each lender is answered with its own steps, and paid in its own order."""
    below, above = await chain.puppet(), await chain.puppet()
    innermost = [mint(token, executor, 9)]
    within = way.step(below, executor, token, innermost)
    await chain.program(
        below, selector(way.called), (executor, way.answer(executor, token, 2, encode_steps(innermost))), take(token, executor, below, 2)
    )
    await chain.program(
        above, selector(way.called), (executor, way.answer(executor, token, 3, encode_steps([within]))), take(token, executor, above, 3)
    )
    receipt = await chain.send(OPERATOR, executor, run([way.step(above, executor, token, [within])], token))
    assert (await chain.balance(token, below), await chain.balance(token, above)) == (2, 3)
    assert profit(receipt.logs, executor) == 4


# --- a lender that does not ---------------------------------------------------------------------------------------


@EVERY_WAY
@pytest.mark.parametrize("inner", [0, 1])
async def test_a_lender_that_never_calls_back_is_an_error(chain: Chain, executor: Address, token: Address, way: Way, inner: int) -> None:
    steps: list[Action] = [way.step(await lender(chain, way), executor, token, [mint(token, executor, 5)] * inner)]
    assert await chain.error(OPERATOR, executor, run(steps, token)) == "NoCallback"


@EVERY_WAY
async def test_a_lender_cannot_change_the_steps_nor_how_it_is_paid(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    inner, other = [mint(token, executor, 5)], encode_steps([mint(token, executor, 6)])
    otherwise = [wrong for wrong in WAYS if wrong.callback is not way.callback]
    forged = [way.answer(executor, token, 0, steps) for steps in (other, b"", encode_steps(inner) + bytes(32), encode_steps(inner * 2))]
    forged += [wrong.answer(executor, token, 0, encode_steps(inner)) for wrong in otherwise]
    right = way.answer(executor, token, 0, encode_steps(inner))
    for call in forged:
        puppet = await lender(chain, way, (executor, call), (executor, right))
        receipt = await chain.send(OPERATOR, executor, run([way.step(puppet, executor, token, inner)], token))
        assert (tried(receipt)[0], went(receipt)[1]) == (REFUSED, True)


@EVERY_WAY
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(forged=st.binary(max_size=400), place=st.integers(0, 191), bits=st.integers(0, 255), amount=st.integers(0, 2**255 - 1))
async def test_whatever_a_lender_hands_back_only_our_own_steps_are_run(
    chain: Chain, executor: Address, token: Address, way: Way, forged: bytes, place: int, bits: int, amount: int
) -> None:
    """Anything at all, and our steps with some bits turned over."""
    inner = [mint(token, executor, 5)]
    right = encode_steps(inner)
    turned = right[:place] + bytes([right[place % len(right)] ^ bits]) + right[place + 1 :]
    calls = [(executor, way.answer(executor, token, amount, steps)) for steps in (forged, turned) if steps != right]
    puppet = await lender(chain, way, *calls, (executor, way.answer(executor, token, 0, right)))
    receipt = await chain.send(OPERATOR, executor, run([way.step(puppet, executor, token, inner)], token))
    assert tried(receipt)[:-1] == [REFUSED] * len(calls)
    assert (went(receipt)[-1], profit(receipt.logs, executor)) == (True, 5)


@EVERY_WAY
async def test_a_lender_that_calls_back_with_other_steps_only_undoes_everything(
    chain: Chain, executor: Address, token: Address, way: Way
) -> None:
    puppet = await lender(chain, way, (executor, way.answer(executor, token, 0, encode_steps([]))))
    steps: list[Action] = [mint(token, executor, 1), way.step(puppet, executor, token, [mint(token, executor, 5)])]
    assert await chain.error(OPERATOR, executor, run(steps, token)) == "NoCallback"


@EVERY_WAY
async def test_an_accomplice_of_the_lender_cannot_call_back(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    inner = [mint(token, executor, 5)]
    call = executor, way.answer(executor, token, 0, encode_steps(inner))
    accomplice = await chain.puppet()
    await chain.program(accomplice, b"help", call)
    puppet = await lender(chain, way, (accomplice, b"help"), call)
    receipt = await chain.send(OPERATOR, executor, run([way.step(puppet, executor, token, inner)], token))
    assert (tried(receipt)[0], went(receipt)) == (REFUSED, [False, True, True])


@pytest.mark.parametrize("signature", [LENT, STANDARD_LENT])
async def test_a_loan_that_somebody_else_took_in_our_name_is_refused_while_ours_is_in_progress(
    chain: Chain, executor: Address, token: Address, signature: str
) -> None:
    """A token's hook takes it from the same lender, with our very steps."""
    way = next(way for way in WAYS if way.answer(executor, token, 0, b"")[:4] == selector(signature))
    inner = [mint(token, executor, 5)]
    forged = {
        LENT: abi_call(LENT, token, 0, 0, STRANGER, encode_steps(inner)),
        STANDARD_LENT: abi_call(STANDARD_LENT, STRANGER, token, 0, 0, encode_steps(inner)),
    }
    puppet = await lender(chain, way, (executor, forged[signature]), (executor, way.answer(executor, token, 0, encode_steps(inner))))
    receipt = await chain.send(OPERATOR, executor, run([way.step(puppet, executor, token, inner)], token))
    assert (tried(receipt)[0], went(receipt)[1]) == (REFUSED, True)


@EVERY_WAY
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amount=st.integers(6, 2**255 - 1))
async def test_a_lender_that_asks_for_more_than_there_is_gets_nothing(
    chain: Chain, executor: Address, token: Address, way: Way, amount: int
) -> None:
    inner = [mint(token, executor, 5)]
    puppet = await chain.puppet()
    answer = executor, way.answer(executor, token, amount, encode_steps(inner))
    await chain.program(puppet, selector(way.called), answer, take(token, executor, puppet, amount))
    data = run([way.step(puppet, executor, token, inner)], token)
    if way.callback is Callback.PUSH:
        assert await chain.error(OPERATOR, executor, data) == "NoCallback"
    else:
        receipt = await chain.send(OPERATOR, executor, data)
        assert (went(receipt), profit(receipt.logs, executor)) == ([True, False], 5)
        assert await allowed(chain, token, executor, puppet) == 0


@EVERY_WAY
async def test_the_floor_bounds_what_a_lender_can_ask_for(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    inner = [mint(token, executor, 5)]
    puppet = await chain.puppet()
    answer = executor, way.answer(executor, token, 4, encode_steps(inner))
    await chain.program(puppet, selector(way.called), answer, take(token, executor, puppet, 4))
    data = encode_execute(NO_GUARD, [way.step(puppet, executor, token, inner)], token, 2, [])
    assert await chain.error(OPERATOR, executor, data) in {"Unprofitable(1)", "Unprofitable(5)"}


@EVERY_WAY
async def test_a_lender_is_paid_in_the_token_of_the_step_and_no_other(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    other = await chain.puppet()
    await chain.program(other, BALANCE, reply=bytes(32))
    await chain.program(other, APPROVE, reply=(1).to_bytes(32))
    await chain.program(other, TRANSFER, reply=(1).to_bytes(32))
    await chain.program(other, selector("allowance(address,address)"), reply=bytes(32))
    answer = executor, way.answer(executor, token, 3, encode_steps([]))
    puppet = await chain.puppet()
    await chain.program(puppet, selector(way.called), answer, take(token, executor, puppet, 3))
    steps: list[Action] = [mint(token, executor, 100), way.step(puppet, executor, other)]
    receipt = await chain.send(OPERATOR, executor, run(steps, token))
    assert (profit(receipt.logs, executor), await chain.balance(token, puppet)) == (100, 0)


@EVERY_PULL
async def test_a_token_that_refuses_the_repayment_approval_reverts_everything(
    chain: Chain, executor: Address, token: Address, way: Way
) -> None:
    refusing = await chain.puppet()
    await chain.program(refusing, APPROVE, reply=bytes(32))
    puppet = await lender(chain, way, (executor, way.answer(executor, refusing, 1, encode_steps([]))))
    assert await chain.error(OPERATOR, executor, run([way.step(puppet, executor, refusing)], token)) == "NoCallback"


async def test_the_zero_address_as_lender_never_calls_back(chain: Chain, executor: Address, token: Address) -> None:
    for way in WAYS:
        assert await chain.error(OPERATOR, executor, run([way.step(ZERO_ADDRESS, executor, token)], token)) == "NoCallback"


# --- optional lenders ---------------------------------------------------------------------------------------------


@EVERY_WAY
async def test_a_lender_that_fails_and_may_is_forgotten(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    inner = [mint(token, executor, 5)]
    call = executor, way.answer(executor, token, 0, encode_steps(inner))
    puppet = await chain.puppet()
    await chain.program(puppet, selector(way.called), call, fails=True)
    await chain.program(puppet, b"late", call)
    steps: list[Action] = [replace(way.step(puppet, executor, token, inner), optional=True), Step(puppet, b"late")]
    receipt = await chain.send(OPERATOR, executor, run(steps, token))
    assert (tried(receipt), profit(receipt.logs, executor)) == ([REFUSED], 0)


@EVERY_WAY
async def test_a_lender_that_may_fail_must_call_back_if_it_does_not(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    step = replace(way.step(await lender(chain, way), executor, token), optional=True)
    assert await chain.error(OPERATOR, executor, run([step], token)) == "NoCallback"


# --- forged callbacks in every phase ------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["before", "within", "after", "between the callback and the end", "payment", "forwarding"])
@EVERY_WAY
async def test_nobody_else_calls_back_in_any_phase(chain: Chain, executor: Address, token: Address, way: Way, phase: str) -> None:
    """A spy tries every callback, with the steps that were awaited and without, and learns nothing but refusals."""
    spy, pool = await chain.puppet(), await chain.puppet()
    forged = [(executor, data) for data in answers(executor, token, 1, encode_steps([mint(token, executor, 5)]))]
    await chain.program(spy, b"spy!", *forged)
    await chain.program(spy, BALANCE, reply=(1).to_bytes(32))
    for name in ("transfer(address,uint256)", "approve(address,uint256)"):
        await chain.program(spy, selector(name), *forged, reply=(1).to_bytes(32))
    await chain.program(spy, selector("allowance(address,address)"), reply=bytes(32))
    look = Step(spy, b"spy!")
    inner: list[Action] = [mint(token, executor, 5), *([look] if phase == "within" else [])]
    answer = executor, way.answer(executor, token, 1, encode_steps(inner))
    await chain.program(pool, selector(way.called), answer, *([(spy, b"spy!")] if phase.startswith("between") else []))
    loan = way.step(pool, executor, spy if phase == "payment" else token, inner)
    steps = {"before": [look, loan], "after": [loan, look]}.get(phase, [loan])
    data = encode_execute(NO_GUARD, steps, token, 0, [spy] if phase == "forwarding" else [])
    refused = [result for result in tried(await chain.send(OPERATOR, executor, data)) if result == REFUSED]
    assert len(refused) == len(WAYS)


# --- pools in a step ----------------------------------------------------------------------------------------------


def swap(pool: Address, executor: Address, pays: Address) -> Step:
    return SWAPS.step(pool, executor, pays)


def owed(amount0: int, amount1: int) -> bytes:
    return abi_call("uniswapV3SwapCallback(int256,int256,bytes)", amount0, amount1, b"")


@pytest.mark.parametrize("amounts", [(30, -1), (-1, 30)])
async def test_a_pool_is_paid_once_whichever_side_it_is_owed_on(
    chain: Chain, executor: Address, token: Address, amounts: tuple[int, int]
) -> None:
    pool = await lender(chain, SWAPS, (executor, owed(*amounts)), (executor, owed(*amounts)))
    receipt = await chain.send(OPERATOR, executor, run([mint(token, executor, 100), swap(pool, executor, token)], token))
    assert tried(receipt) == [(True, b""), REFUSED]
    assert (await chain.balance(token, pool), profit(receipt.logs, executor)) == (30, 70)


async def test_a_pool_cannot_come_back_in_a_later_step(chain: Chain, executor: Address, token: Address) -> None:
    pool = await lender(chain, SWAPS, (executor, owed(1, -1)))
    await chain.program(pool, b"late", (executor, owed(30, -1)))
    steps: list[Action] = [mint(token, executor, 100), swap(pool, executor, token), Step(pool, b"late")]
    assert tried(await chain.send(OPERATOR, executor, run(steps, token))) == [(True, b""), REFUSED]


async def test_a_pool_cannot_come_back_after_the_last_step(chain: Chain, executor: Address, token: Address) -> None:
    pool = await lender(chain, SWAPS, (executor, owed(1, -1)))
    await chain.program(pool, BALANCE, reply=(1).to_bytes(32))
    await chain.program(pool, TRANSFER, (executor, owed(30, -1)), reply=(1).to_bytes(32))
    data = encode_execute(NO_GUARD, [mint(token, executor, 100), swap(pool, executor, token)], pool, 0, [token])
    assert tried(await chain.send(OPERATOR, executor, data)) == [(True, b""), REFUSED]


async def test_a_call_that_is_no_swap_is_never_paid_though_it_looks_like_one(chain: Chain, executor: Address, token: Address) -> None:
    pool = await lender(chain, SWAPS, (executor, owed(30, -1)))
    plain = Step(pool, swap(pool, executor, token).data + bytes(32))
    assert tried(await chain.send(OPERATOR, executor, run([mint(token, executor, 100), plain], token))) == [REFUSED]


async def test_a_pool_owed_nothing_but_negative_amounts_is_refused(chain: Chain, executor: Address, token: Address) -> None:
    pool = await lender(chain, SWAPS, (executor, owed(-1, -1)))
    assert await chain.error(OPERATOR, executor, run([swap(pool, executor, token)], token)) == "NoCallback"


# --- re-entry -----------------------------------------------------------------------------------------------------


def entries(executor: Address, token: Address) -> list[tuple[Address, bytes]]:
    """Every way in that is not a callback, as an insider would try it."""
    theft = run([Step(token, abi_call("transfer(address,uint256)", STRANGER, 100))], token)
    batch = codec.encode_batch([codec.Member(theft, 1_000_000)], 1)
    return [(executor, theft), (executor, batch), (executor, codec.sweep_data(token))]


@pytest.mark.parametrize("phase", ["step", "loan", "swap", "payment", "allowance", "forwarding"])
async def test_an_insider_cannot_re_enter_in_any_phase(chain: Chain, token: Address, phase: str) -> None:
    """An operator and owner that is called along the way, as a lender, as a pool or as a token."""
    insider = await chain.puppet()
    own = await chain.deploy(codec.deploy_data(insider, BENEFICIARY, [OPERATOR, insider]))
    back = entries(own, token)
    settle = [(own, way.answer(own, insider, 0, encode_steps([]))) for way in (WAYS[0], SWAPS)]
    for name in ("step()", "transfer(address,uint256)", "approve(address,uint256)"):
        await chain.program(insider, selector(name), *back, reply=(1).to_bytes(32))
    await chain.program(insider, BALANCE, reply=(1).to_bytes(32))
    await chain.program(insider, selector("allowance(address,address)"), reply=bytes(32))
    await chain.program(insider, selector(WAYS[0].called), *back, settle[0])
    await chain.program(insider, selector(SWAPS.called), *back, settle[1])
    plain = await lender(chain, WAYS[0], settle[0])
    pool = await lender(chain, SWAPS, settle[1])
    steps: dict[str, list[Action]] = {
        "step": [Step(insider, selector("step()"))],
        "loan": [WAYS[0].step(insider, own, token)],
        "swap": [SWAPS.step(insider, own, token)],
        "payment": [SWAPS.step(pool, own, insider)],
        "allowance": [WAYS[0].step(plain, own, insider)],
        "forwarding": [],
    }
    data = encode_execute(NO_GUARD, [mint(token, own, 100), *steps[phase]], token, 100, [insider] if phase == "forwarding" else [])
    receipt = await chain.send(OPERATOR, own, data)
    refused, through = [result for result in tried(receipt) if not result[0]], [result for result in tried(receipt) if result[0]]
    assert len(refused) == 3
    assert len(through) == (phase in {"loan", "swap", "payment", "allowance"})
    assert (await chain.balance(token, STRANGER), await chain.balance(token, BENEFICIARY)) == (0, 100)


async def test_a_step_at_the_executor_itself_gains_no_role(chain: Chain, executor: Address, token: Address) -> None:
    theft, batch, sweep = (data for _, data in entries(executor, token))
    for data in (codec.add_operator_data(STRANGER), batch):
        assert await chain.error(OPERATOR, executor, run([Step(executor, data)], token)) == "Unauthorized"
    for data in (theft, sweep):
        assert await chain.revert(OPERATOR, executor, run([Step(executor, data)], token)) == b""
    for data in answers(executor, token, 1, b""):
        assert await chain.error(OPERATOR, executor, run([Step(executor, data)], token)) == "UnexpectedCallback"


@EVERY_WAY
async def test_the_executor_as_its_own_lender_lends_nothing(chain: Chain, executor: Address, token: Address, way: Way) -> None:
    """Its own functions do not call back."""
    step = way.step(executor, executor, token)
    assert await chain.revert(OPERATOR, executor, run([step], token)) == b""
    answer = Step(executor, way.answer(executor, token, 1, b"")[:-32], callback=way.callback, owed=token)
    receipt = await chain.send(OPERATOR, executor, run([mint(token, executor, 5), answer], token))
    assert (receipt.ok, await chain.balance(token, BENEFICIARY)) == (True, 5)
