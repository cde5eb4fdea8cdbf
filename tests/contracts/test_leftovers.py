"""Nothing rests: whatever is lent, asked for and taken, all that was touched goes to the beneficiary, and nobody keeps an allowance."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.execution import executor as codec
from keeper.execution.executor import encode_execute, encode_steps
from keeper.types import Action, Address, Callback, Step
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, Chain, abi_call, compiled, selector
from tests.contracts.lenders import PULLS, WAYS, Way, allowed, lender, profit, take

ANY_SPENDER = Address("0x" + "ab" * 20)
BALANCE = selector("balanceOf(address)")


class Episode(NamedTuple):
    """One loan: what the inner steps bring in, what the lender asks for, and what it takes of that."""

    way: Way
    brought: int
    asked: int
    taken: int
    nested: bool


def mint(token: Address, to: Address, amount: int) -> Step:
    return Step(token, abi_call("mint(address,uint256)", to, amount))


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    way, brought = draw(st.sampled_from(WAYS)), draw(st.integers(0, 1000))
    asked = draw(st.integers(0, brought))
    taken = asked if way.callback is Callback.PUSH else draw(st.integers(0, asked))
    return Episode(way, brought, asked, taken, draw(st.booleans()))


async def played(chain: Chain, executor: Address, token: Address, told: list[Episode]) -> tuple[list[Action], list[Address]]:
    """Steps that live through the episodes, the nested ones within the one before them; and the lenders."""
    steps: list[Action] = []
    lenders: list[Address] = []
    for episode in reversed(told):
        inner: list[Action] = [mint(token, executor, episode.brought), *(steps if episode.nested else [])]
        puppet, way = await chain.puppet(), episode.way
        calls = [(executor, way.answer(executor, token, episode.asked, encode_steps(inner)))]
        calls += [take(token, executor, puppet, episode.taken)] if way in PULLS else []
        await chain.program(puppet, selector(way.called), *calls, reply=bytes(64))
        loan = way.step(puppet, executor, token, inner)
        steps = [loan] if episode.nested else [loan, *steps]
        lenders.append(puppet)
    return steps, lenders


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(episodes(), max_size=4), stray=st.integers(0, 1000), inside=st.integers(0, 1000))
async def test_all_that_lenders_leave_goes_to_the_beneficiary(
    chain: Chain, executor: Address, token: Address, told: list[Episode], stray: int, inside: int
) -> None:
    other = await chain.deploy(compiled("silent"))
    steps, lenders = await played(chain, executor, token, told)
    await chain.send(OPERATOR, token, mint(token, executor, inside).data)
    before = await chain.balance(token, BENEFICIARY)
    receipt = await chain.send(OPERATOR, executor, encode_execute(NO_GUARD, [*steps, mint(other, executor, stray)], token, 0, [other]))
    earned = sum(episode.brought - episode.taken for episode in told)
    assert profit(receipt.logs, executor) == earned
    assert await chain.balance(token, BENEFICIARY) - before == earned + inside
    assert [await chain.balance(each, executor) for each in (token, other)] == [0, 0]
    assert await chain.balance(other, BENEFICIARY) == stray
    assert [await allowed(chain, token, executor, puppet) for puppet in lenders] == [0] * len(lenders)


async def test_nested_loans_are_each_paid_in_their_own_token(chain: Chain, executor: Address, token: Address) -> None:
    other = await chain.deploy(compiled("silent"))
    for way in WAYS:
        below, above = await chain.puppet(), await chain.puppet()
        within = way.step(below, executor, other, [mint(other, executor, 9)])
        inner: list[Action] = [within, mint(token, executor, 9)]
        answer = way.answer(executor, other, 2, encode_steps(within.inner))
        await chain.program(below, selector(way.called), (executor, answer), take(other, executor, below, 2))
        answer = way.answer(executor, token, 3, encode_steps(inner))
        await chain.program(above, selector(way.called), (executor, answer), take(token, executor, above, 3))
        data = encode_execute(NO_GUARD, [way.step(above, executor, token, inner)], token, 6, [other])
        assert (await chain.send(OPERATOR, executor, data)).ok
        assert [await chain.balance(other, below), await chain.balance(token, above)] == [2, 3]


# --- odd tokens ---------------------------------------------------------------------------------------------------


def word(number: int) -> bytes:
    return number.to_bytes(32)


@pytest.mark.parametrize("reply", [b"", word(1), word(1) + b"more"])
async def test_a_transfer_that_says_nothing_or_true_counts(chain: Chain, executor: Address, token: Address, reply: bytes) -> None:
    assert (await chain.send(OPERATOR, executor, await forwarding(chain, token, reply))).ok


@pytest.mark.parametrize(("reply", "error"), [(word(0), "TransferFailed"), (word(2), None), (word(1)[1:], None)])
async def test_a_transfer_that_says_anything_else_undoes_everything(
    chain: Chain, executor: Address, token: Address, reply: bytes, error: str | None
) -> None:
    assert await chain.error(OPERATOR, executor, await forwarding(chain, token, reply)) == error


async def forwarding(chain: Chain, token: Address, reply: bytes) -> bytes:
    odd = await chain.puppet()
    await chain.program(odd, BALANCE, reply=word(1))
    await chain.program(odd, selector("transfer(address,uint256)"), reply=reply)
    return encode_execute(NO_GUARD, [], token, 0, [odd])


@pytest.mark.parametrize("refused", ["approve(address,uint256)", "allowance(address,address)"])
@pytest.mark.parametrize("way", PULLS, ids=lambda way: way.name)
async def test_a_token_that_will_not_take_an_allowance_back_undoes_everything(
    chain: Chain, executor: Address, token: Address, way: Way, refused: str
) -> None:
    """It says that some is left, and refuses to set it to zero; or does not say."""
    odd = await chain.puppet()
    puppet = await lender(chain, way, (executor, way.answer(executor, odd, 1, b"")), (odd, b"turn"))
    left = {"approve(address,uint256)": word(5), "allowance(address,address)": b""}[refused]
    await chain.program(odd, selector("approve(address,uint256)"), reply=word(1))
    await chain.program(odd, selector("allowance(address,address)"), reply=left)
    act = abi_call("program(bytes4,(address,bytes)[],bytes,bool)", selector("approve(address,uint256)"), [], word(0), False)
    await chain.program(odd, b"turn", (odd, act))
    data = encode_execute(NO_GUARD, [mint(token, executor, 5), way.step(puppet, executor, odd)], token, 0, [])
    error = {"approve(address,uint256)": "approve failed", "allowance(address,address)": None}[refused]
    assert await chain.error(OPERATOR, executor, data) == error


async def test_tokens_that_are_not_named_wait_for_the_owner(chain: Chain, executor: Address, token: Address) -> None:
    other = await chain.deploy(compiled("silent"))
    assert (await chain.send(OPERATOR, executor, encode_execute(NO_GUARD, [mint(other, executor, 5)], token, 0, []))).ok
    assert await chain.balance(other, executor) == 5
    thief = Step(other, abi_call("approve(address,uint256)", ANY_SPENDER, 5))
    assert (await chain.send(OPERATOR, executor, encode_execute(NO_GUARD, [thief], token, 0, [other]))).ok
    assert (await chain.balance(other, executor), await chain.balance(other, BENEFICIARY)) == (0, 5)


async def test_a_fee_for_a_call_needs_no_token_at_all(chain: Chain, executor: Address, token: Address) -> None:
    """No loan, nothing moved, nothing promised: any token may be named for the profit."""
    called = await chain.puppet()
    await chain.program(called, selector("start()"))
    receipt = await chain.send(OPERATOR, executor, encode_execute(NO_GUARD, [Step(called, selector("start()"))], token, 0, []))
    assert codec.settled(receipt.logs, executor) == (token, 0)
