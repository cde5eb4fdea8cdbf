"""Dry-run needs no deployment: code and role are placed by state override."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode

from keeper.execution import executor as codec
from keeper.types import Address, Hash, Log, Step
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, OWNER, STRANGER, Chain, abi_call

NOWHERE = Address("0x" + "ee" * 20)
YES = "0x" + (1).to_bytes(32).hex()


async def runtime(chain: Chain) -> str:
    """Runtime code with its immutables: the reply of the creation code."""
    transaction = {"from": OWNER, "data": "0x" + codec.deploy_data(OWNER, BENEFICIARY, []).hex()}
    code: str = await chain.net.request("eth_call", transaction, "latest")
    return code


async def overrides(chain: Chain, operator: Address) -> dict[str, Any]:
    return {NOWHERE: {"code": await runtime(chain), "stateDiff": {codec.operator_slot(operator): YES}}}


def earn(token: Address) -> bytes:
    step = Step(token, abi_call("mint(address,uint256)", NOWHERE, 100))
    return codec.encode_execute(NO_GUARD, [step], token, 100, [])


async def test_the_creation_code_answers_with_the_code_that_deployment_leaves(chain: Chain, executor: Address) -> None:
    assert await runtime(chain) == await chain.net.request("eth_getCode", executor, "latest")


async def test_the_operator_slot_is_the_one_deployment_sets(chain: Chain, executor: Address) -> None:
    slots = [await chain.net.request("eth_getStorageAt", executor, codec.operator_slot(who), "latest") for who in (OPERATOR, STRANGER)]
    assert [int(slot, 16) for slot in slots] == [1, 0]


async def test_an_overridden_executor_knows_its_roles(chain: Chain) -> None:
    places = await overrides(chain, STRANGER)
    reads = codec.owner(NOWHERE), codec.beneficiary(NOWHERE), codec.is_operator(NOWHERE, STRANGER)
    replies = [await chain.call(OPERATOR, read.target, read.data, places) for read in reads]
    assert replies == [encode(["address"], [OWNER]), encode(["address"], [BENEFICIARY]), encode(["bool"], [True])]


async def test_only_the_overridden_operator_executes(chain: Chain, token: Address) -> None:
    places = await overrides(chain, STRANGER)
    assert await chain.call(STRANGER, NOWHERE, earn(token), places) == b""
    assert codec.decode_error(await chain.revert(OPERATOR, NOWHERE, earn(token), places)) == "Unauthorized"


async def test_simulate_v1_runs_it_and_tells_profit_and_revert(chain: Chain, token: Address) -> None:
    calls = [{"from": sender, "to": NOWHERE, "data": "0x" + earn(token).hex()} for sender in (STRANGER, OPERATOR)]
    block = {"stateOverrides": await overrides(chain, STRANGER), "calls": calls}
    reply = await chain.net.request("eth_simulateV1", {"blockStateCalls": [block]}, "latest")
    won, refused = reply[0]["calls"]
    assert codec.settled([_log(raw) for raw in won["logs"]], NOWHERE) == (token, 100)
    assert (won["status"], refused["status"]) == ("0x1", "0x0")
    assert codec.decode_error(bytes.fromhex(refused["returnData"][2:])) == "Unauthorized"


def _log(raw: dict[str, Any]) -> Log:
    data = bytes.fromhex(raw["data"][2:])
    return Log(Address(raw["address"].lower()), tuple(raw["topics"]), data, 0, Hash("0x"), 0, Hash("0x"), 0, 0)
