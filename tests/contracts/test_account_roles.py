"""Who may do what with the account, and where its money goes."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.devnet.rpc import RpcError
from keeper.execution import account as codec
from keeper.execution.executor import add_operator_data, beneficiary, encode_execute, is_operator, owner, revoke_operator_data
from keeper.types import ZERO_ADDRESS, Address, Guard, Permission, Step
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, OWNER, STRANGER, Chain, abi_call, selector
from tests.contracts.custody import TRANSFER, allow, approval, fund, operate

ONE_SNAPSHOT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
callers = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))


def owners_calls(token: Address) -> list[bytes]:
    permission, steps = Permission(token, TRANSFER), abi_call("transfer(address,uint256)", STRANGER, 1)
    roles = add_operator_data(STRANGER), revoke_operator_data(OPERATOR)
    return [*roles, codec.permit_data([permission]), codec.limits_data([]), codec.rescue_data(token, steps)]


@ONE_SNAPSHOT
@given(caller=callers)
async def test_strangers_neither_operate_nor_withdraw_nor_rule(
    chain: Chain, executor: Address, account: Address, token: Address, caller: Address
) -> None:
    if caller in {OWNER, OPERATOR, executor}:
        return
    for data in (operate(), codec.withdraw_data(token, 0), *owners_calls(token)):
        assert await chain.error(caller, account, data) == "Unauthorized"


async def test_an_operator_is_not_an_owner_and_the_owner_is_not_an_operator(chain: Chain, account: Address, token: Address) -> None:
    for data in owners_calls(token):
        assert await chain.error(OPERATOR, account, data) == "Unauthorized"
    assert await chain.error(OWNER, account, operate()) == "Unauthorized"


async def test_the_beneficiary_has_no_say(chain: Chain, account: Address, token: Address) -> None:
    for data in (operate(), codec.withdraw_data(token, 0), *owners_calls(token)):
        assert await chain.error(BENEFICIARY, account, data) == "Unauthorized"


async def test_the_roles_are_readable(chain: Chain, account: Address) -> None:
    reads = owner(account), beneficiary(account), is_operator(account, OPERATOR), is_operator(account, STRANGER)
    replies = [await chain.call(STRANGER, read.target, read.data) for read in reads]
    told = encode(["address"], [OWNER]), encode(["address"], [BENEFICIARY]), encode(["bool"], [True]), encode(["bool"], [False])
    assert replies == [*told]


async def test_an_added_operator_operates_until_revoked(chain: Chain, account: Address) -> None:
    assert (await chain.send(OWNER, account, add_operator_data(STRANGER))).ok
    assert (await chain.send(STRANGER, account, operate())).ok
    assert (await chain.send(OWNER, account, revoke_operator_data(STRANGER))).ok
    assert await chain.error(STRANGER, account, operate()) == "Unauthorized"


async def test_the_operator_slot_is_the_one_deployment_sets(chain: Chain, account: Address) -> None:
    slots = [await chain.net.request("eth_getStorageAt", account, codec.operator_slot(who), "latest") for who in (OPERATOR, STRANGER)]
    assert [int(slot, 16) for slot in slots] == [1, 0]


async def test_a_dry_run_makes_anybody_an_operator(chain: Chain, account: Address) -> None:
    places: dict[str, Any] = {account: {"stateDiff": {codec.operator_slot(STRANGER): "0x" + (1).to_bytes(32).hex()}}}
    assert await chain.call(STRANGER, account, operate(), places) == b""


@pytest.mark.parametrize("roles", [(ZERO_ADDRESS, BENEFICIARY), (OWNER, ZERO_ADDRESS)])
async def test_a_role_left_empty_is_refused_at_deployment(chain: Chain, roles: tuple[Address, Address]) -> None:
    with pytest.raises(RpcError, match="zero"):
        await chain.net.request("eth_call", {"from": OWNER, "data": "0x" + codec.deploy_data(*roles, []).hex()}, "latest")


async def test_what_is_permitted_and_limited_at_deployment_is_in_force(chain: Chain, token: Address) -> None:
    bound = Guard(token, abi_call("balanceOf(address)", STRANGER), 0, below=5)
    minting = Permission(token, selector("mint(address,uint256)"))
    account = await chain.deploy(codec.deploy_data(OWNER, BENEFICIARY, [OPERATOR], [minting], [bound]))
    mint = [Step(token, abi_call("mint(address,uint256)", STRANGER, amount)) for amount in (4, 1)]
    assert (await chain.send(OPERATOR, account, operate(mint[0]))).ok
    assert await chain.error(OPERATOR, account, operate(mint[1])) == "LimitPassed(0)"
    assert await chain.error(OPERATOR, account, operate(Step(token, abi_call("balanceOf(address)", OWNER)))) == "Forbidden"


# --- money --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [OWNER, OPERATOR])
async def test_a_withdrawal_pays_the_beneficiary_whoever_asks(chain: Chain, account: Address, token: Address, caller: Address) -> None:
    await fund(chain, token, account, 77)
    assert (await chain.send(caller, account, codec.withdraw_data(token, 70))).ok
    assert [await chain.balance(token, who) for who in (account, BENEFICIARY, caller)] == [7, 70, 0]


async def test_more_than_there_is_cannot_be_withdrawn(chain: Chain, account: Address, token: Address) -> None:
    await fund(chain, token, account, 77)
    assert await chain.revert(OPERATOR, account, codec.withdraw_data(token, 78)) == b""


async def test_a_hot_key_withdraws_through_the_executor_to_the_beneficiary(
    chain: Chain, executor: Address, account: Address, token: Address
) -> None:
    await fund(chain, token, account, 77)
    steps = [Step(account, codec.withdraw_data(token, 77))]
    assert (await chain.send(OPERATOR, executor, encode_execute(NO_GUARD, steps, token, 0, []))).ok
    assert [await chain.balance(token, who) for who in (account, executor, BENEFICIARY)] == [0, 0, 77]


async def test_a_token_that_refuses_to_pay_undoes_the_withdrawal(chain: Chain, account: Address) -> None:
    odd = await chain.puppet()
    await chain.program(odd, TRANSFER, reply=bytes(32))
    assert await chain.error(OPERATOR, account, codec.withdraw_data(odd, 1)) == "TransferFailed"


async def test_ether_is_refused_and_what_was_forced_in_is_rescued(chain: Chain, account: Address) -> None:
    with pytest.raises(RpcError):
        await chain.net.request("eth_call", {"from": OWNER, "to": account, "value": "0x1"}, "latest")
    await chain.net.request("anvil_setBalance", account, hex(5))
    assert (await chain.send(OWNER, account, codec.rescue_data(BENEFICIARY, b"", 5))).ok
    assert int(await chain.net.request("eth_getBalance", BENEFICIARY, "latest"), 16) == 5


async def test_the_owner_rescues_by_any_call_without_a_permit(chain: Chain, account: Address, token: Address) -> None:
    await fund(chain, token, account, 77)
    assert (await chain.send(OWNER, account, codec.rescue_data(token, abi_call("transfer(address,uint256)", STRANGER, 77)))).ok
    assert await chain.balance(token, STRANGER) == 77


async def test_a_rescue_that_fails_says_why(chain: Chain, account: Address, token: Address) -> None:
    await allow(chain, account, approval(token, STRANGER))
    approve = abi_call("approve(address,uint256)", STRANGER, 1)
    assert (await chain.send(OPERATOR, account, operate(Step(token, approve)))).ok
    assert await chain.error(OWNER, account, codec.rescue_data(token, approve)) == "reset first"
