"""Several runs in one transaction: each stands for itself, whatever the others are, do or use up."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.execution import executor as codec
from keeper.execution.executor import Member, batch_gas, encode_batch, encode_execute
from keeper.types import Action, Address, Guard, Step
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, OWNER, STRANGER, Chain, abi_call, compiled, selector
from tests.contracts.lenders import WAYS, Way, answers

GUZZLER = Address("0x" + "60" * 20)
GUZZLE = "0x5b5f56"
"""Runtime code that loops until its gas is gone."""

BOMB = Address("0x" + "61" * 20)
EXPLODE = "0x6201e0005ffd"
"""Runtime code that reverts with 120 kB of zeros."""

SHARE = 300_000
ALONE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def mint(token: Address, to: Address, amount: int) -> Step:
    return Step(token, abi_call("mint(address,uint256)", to, amount))


def run(actions: list[Action], token: Address, min_profit: int = 0, guard: Guard = NO_GUARD) -> bytes:
    return encode_execute(guard, actions, token, min_profit, [])


def earn(executor: Address, token: Address, amount: int) -> Member:
    return Member(run([mint(token, executor, amount)], token, amount), SHARE)


async def failing(chain: Chain, executor: Address, token: Address) -> dict[str, bytes]:
    """Calls that come to nothing, by what they end with."""
    for address, code in ((GUZZLER, GUZZLE), (BOMB, EXPLODE)):
        await chain.net.request("anvil_setCode", address, code)
    nothing_there = Guard(token, abi_call("balanceOf(address)", STRANGER), 0, below=2, least=1)
    theft = Step(token, abi_call("transfer(address,uint256)", STRANGER, 1))
    return {
        "Healthy": run([mint(token, executor, 9)], token, guard=nothing_there),
        "CheckFailed(0)": run([mint(token, executor, 9), nothing_there], token),
        "Unprofitable(9)": run([mint(token, executor, 9)], token, 10),
        "reset first": run([Step(token, abi_call("approve(address,uint256)", STRANGER, n)) for n in (1, 2)], token),
        "out of gas": run([mint(token, executor, 9), Step(GUZZLER, b"")], token),
        "zeros": run([Step(BOMB, b"")], token),
        "theft": run([theft], token),
        "Unauthorized": codec.add_operator_data(STRANGER),
        "sweep": codec.sweep_data(token),
        "batch": encode_batch([earn(executor, token, 9)], 1),
        "UnexpectedCallback": answers(executor, token, 1, b"")[0],
        "": b"",
        "nonsense": b"\xff" * 100,
    }


REASONS = ["Healthy", "CheckFailed(0)", "Unprofitable(9)", "reset first", "out of gas", "zeros", "theft", "Unauthorized", "sweep", "batch"]
REASONS += ["UnexpectedCallback", "", "nonsense"]
TOLD = {"Healthy", "CheckFailed(0)", "Unprofitable(9)", "reset first", "Unauthorized", "UnexpectedCallback"}


@ALONE
@given(
    plan=st.lists(st.integers(1, 1000) | st.sampled_from(REASONS), max_size=codec.MAX_MEMBERS),
    least=st.integers(0, codec.MAX_MEMBERS + 1),
)
async def test_those_that_can_succeed_do_wherever_others_fail(
    chain: Chain, executor: Address, token: Address, plan: list[int | str], least: int
) -> None:
    failures, before = await failing(chain, executor, token), await chain.balance(token, BENEFICIARY)
    members = [earn(executor, token, item) if isinstance(item, int) else Member(failures[item], SHARE) for item in plan]
    data, amounts = encode_batch(members, least), [item for item in plan if isinstance(item, int)]
    if len(amounts) < least:
        assert await chain.error(OPERATOR, executor, data) == f"TooFew({len(amounts)})"
    receipt = await chain.send(OPERATOR, executor, data, batch_gas(members))
    earned = amounts if len(amounts) >= least else []
    assert receipt.ok == (len(amounts) >= least)
    assert (await chain.balance(token, BENEFICIARY) - before, await chain.balance(token, executor)) == (sum(earned), 0)
    assert await chain.balance(token, STRANGER) == 0
    if receipt.ok:
        assert [told(result, executor) for result in codec.results(receipt.logs, executor)] == [expected(item) for item in plan]


def told(result: codec.Result, executor: Address) -> int | str:
    if result.reason is None:
        settled = codec.settled(result.logs, executor)
        assert settled is not None
        return settled[1]
    assert result.logs == ()
    return codec.decode_error(result.reason) or "failed"


def expected(item: int | str) -> int | str:
    if isinstance(item, int):
        return item
    if item in {"batch", "sweep"}:
        return "Unauthorized"
    return item if item in TOLD else "failed"


@pytest.mark.parametrize("griefer", ["out of gas", "zeros"])
async def test_a_member_gets_all_of_its_share_whatever_those_before_it_burn(
    chain: Chain, executor: Address, token: Address, griefer: str
) -> None:
    """The last one is given exactly what it needs, and the transaction no more than it should be sent with."""
    failures = await failing(chain, executor, token)
    call = earn(executor, token, 7).call
    need = await least_share(chain, executor, call)
    members = [*[Member(failures[griefer], 1_000_000)] * (codec.MAX_MEMBERS - 1), Member(call, need)]
    receipt = await chain.send(OPERATOR, executor, encode_batch(members, 1), batch_gas(members))
    assert receipt.ok
    assert await chain.balance(token, BENEFICIARY) == 7


async def least_share(chain: Chain, executor: Address, call: bytes) -> int:
    """The least gas with which it succeeds as a member."""
    too_little, enough = 0, SHARE
    while enough - too_little > 1:
        share = (too_little + enough) // 2
        works = await succeeds(chain, executor, encode_batch([Member(call, share)], 1))
        too_little, enough = (too_little, share) if works else (share, enough)
    return enough


async def succeeds(chain: Chain, executor: Address, data: bytes) -> bool:
    call = {"from": OPERATOR, "to": executor, "data": "0x" + data.hex(), "gas": hex(1_000_000)}
    reply = await chain.net.request("eth_simulateV1", {"blockStateCalls": [{"calls": [call]}]}, "latest")
    return bool(reply[0]["calls"][0]["status"] == "0x1")


@pytest.mark.parametrize("filler", [b"\x00", b"\xff"])
async def test_the_largest_batch_leaves_every_member_its_share(chain: Chain, executor: Address, token: Address, filler: bytes) -> None:
    """Eight calls of the largest size: reading them is not paid for by the members."""
    sink = Step(Address("0x" + "ab" * 20), filler * (codec.MAX_STEPS_SIZE - 64 - 132))
    call = run([mint(token, executor, 7), sink], token, 7, Guard(token, abi_call("balanceOf(address)", STRANGER), 0, 1))
    need = await least_share(chain, executor, call)
    members = [Member(call, need)] * codec.MAX_MEMBERS
    receipt = await chain.send(OPERATOR, executor, encode_batch(members, codec.MAX_MEMBERS), batch_gas(members))
    assert receipt.ok
    assert await chain.balance(token, BENEFICIARY) == 7 * codec.MAX_MEMBERS


# --- who ----------------------------------------------------------------------------------------------------------


@ALONE
@given(caller=st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex())))
async def test_only_an_operator_executes_a_batch(chain: Chain, executor: Address, token: Address, caller: Address) -> None:
    if caller != OPERATOR:
        for members in ([], [earn(executor, token, 1)]):
            assert await chain.error(caller, executor, encode_batch(members, 0)) == "Unauthorized"


async def test_the_executor_obeys_itself_only_while_a_batch_runs(chain: Chain, executor: Address, token: Address) -> None:
    alone = earn(executor, token, 1).call
    assert await chain.error(executor, executor, alone) == "Unauthorized"
    assert (await chain.send(OPERATOR, executor, encode_batch([earn(executor, token, 1)], 1))).ok
    assert await chain.error(executor, executor, alone) == "Unauthorized"


async def test_the_role_of_a_batch_ends_with_it_in_the_same_transaction(chain: Chain, token: Address) -> None:
    """An operator that is a contract runs a batch and then has the executor called by itself, through a step."""
    robot = await chain.puppet()
    own = await chain.deploy(codec.deploy_data(OWNER, BENEFICIARY, [robot]))
    batch, alone = encode_batch([earn(own, token, 1)], 1), earn(own, token, 2).call
    await chain.program(robot, b"work", (own, batch), (own, run([Step(own, alone)], token)), (own, alone))
    assert (await chain.send(STRANGER, robot, b"work")).ok
    assert await chain.balance(token, BENEFICIARY) == 1 + 2


async def test_an_operator_called_within_a_batch_cannot_start_another(chain: Chain, token: Address) -> None:
    robot = await chain.puppet()
    own = await chain.deploy(codec.deploy_data(OWNER, BENEFICIARY, [OPERATOR, robot]))
    await chain.program(robot, b"more", (own, encode_batch([earn(own, token, 50)], 0)), (own, earn(own, token, 50).call))
    first = Member(run([mint(token, own, 1), Step(robot, b"more")], token), 2_000_000)
    receipt = await chain.send(OPERATOR, own, encode_batch([first, earn(own, token, 2)], 2))
    assert receipt.ok
    assert await chain.balance(token, BENEFICIARY) == 3


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("burns", [False, True])
async def test_the_callback_a_failed_member_awaited_is_awaited_no_more(
    chain: Chain, executor: Address, token: Address, way: Way, burns: bool
) -> None:
    pool = await chain.puppet()
    await failing(chain, executor, token)
    await chain.program(pool, selector(way.called), *([(GUZZLER, b"")] if burns else []))
    await chain.program(pool, b"late", (executor, way.answer(executor, token, 5, b"")))
    awaiting = Member(run([mint(token, executor, 9), way.step(pool, executor, token)], token), SHARE)
    later = Member(run([mint(token, executor, 7), Step(pool, b"late")], token), SHARE)
    receipt = await chain.send(OPERATOR, executor, encode_batch([awaiting, later], 1), batch_gas([awaiting, later]))
    assert [told(result, executor) for result in codec.results(receipt.logs, executor)] == ["NoCallback", 7]
    assert (await chain.balance(token, pool), await chain.balance(token, BENEFICIARY)) == (0, 7)


async def test_each_member_s_gains_are_its_own(chain: Chain, executor: Address, token: Address) -> None:
    other = await chain.deploy(compiled("loud"))
    amounts = [(5, 3), (0, 8)]
    calls = [encode_execute(NO_GUARD, [mint(other, executor, one), mint(other, executor, two)], token, 0, [other]) for one, two in amounts]
    members = [Member(calls[0], SHARE), Member(b"", SHARE), Member(calls[1], SHARE)]
    receipt = await chain.send(OPERATOR, executor, encode_batch(members, 2))
    found = [codec.gains(result.logs, executor, BENEFICIARY) for result in codec.results(receipt.logs, executor)]
    assert found == [{other: 8}, {}, {other: 8}]
