"""Who may do what: the three roles of the executor."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.devnet.rpc import RpcError
from keeper.execution import executor as codec
from keeper.types import ZERO_ADDRESS, Address, Step
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, OWNER, STRANGER, Chain, abi_call

ONE_SNAPSHOT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))


def collect(token: Address) -> bytes:
    return codec.encode_execute(NO_GUARD, [], token, 0, [])


@ONE_SNAPSHOT
@given(caller=addresses)
async def test_only_an_operator_executes(chain: Chain, executor: Address, token: Address, caller: Address) -> None:
    if caller == OPERATOR:
        return
    assert await chain.error(caller, executor, collect(token)) == "Unauthorized"


@ONE_SNAPSHOT
@given(caller=addresses)
async def test_only_the_owner_adds_revokes_and_sweeps(chain: Chain, executor: Address, token: Address, caller: Address) -> None:
    if caller == OWNER:
        return
    for data in (codec.add_operator_data(caller), codec.revoke_operator_data(OPERATOR), codec.sweep_data(token)):
        assert await chain.error(caller, executor, data) == "Unauthorized"


async def test_an_operator_is_not_an_owner_and_the_owner_is_not_an_operator(chain: Chain, executor: Address, token: Address) -> None:
    assert await chain.error(OPERATOR, executor, codec.add_operator_data(STRANGER)) == "Unauthorized"
    assert await chain.error(OWNER, executor, collect(token)) == "Unauthorized"


async def test_the_roles_are_readable(chain: Chain, executor: Address) -> None:
    reads = codec.owner(executor), codec.beneficiary(executor), codec.is_operator(executor, OPERATOR), codec.is_operator(executor, STRANGER)
    replies = [await chain.call(STRANGER, read.target, read.data) for read in reads]
    assert replies == [
        encode(["address"], [OWNER]),
        encode(["address"], [BENEFICIARY]),
        encode(["bool"], [True]),
        encode(["bool"], [False]),
    ]


async def test_an_added_operator_executes_until_revoked(chain: Chain, executor: Address, token: Address) -> None:
    assert (await chain.send(OWNER, executor, codec.add_operator_data(STRANGER))).ok
    assert (await chain.send(STRANGER, executor, collect(token))).ok
    assert (await chain.send(OWNER, executor, codec.revoke_operator_data(STRANGER))).ok
    assert await chain.error(STRANGER, executor, collect(token)) == "Unauthorized"


async def test_every_change_of_an_operator_is_logged(chain: Chain, executor: Address) -> None:
    added = await chain.send(OWNER, executor, codec.add_operator_data(STRANGER))
    revoked = await chain.send(OWNER, executor, codec.revoke_operator_data(STRANGER))
    told = [(log.topics[1][-40:], int.from_bytes(log.data)) for log in (*added.logs, *revoked.logs)]
    assert told == [(STRANGER[2:], 1), (STRANGER[2:], 0)]


async def test_a_sweep_sends_a_stray_token_to_the_beneficiary(chain: Chain, executor: Address, token: Address) -> None:
    await chain.send(OWNER, token, abi_call("mint(address,uint256)", executor, 77))
    assert (await chain.send(OWNER, executor, codec.sweep_data(token))).ok
    assert (await chain.balance(token, executor), await chain.balance(token, BENEFICIARY)) == (0, 77)


async def test_a_sweep_sends_forced_ether_to_the_beneficiary(chain: Chain, executor: Address) -> None:
    await chain.net.request("anvil_setBalance", executor, hex(5))
    assert (await chain.send(OWNER, executor, codec.sweep_data(ZERO_ADDRESS))).ok
    assert int(await chain.net.request("eth_getBalance", BENEFICIARY, "latest"), 16) == 5


async def test_ether_is_refused(chain: Chain, executor: Address) -> None:
    with pytest.raises(RpcError):
        await chain.net.request("eth_call", {"from": OWNER, "to": executor, "value": "0x1"}, "latest")


@pytest.mark.parametrize("roles", [(ZERO_ADDRESS, BENEFICIARY), (OWNER, ZERO_ADDRESS)])
async def test_a_role_left_empty_is_refused_at_deployment(chain: Chain, roles: tuple[Address, Address]) -> None:
    with pytest.raises(RpcError, match="zero"):
        await chain.net.request("eth_call", {"from": OWNER, "data": "0x" + codec.deploy_data(*roles, []).hex()}, "latest")


async def test_an_operator_cannot_collect_a_stray_balance_for_itself_by_any_argument(
    chain: Chain, executor: Address, token: Address
) -> None:
    """Forwarding knows one receiver. (A *step* can spend what is inside during its own transaction: hence nothing may rest inside.)"""
    await chain.send(OWNER, token, abi_call("mint(address,uint256)", executor, 77))
    data = codec.encode_execute(NO_GUARD, [Step(token, abi_call("approve(address,uint256)", OPERATOR, 0))], token, 0, [token])
    assert (await chain.send(OPERATOR, executor, data)).ok
    assert (await chain.balance(token, OPERATOR), await chain.balance(token, BENEFICIARY)) == (0, 77)
