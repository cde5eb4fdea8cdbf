"""The hand-written ABI layouts against eth_abi, and what the executor's replies mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from keeper.contracts import load
from keeper.errors import Skip
from keeper.execution import executor as codec
from keeper.types import ZERO_ADDRESS, Address, Funding, FundingKind, Guard, Hash, Log, Step
from tests.contracts.chain import BENEFICIARY, NO_FUNDING, NO_GUARD, OPERATOR, OWNER, STRANGER, selector

EXECUTOR = Address("0x" + "ee" * 20)
TOKEN = Address("0x" + "70" * 20)
STEP = "(address,bytes,address,uint256)"
KINDS = [FundingKind.NONE, FundingKind.FLASH_LOAN, FundingKind.FLASH_SWAP]

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))
words = st.integers(0, 2**256 - 1)
guards = st.builds(Guard, addresses, st.binary(max_size=codec.MAX_GUARD_DATA), st.integers(0, codec.MAX_GUARD_WORD), words)
fundings = st.builds(Funding, st.sampled_from(KINDS), addresses, addresses, st.integers(0, codec.MAX_INT256), words)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    data = draw(st.binary(min_size=32, max_size=codec.MAX_STEP_DATA))
    return Step(draw(addresses), data, draw(addresses), draw(st.integers(0, len(data) - 32)))


plain_steps = st.builds(Step, addresses, st.binary(max_size=codec.MAX_STEP_DATA), st.just(ZERO_ADDRESS), st.just(0))
step_lists = st.lists(steps() | plain_steps, max_size=codec.MAX_STEPS)


def as_tuples(steps: list[Step]) -> list[tuple[str, bytes, str, int]]:
    return [(step.target, step.data, step.amount_token, step.amount_offset) for step in steps]


@given(guards, fundings, st.booleans(), step_lists, addresses, words, st.lists(addresses, max_size=codec.MAX_TOKENS))
def test_execute_is_encoded_as_eth_abi_does(
    guard: Guard, funding: Funding, zero_for_one: bool, steps: list[Step], profit_token: Address, floor: int, tokens: list[Address]
) -> None:
    arguments = [
        (guard.target, guard.data, guard.word, guard.below),
        (KINDS.index(funding.kind), funding.source, funding.token, funding.amount, zero_for_one),
        encode([STEP + "[]"], [as_tuples(steps)]),
        profit_token,
        floor,
        tokens,
    ]
    expected = codec.EXECUTE + encode(codec.EXECUTE_TYPES, arguments)
    assert codec.encode_execute(guard, funding, zero_for_one, steps, profit_token, floor, tokens) == expected


@given(addresses, addresses, st.lists(addresses, max_size=codec.MAX_OPERATORS))
def test_the_constructor_is_encoded_as_eth_abi_does(owner: Address, beneficiary: Address, operators: list[Address]) -> None:
    expected = load().bytecode + encode(["address", "address", "address[]"], [owner, beneficiary, operators])
    assert codec.deploy_data(owner, beneficiary, operators) == expected


def test_every_selector_and_topic_is_the_artifact_s() -> None:
    entries = [entry for entry in load().abi if entry["type"] in ("function", "event")]
    known = {selector(f"{entry['name']}({','.join(map(_type, entry['inputs']))})") for entry in entries if entry["type"] == "function"}
    reads = codec.owner(EXECUTOR), codec.beneficiary(EXECUTOR), codec.is_operator(EXECUTOR, OPERATOR)
    calls = codec.add_operator_data(OPERATOR), codec.revoke_operator_data(OPERATOR), codec.sweep_data(TOKEN)
    used = {codec.EXECUTE, *(read.data[:4] for read in reads), *(call[:4] for call in calls)}
    callbacks = "executeOperation(address,uint256,uint256,address,bytes)", "uniswapV3SwapCallback(int256,int256,bytes)"
    assert known == used | {selector(signature) for signature in callbacks}
    assert [entry["name"] for entry in entries if entry["type"] == "event"] == ["Settled", "OperatorSet"]


def _type(entry: dict[str, object]) -> str:
    components = entry.get("components")
    if isinstance(components, list):
        return "(" + ",".join(map(_type, components)) + ")" + str(entry["type"]).removeprefix("tuple")
    return str(entry["type"])


PATCHED = Step(TOKEN, bytes(64), TOKEN, 32)


@pytest.mark.parametrize(
    ("guard", "funding", "steps", "tokens", "complaint"),
    [
        (replace(NO_GUARD, data=bytes(69)), NO_FUNDING, [], [], "guard has 69 bytes of data, at most 68"),
        (replace(NO_GUARD, word=16), NO_FUNDING, [], [], "guard reads word 16, at most 15"),
        (NO_GUARD, replace(NO_FUNDING, amount=2**255), [], [], "must fit int256"),
        (NO_GUARD, NO_FUNDING, [PATCHED] * 9, [], "9 steps, at most 8"),
        (NO_GUARD, NO_FUNDING, [PATCHED, Step(TOKEN, bytes(353))], [], "step 1 has 353 bytes of data, at most 352"),
        (NO_GUARD, NO_FUNDING, [replace(PATCHED, amount_offset=33)], [], "step 0 patches 32 bytes at 33, beyond its 64 bytes of data"),
        (NO_GUARD, NO_FUNDING, [replace(PATCHED, amount_offset=-1)], [], "step 0 patches 32 bytes at -1"),
        (NO_GUARD, NO_FUNDING, [], [TOKEN] * 7, "7 tokens to forward, at most 6"),
    ],
)
def test_what_the_contract_cannot_take_is_a_skip_that_says_why(
    guard: Guard, funding: Funding, steps: list[Step], tokens: list[Address], complaint: str
) -> None:
    with pytest.raises(Skip, match=complaint) as caught:
        codec.encode_execute(guard, funding, False, steps, TOKEN, 0, tokens)
    assert caught.value.reason == "unencodable"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (selector("Healthy()"), "Healthy"),
        (selector("Unauthorized()"), "Unauthorized"),
        (selector("UnexpectedCallback()"), "UnexpectedCallback"),
        (selector("NotFunded()"), "NotFunded"),
        (selector("TransferFailed()"), "TransferFailed"),
        (selector("Unprofitable(uint256)") + (7).to_bytes(32), "Unprofitable(7)"),
        (selector("Error(string)") + encode(["string"], ["35"]), "35"),
        (selector("Error(string)") + encode(["string"], ["a\nb\x1b"]), "a?b?"),
        (selector("Error(string)") + encode(["string"], ["x" * 999]), "x" * 200),
        (selector("Panic(uint256)") + (0x11).to_bytes(32), "Panic(0x11: overflow)"),
        (b"", None),
        (b"\x00", None),
        (selector("HealthFactorNotBelowThreshold()"), None),
        (selector("Error(string)") + b"\xff" * 64, None),
        (selector("Unprofitable(uint256)"), None),
    ],
)
def test_revert_data_reads_as_text(data: bytes, text: str | None) -> None:
    assert codec.decode_error(data) == text


@given(st.sampled_from([b"", selector("Error(string)"), selector("Panic(uint256)"), selector("Healthy()")]), st.binary(max_size=200))
def test_no_revert_data_is_too_strange(head: bytes, body: bytes) -> None:
    text = codec.decode_error(head + body)
    assert text is None or (text.isprintable() and len(text) <= 200)


def log(address: Address, topics: tuple[str, ...], amount: int) -> Log:
    return Log(address, topics, amount.to_bytes(32), 1, Hash("0x"), 0, Hash("0x"), 0, 0)


def padded(address: Address) -> str:
    return "0x" + "0" * 24 + address[2:]


def transfer(token: Address, source: Address, to: Address, amount: int) -> Log:
    return log(token, (codec.TRANSFER, padded(source), padded(to)), amount)


def test_gains_are_what_went_from_the_executor_to_the_beneficiary() -> None:
    nft = log(TOKEN, (codec.TRANSFER, padded(EXECUTOR), padded(BENEFICIARY), "0x" + "0" * 64), 9)
    logs = [
        transfer(TOKEN, EXECUTOR, BENEFICIARY, 5),
        transfer(TOKEN, EXECUTOR, BENEFICIARY, 6),
        transfer(OWNER, EXECUTOR, BENEFICIARY, 7),
        transfer(TOKEN, EXECUTOR, STRANGER, 8),
        transfer(TOKEN, STRANGER, BENEFICIARY, 9),
        nft,
    ]
    assert codec.gains(logs, EXECUTOR, BENEFICIARY) == {TOKEN: 11, OWNER: 7}


def test_only_the_executor_s_own_settled_event_counts() -> None:
    forged = log(STRANGER, (codec.SETTLED, padded(TOKEN)), 99)
    real = log(EXECUTOR, (codec.SETTLED, padded(TOKEN)), 5)
    assert codec.settled([forged], EXECUTOR) is None
    assert codec.settled([forged, real], EXECUTOR) == (TOKEN, 5)
