"""The hand-written ABI layouts against eth_abi, and what the executor's replies mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from eth_abi.abi import encode
from eth_abi.packed import encode_packed
from hypothesis import given
from hypothesis import strategies as st

from keeper.contracts import load
from keeper.errors import Skip
from keeper.execution import executor as codec
from keeper.types import ZERO_ADDRESS, Action, Address, Callback, Guard, Hash, Log, Step
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, OWNER, STRANGER, selector

EXECUTOR = Address("0x" + "ee" * 20)
TOKEN = Address("0x" + "70" * 20)
FLAGS = {Callback.NONE: 0, Callback.PUSH: 8, Callback.PULL: 16}
HEAD_TYPES = ["uint8", "uint16", "uint16", "uint16", "uint40", "address"]

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))
words = st.integers(0, 2**256 - 1)
either_sign = st.integers(-(2**255), 2**256 - 1)
questions = st.builds(Guard, addresses, st.binary(max_size=codec.MAX_QUESTION), st.integers(0, codec.MAX_WORD), either_sign, either_sign)
guards = questions.map(lambda guard: replace(guard, least=min(guard.least, guard.below), below=max(guard.least, guard.below)))
plain_steps = st.builds(Step, addresses, st.binary(max_size=250), optional=st.booleans())


@st.composite
def patched_steps(draw: st.DrawFn) -> Step:
    data, token = draw(st.binary(min_size=32, max_size=250)), draw(addresses.filter(lambda token: token != ZERO_ADDRESS))
    callback = draw(st.sampled_from(Callback))
    owed = ZERO_ADDRESS if callback is Callback.NONE else token
    return Step(draw(addresses), data, token, draw(st.integers(0, len(data) - 32)), draw(st.booleans()), callback, owed)


@st.composite
def awaiting_steps(draw: st.DrawFn) -> Step:
    inner = draw(st.lists(guards | plain_steps | patched_steps(), max_size=3))
    callback = draw(st.sampled_from([Callback.PUSH, Callback.PULL]))
    return Step(draw(addresses), draw(st.binary(max_size=200)), callback=callback, owed=draw(addresses), inner=tuple(inner))


action_lists = st.lists(guards | plain_steps | patched_steps() | awaiting_steps(), max_size=4)


def packed(actions: Iterable[Action]) -> bytes:
    """The contract's description of a list of steps, word for word."""
    whole = b"".join(map(packed_one, actions))
    return whole + bytes(-len(whole) % 32)


def packed_one(action: Action) -> bytes:
    if isinstance(action, Guard):
        least, below = (bound % 2**256 for bound in (action.least, action.below))
        head = 4, 32 * action.word, 0, 32 + len(action.data), 0, action.target
        return encode_packed([*HEAD_TYPES, "uint256", "uint256", "bytes"], [*head, least, below, action.data])
    data, inner = action.data, b""
    if action.callback is not Callback.NONE:
        inner = packed(action.inner)
        data += encode(["uint256"], [len(inner)]) + inner
    flags = action.optional + 2 * (action.amount_token != ZERO_ADDRESS) + FLAGS[action.callback]
    token = action.amount_token if action.callback is Callback.NONE else action.owed
    head = flags, action.amount_offset, len(inner), len(data), 0, action.target
    return encode_packed([*HEAD_TYPES, "uint96", "address", "bytes"], [*head, 0, token, data])


@given(guards, action_lists, addresses, words, st.lists(addresses, max_size=codec.MAX_TOKENS))
def test_execute_is_encoded_as_eth_abi_does(
    guard: Guard, actions: list[Action], profit_token: Address, floor: int, tokens: list[Address]
) -> None:
    bounds = guard.least % 2**256, guard.below % 2**256
    arguments = [(guard.target, guard.data, 32 * guard.word, *bounds), packed(actions), profit_token, floor, tokens]
    expected = codec.EXECUTE + encode(codec.EXECUTE_TYPES, arguments)
    assert codec.encode_execute(guard, actions, profit_token, floor, tokens) == expected


@given(st.lists(st.builds(codec.Member, st.binary(max_size=200), words), max_size=codec.MAX_MEMBERS), words)
def test_a_batch_is_encoded_as_eth_abi_does(members: list[codec.Member], least: int) -> None:
    arguments = [[(member.gas, member.call) for member in members], least]
    assert codec.encode_batch(members, least) == codec.EXECUTE_BATCH + encode(codec.BATCH_TYPES, arguments)


@given(action_lists)
def test_inner_steps_are_a_canonical_last_argument_of_their_call(actions: list[Action]) -> None:
    """So that any decoder takes them, the strict ones, too."""
    head = selector("lend(uint256,bytes)") + encode(["uint256", "uint256"], [7, 64])
    size = len(packed(actions))
    call = codec.encode_steps([Step(TOKEN, head, callback=Callback.PULL, owed=TOKEN, inner=tuple(actions))])[64:][: len(head) + 32 + size]
    assert call[4:] == encode(["uint256", "bytes"], [7, packed(actions)])


@given(addresses, addresses, st.lists(addresses, max_size=codec.MAX_OPERATORS))
def test_the_constructor_is_encoded_as_eth_abi_does(owner: Address, beneficiary: Address, operators: list[Address]) -> None:
    expected = load().bytecode + encode(["address", "address", "address[]"], [owner, beneficiary, operators])
    assert codec.deploy_data(owner, beneficiary, operators) == expected


def test_every_selector_and_topic_is_the_artifact_s() -> None:
    entries = [entry for entry in load().abi if entry["type"] in ("function", "event")]
    known = {selector(f"{entry['name']}({','.join(map(_type, entry['inputs']))})") for entry in entries if entry["type"] == "function"}
    reads = codec.owner(EXECUTOR), codec.beneficiary(EXECUTOR), codec.is_operator(EXECUTOR, OPERATOR)
    calls = codec.add_operator_data(OPERATOR), codec.revoke_operator_data(OPERATOR), codec.sweep_data(TOKEN)
    used = {codec.EXECUTE, codec.EXECUTE_BATCH, *(read.data[:4] for read in reads), *(call[:4] for call in calls)}
    callbacks = (
        "executeOperation(address,uint256,uint256,address,bytes)",
        "uniswapV3SwapCallback(int256,int256,bytes)",
        "onMorphoFlashLoan(uint256,bytes)",
        "onMorphoLiquidate(uint256,bytes)",
        "onFlashLoan(address,address,uint256,uint256,bytes)",
    )
    assert known == used | {selector(signature) for signature in callbacks}
    assert [entry["name"] for entry in entries if entry["type"] == "event"] == ["Settled", "MemberFailed", "OperatorSet"]


def _type(entry: dict[str, object]) -> str:
    components = entry.get("components")
    if isinstance(components, list):
        return "(" + ",".join(map(_type, components)) + ")" + str(entry["type"]).removeprefix("tuple")
    return str(entry["type"])


PATCHED = Step(TOKEN, bytes(64), TOKEN, 32)
SWAP = replace(PATCHED, callback=Callback.PUSH, owed=TOKEN)


@pytest.mark.parametrize(
    ("guard", "actions", "tokens", "complaint"),
    [
        (replace(NO_GUARD, data=bytes(133)), [], [], "guard has 133 bytes of data, at most 132"),
        (replace(NO_GUARD, word=16), [], [], "guard reads word 16, at most 15"),
        (NO_GUARD, [replace(NO_GUARD, data=bytes(133))], [], "step 0 has 133 bytes of data, at most 132"),
        (NO_GUARD, [replace(NO_GUARD, word=-1)], [], "step 0 reads word -1, at most 15"),
        (NO_GUARD, [replace(NO_GUARD, least=1)], [], "step 0 asks for at least 1 and below 0"),
        (NO_GUARD, [PATCHED] * 17, [], "17 steps, at most 16"),
        (NO_GUARD, [replace(SWAP, inner=(PATCHED,) * 17)], [], "17 steps, at most 16"),
        (NO_GUARD, [Step(TOKEN, bytes(4033))], [], "steps of 4097 bytes, at most 4096"),
        (NO_GUARD, [replace(SWAP, inner=(Step(TOKEN, bytes(3904)),))], [], "steps of 4128 bytes, at most 4096"),
        (NO_GUARD, [PATCHED, replace(PATCHED, data=bytes(421))], [], "step 1 patches 421 bytes of data, at most 420"),
        (NO_GUARD, [replace(PATCHED, amount_offset=33)], [], "step 0 patches 32 bytes at 33, beyond its 64 bytes of data"),
        (NO_GUARD, [replace(PATCHED, amount_offset=-1)], [], "step 0 patches 32 bytes at -1"),
        (NO_GUARD, [replace(PATCHED, inner=(PATCHED,))], [], "step 0 has inner steps, but no callback to run them"),
        (NO_GUARD, [replace(SWAP, owed=EXECUTOR)], [], "step 0 patches in one token and owes another"),
        (NO_GUARD, [], [TOKEN] * 7, "7 tokens to forward, at most 6"),
    ],
)
def test_what_the_contract_cannot_take_is_a_skip_that_says_why(
    guard: Guard, actions: list[Action], tokens: list[Address], complaint: str
) -> None:
    with pytest.raises(Skip, match=complaint) as caught:
        codec.encode_execute(guard, actions, TOKEN, 0, tokens)
    assert caught.value.reason == "unencodable"


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([codec.Member(b"", 1)] * 9, "9 members of a batch, at most 8"),
        ([codec.Member(b"", 1), codec.Member(bytes(codec.MAX_CALL + 1), 1)], "member 1 has 4997 bytes of calldata, at most 4996"),
    ],
)
def test_a_batch_beyond_the_contract_s_bounds_is_a_skip_that_says_why(members: list[codec.Member], complaint: str) -> None:
    with pytest.raises(Skip, match=complaint) as caught:
        codec.encode_batch(members, 1)
    assert caught.value.reason == "unencodable"


def test_the_largest_call_of_execute_fits_into_a_batch() -> None:
    guard = Guard(TOKEN, bytes(codec.MAX_QUESTION), 0, 1)
    call = codec.encode_execute(guard, [Step(TOKEN, bytes(codec.MAX_STEPS_SIZE - 64))], TOKEN, 1, [TOKEN] * codec.MAX_TOKENS)
    codec.encode_batch([codec.Member(call, 1)], 1)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (selector("Healthy()"), "Healthy"),
        (selector("Unauthorized()"), "Unauthorized"),
        (selector("UnexpectedCallback()"), "UnexpectedCallback"),
        (selector("NoCallback()"), "NoCallback"),
        (selector("TransferFailed()"), "TransferFailed"),
        (selector("Unprofitable(uint256)") + (7).to_bytes(32), "Unprofitable(7)"),
        (selector("CheckFailed(uint256)") + (7).to_bytes(32), "CheckFailed(7)"),
        (selector("TooFew(uint256)") + (0).to_bytes(32), "TooFew(0)"),
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


def test_every_member_of_a_batch_has_its_own_logs_or_its_own_reason() -> None:
    first, failed, last = (log(EXECUTOR, (codec.SETTLED, padded(token)), 5) for token in (TOKEN, TOKEN, OWNER))
    reason = encode(["bytes"], [selector("Healthy()")])
    failed = replace(failed, topics=(codec.MEMBER_FAILED, "0x" + (1).to_bytes(32).hex()), data=reason)
    moves = [transfer(TOKEN, EXECUTOR, BENEFICIARY, 5), transfer(TOKEN, EXECUTOR, BENEFICIARY, 6)]
    forged = log(STRANGER, (codec.SETTLED, padded(TOKEN)), 99)
    found = codec.results([moves[0], first, failed, forged, moves[1], last], EXECUTOR)
    assert found == [codec.Result((moves[0], first)), codec.Result((), selector("Healthy()")), codec.Result((forged, moves[1], last))]
    assert codec.settled(found[2].logs, EXECUTOR) == (OWNER, 5)
