"""Swaps of the account: who may ask it for money, when, and for which token; re-entry."""

from __future__ import annotations

import pytest
from eth_abi.abi import decode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.execution import account as codec
from keeper.execution.executor import add_operator_data, topic
from keeper.types import ZERO_ADDRESS, Address, Callback, Permission, Step
from tests.contracts.chain import OPERATOR, OWNER, STRANGER, Chain, Receipt, abi_call, compiled, selector
from tests.contracts.custody import allow, approval, fund, number, operate

SWAP = "swap(address,bool,int256,uint160,bytes)"
TRIED = topic("Tried(bool,bytes)")
REFUSED = (False, selector("UnexpectedCallback()"))


def asks(amount0: int, amount1: int = -1, data: bytes = b"") -> bytes:
    return abi_call("uniswapV3SwapCallback(int256,int256,bytes)", amount0, amount1, data)


def sells(account: Address, pool: Address, owed: Address) -> Permission:
    """Token 0, and what it brings comes back."""
    return Permission(pool, selector(SWAP), ((0, number(account)), (1, 1)), owed)


def swap(pool: Address, recipient: Address, owed: Address) -> Step:
    return Step(pool, abi_call(SWAP, recipient, True, 1000, 1, b"")[:-32], callback=Callback.PUSH, owed=owed)


async def pool(chain: Chain, *calls: tuple[Address, bytes]) -> Address:
    """A puppet that makes these calls when it is asked to swap."""
    puppet = await chain.puppet()
    await chain.program(puppet, selector(SWAP), *calls, reply=bytes(64))
    return puppet


def tried(receipt: Receipt) -> list[tuple[bool, bytes]]:
    assert receipt.ok
    return [decode(["bool", "bytes"], log.data) for log in receipt.logs if log.topics == (TRIED,)]


async def test_a_pool_is_paid_once_in_the_token_of_the_permit(chain: Chain, account: Address, token: Address) -> None:
    await fund(chain, token, account, 77)
    puppet = await pool(chain, (account, asks(7)), (account, asks(7)))
    await allow(chain, account, sells(account, puppet, token))
    receipt = await chain.send(OPERATOR, account, operate(swap(puppet, account, token)))
    assert tried(receipt) == [(True, b""), REFUSED]
    assert [await chain.balance(token, who) for who in (account, puppet)] == [70, 7]


@pytest.mark.parametrize("amounts", [(7, -9), (-9, 7)])
async def test_what_is_owed_is_the_positive_amount(chain: Chain, account: Address, token: Address, amounts: tuple[int, int]) -> None:
    await fund(chain, token, account, 77)
    puppet = await pool(chain, (account, asks(*amounts)))
    await allow(chain, account, sells(account, puppet, token))
    assert tried(await chain.send(OPERATOR, account, operate(swap(puppet, account, token)))) == [(True, b"")]
    assert await chain.balance(token, puppet) == 7


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    caller=st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex())),
    amount=st.integers(0, 2**255 - 1),
    data=st.binary(max_size=32),
)
async def test_nobody_calls_back_out_of_the_blue(
    chain: Chain, executor: Address, account: Address, caller: Address, amount: int, data: bytes
) -> None:
    for sender in (caller, OWNER, OPERATOR, executor, account):
        if sender != ZERO_ADDRESS:
            assert await chain.error(sender, account, asks(amount, -1, data)) == "UnexpectedCallback"


async def test_an_accomplice_of_the_pool_is_not_paid(chain: Chain, account: Address, token: Address) -> None:
    await fund(chain, token, account, 77)
    accomplice = await chain.puppet()
    await chain.program(accomplice, b"help", (account, asks(77)))
    puppet = await pool(chain, (accomplice, b"help"), (account, asks(1)))
    await allow(chain, account, sells(account, puppet, token))
    receipt = await chain.send(OPERATOR, account, operate(swap(puppet, account, token)))
    assert tried(receipt)[0] == REFUSED
    assert [await chain.balance(token, who) for who in (account, accomplice, puppet)] == [76, 0, 1]


async def test_a_thief_chooses_neither_the_recipient_nor_the_side_nor_the_token(chain: Chain, account: Address, token: Address) -> None:
    """Nor a pool of his own, nor that nothing is owed."""
    other = await chain.deploy(compiled("silent"))
    puppet = await pool(chain, (account, asks(1)))
    forged = await pool(chain, (account, asks(1)))
    await allow(chain, account, sells(account, puppet, token))
    buys = Step(puppet, abi_call(SWAP, account, False, 1000, 1, b"")[:-32], callback=Callback.PUSH, owed=token)
    unpaid = Step(puppet, abi_call(SWAP, account, True, 1000, 1, b""))
    for step in (swap(puppet, STRANGER, token), buys, swap(puppet, account, other), swap(forged, account, token), unpaid):
        assert await chain.error(OPERATOR, account, operate(step)) == "Forbidden"


async def test_a_call_that_owes_nothing_pays_nobody(chain: Chain, account: Address, token: Address) -> None:
    await fund(chain, token, account, 77)
    puppet = await chain.puppet()
    await chain.program(puppet, b"call", (account, asks(77)))
    await allow(chain, account, Permission(puppet, b"call"))
    assert tried(await chain.send(OPERATOR, account, operate(Step(puppet, b"call")))) == [REFUSED]


async def test_a_pool_that_was_paid_is_not_paid_again_by_a_later_call(chain: Chain, account: Address, token: Address) -> None:
    await fund(chain, token, account, 77)
    puppet = await pool(chain, (account, asks(7)))
    await chain.program(puppet, b"late", (account, asks(70)))
    await allow(chain, account, sells(account, puppet, token), Permission(puppet, b"late"))
    receipt = await chain.send(OPERATOR, account, operate(swap(puppet, account, token), Step(puppet, b"late")))
    assert tried(receipt) == [(True, b""), REFUSED]


async def test_a_pool_that_never_calls_back_is_an_error(chain: Chain, account: Address, token: Address) -> None:
    puppet = await pool(chain)
    await allow(chain, account, sells(account, puppet, token))
    assert await chain.error(OPERATOR, account, operate(swap(puppet, account, token))) == "NoCallback"


@pytest.mark.parametrize("call", [asks(78), asks(-1, -1), asks(2**255 - 1), asks(1, -1, bytes(33))])
async def test_a_pool_that_asks_for_more_than_there_is_or_for_nonsense_gets_nothing(
    chain: Chain, account: Address, token: Address, call: bytes
) -> None:
    await fund(chain, token, account, 77)
    puppet = await pool(chain, (account, call))
    await allow(chain, account, sells(account, puppet, token))
    assert await chain.error(OPERATOR, account, operate(swap(puppet, account, token))) == "NoCallback"


async def test_a_token_that_refuses_to_pay_a_pool_undoes_everything(chain: Chain, account: Address) -> None:
    odd = await chain.puppet()
    await chain.program(odd, selector("transfer(address,uint256)"), reply=bytes(32))
    puppet = await pool(chain, (account, asks(1)))
    await allow(chain, account, sells(account, puppet, odd))
    assert await chain.error(OPERATOR, account, operate(swap(puppet, account, odd))) == "NoCallback"


async def test_a_token_that_calls_back_while_it_pays_is_not_paid(chain: Chain, account: Address, token: Address) -> None:
    """The pool plays its own token, whose hook asks again."""
    await fund(chain, token, account, 77)
    puppet = await pool(chain, (account, asks(1)))
    await chain.program(puppet, selector("transfer(address,uint256)"), (account, asks(1)), reply=(1).to_bytes(32))
    await allow(chain, account, sells(account, puppet, puppet))
    assert tried(await chain.send(OPERATOR, account, operate(swap(puppet, account, puppet)))) == [REFUSED, (True, b"")]


# --- re-entry -----------------------------------------------------------------------------------------------------


async def test_nobody_operates_withdraws_or_rules_while_the_account_is_at_work(chain: Chain, account: Address, token: Address) -> None:
    """The target is an operator itself."""
    await fund(chain, token, account, 77)
    puppet = await chain.puppet()
    withdrawal = codec.withdraw_data(token, 1)
    await chain.program(puppet, b"call", (account, operate()), (account, withdrawal))
    await allow(chain, account, Permission(puppet, b"call"))
    assert (await chain.send(OWNER, account, add_operator_data(puppet))).ok
    assert [ok for ok, _ in tried(await chain.send(OPERATOR, account, operate(Step(puppet, b"call"))))] == [False, False]
    assert await chain.call(puppet, account, withdrawal) == b""


async def test_an_owner_that_is_called_cannot_change_the_rules_meanwhile(chain: Chain, token: Address) -> None:
    puppet = await chain.puppet()
    account = await chain.deploy(codec.deploy_data(puppet, STRANGER, [OPERATOR], [Permission(puppet, b"call")]))
    attempts = codec.permit_data([approval(token, STRANGER)]), codec.limits_data([]), codec.rescue_data(token, b"four")
    await chain.program(puppet, b"call", *[(account, data) for data in attempts])
    assert [ok for ok, _ in tried(await chain.send(OPERATOR, account, operate(Step(puppet, b"call"))))] == [False] * 3
    assert await chain.call(puppet, account, attempts[0]) == b""


async def test_a_token_s_hook_cannot_re_enter_a_withdrawal(chain: Chain, account: Address) -> None:
    hooked = await chain.puppet()
    await chain.program(hooked, selector("transfer(address,uint256)"), (account, codec.withdraw_data(hooked, 1)), reply=(1).to_bytes(32))
    assert (await chain.send(OWNER, account, add_operator_data(hooked))).ok
    assert [ok for ok, _ in tried(await chain.send(OPERATOR, account, codec.withdraw_data(hooked, 1)))] == [False]
