"""What builders are sent, decoded: calldata, fees, target block, who vouches for it; and what their answers mean."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from keeper.chain.bundles import BundleChannel
from keeper.chain.carriers import Carriers, Channel, Each
from keeper.chain.pending import waiting_of
from keeper.chain.private import PrivateChannel
from keeper.chain.rpc import Rpc
from keeper.chain.signed import signed_bytes
from keeper.chain.wire import hex_bytes
from keeper.devnet import Devnet
from keeper.execution.signer import Signer, Tx1559
from keeper.secret import Secret
from keeper.types import Address, Hash, Parcel, SendResult, Sent, Waiting
from tests.chain.builder import FakeBuilder, decoded, fake_builder

EXECUTOR = Address("0x" + "e1" * 20)
ORACLE = Signer(Secret("5" * 64))
US, ALSO_US, VOUCHER = (Signer(Secret(digit * 64)) for digit in "678")
BLOCK = 1234


def parcel(nonce: int, tip: int = 7, signer: Signer = US, **more: Any) -> Parcel:
    raw, tx = signer.sign(Tx1559(1, nonce, tip, 100 + tip, 500_000, EXECUTOR, 0, bytes([nonce, tip]) * 20))
    return Parcel(raw, tx, signer.address, nonce, BLOCK, **more)


def update(nonce: int = 3) -> Waiting:
    """As a node tells of it."""
    raw, tx = ORACLE.sign(Tx1559(1, nonce, 2, 90, 300_000, Address("0x" + "0a" * 20), 0, b"transmit"))
    fields = decoded(hex_bytes(raw))
    told = {
        "type": "0x2",
        "hash": tx,
        "from": ORACLE.address,
        "to": "0x" + "0a" * 20,
        "input": hex_bytes(b"transmit"),
        "accessList": [],
        "r": hex(fields["r"]),
        "s": hex(fields["s"]),
        "yParity": hex(fields["v"]),
        **{name: hex(fields[name]) for name in ("chainId", "nonce", "gas", "value", "maxFeePerGas", "maxPriorityFeePerGas")},
    }
    waiting = waiting_of(told)
    assert waiting is not None
    return waiting


@pytest.fixture
async def builder() -> AsyncIterator[FakeBuilder]:
    async with fake_builder() as running:
        yield running


@pytest.fixture
async def rpc(builder: FakeBuilder) -> AsyncIterator[Rpc]:
    client = Rpc(builder.url, "builder", timeout_s=1.0, retries=0, sign=lambda body: {"X-Flashbots-Signature": VOUCHER.vouch(body)})
    yield client
    await client.close()


def hashes(bundle: dict[str, Any]) -> list[str]:
    return [tx["data"].hex() if isinstance(tx["data"], bytes) else tx["data"] for tx in map(decoded, bundle["txs"])]


async def test_a_bundle_holds_the_update_and_ours_right_behind_it_for_one_block(builder: FakeBuilder, rpc: Rpc) -> None:
    ahead = update()
    sent = await BundleChannel(rpc).carry([parcel(4, last_block=BLOCK, behind=(ahead,))])
    assert sent == [Sent(SendResult.ACCEPTED)]
    [bundle] = builder.sent("eth_sendBundle")
    theirs, ours = map(decoded, bundle["txs"])
    assert (theirs["from"].lower(), theirs["nonce"], bytes(theirs["data"])) == (ORACLE.address, 3, b"transmit")
    assert (ours["from"].lower(), ours["nonce"], bytes(ours["data"])) == (US.address, 4, bytes([4, 7]) * 20)
    assert (ours["maxPriorityFeePerGas"], ours["maxFeePerGas"], ours["gas"], ours["chainId"]) == (7, 107, 500_000, 1)
    assert bundle["blockNumber"] == hex(BLOCK)
    assert bundle["droppingTxHashes"] == [ahead.tx]
    assert "revertingTxHashes" not in bundle
    assert builder.signers[0].lower() == VOUCHER.address


async def test_each_of_ours_has_a_bundle_in_which_those_before_it_may_be_left_out_but_not_fail(builder: FakeBuilder, rpc: Rpc) -> None:
    first, second = parcel(0), parcel(1)
    earlier = parcel(0, signer=ALSO_US)
    await BundleChannel(rpc).carry([first, second])
    await BundleChannel(rpc).carry([parcel(1, signer=ALSO_US, after=(earlier,))])
    one, both, other = builder.sent("eth_sendBundle")
    assert [decoded(raw)["nonce"] for raw in one["txs"]] == [0]
    assert [decoded(raw)["nonce"] for raw in both["txs"]] == [0, 1]
    assert (one["droppingTxHashes"], both["droppingTxHashes"], other["droppingTxHashes"]) == ([], [first.tx], [earlier.tx])


async def test_what_is_offered_anew_takes_the_place_of_the_bundle_before_it(builder: FakeBuilder, rpc: Rpc) -> None:
    channel = BundleChannel(rpc)
    for tip in (7, 9):
        await channel.carry([parcel(0, tip)])
    await channel.carry([parcel(0, signer=ALSO_US)])
    first, second, others = (bundle["replacementUuid"] for bundle in builder.sent("eth_sendBundle"))
    assert first == second != others


async def test_bundles_for_several_blocks_are_sent_for_each_and_called_back_together(builder: FakeBuilder, rpc: Rpc) -> None:
    channel = BundleChannel(rpc, blocks=3)
    await channel.carry([parcel(0)])
    bundles = builder.sent("eth_sendBundle")
    assert [bundle["blockNumber"] for bundle in bundles] == [hex(BLOCK + i) for i in range(3)]
    await channel.recall()
    assert {call["replacementUuid"] for call in builder.sent("eth_cancelBundle")} == {bundle["replacementUuid"] for bundle in bundles}
    await channel.recall()
    assert len(builder.sent("eth_cancelBundle")) == 3


async def test_a_hash_stands_for_an_update_whose_bytes_are_not_known(builder: FakeBuilder, rpc: Rpc) -> None:
    known = update()
    unsigned = waiting_of({**known.told, "r": "0x1"})
    assert unsigned is not None
    await BundleChannel(rpc).carry([parcel(0, behind=(unsigned,))])
    assert builder.sent("eth_sendBundle")[0]["txs"][0] == known.tx


async def test_a_private_transaction_names_the_last_block_it_is_for_and_can_be_called_back(builder: FakeBuilder, rpc: Rpc) -> None:
    channel, one = PrivateChannel(rpc, blocks=2), parcel(5)
    assert await channel.carry([one]) == [Sent(SendResult.ACCEPTED)]
    [call] = builder.sent("eth_sendPrivateTransaction")
    assert (decoded(call["tx"])["nonce"], bytes(decoded(call["tx"])["data"]), call["maxBlockNumber"]) == (
        5,
        bytes([5, 7]) * 20,
        hex(BLOCK + 1),
    )
    await channel.recall()
    assert builder.sent("eth_cancelPrivateTransaction") == [{"txHash": one.tx}]


@pytest.mark.parametrize(("says", "result"), [("nonce too low", SendResult.REFUSED), ("something new", SendResult.UNKNOWN)])
async def test_a_builders_no_is_understood_and_anything_else_is_doubt(
    builder: FakeBuilder, rpc: Rpc, says: str, result: SendResult
) -> None:
    builder.says = says
    channels: list[Channel] = [BundleChannel(rpc), PrivateChannel(rpc)]
    assert [(await channel.carry([parcel(0)]))[0].result for channel in channels] == [result, result]


async def test_a_builder_that_is_away_leaves_doubt() -> None:
    nowhere = Rpc("http://127.0.0.1:9", "builder", timeout_s=0.5, retries=0)
    for channel in (BundleChannel(nowhere), PrivateChannel(nowhere)):
        assert (await channel.carry([parcel(0)]))[0].result is SendResult.UNKNOWN
    await nowhere.close()


class Fixed:
    """A relay with one answer, which remembers the bytes."""

    def __init__(self, *answer: Any) -> None:
        self.answer, self.seen = Sent(*answer), list[bytes]()

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        self.seen.append(raw)
        return self.answer


YES, NO, WHO_KNOWS = (SendResult.ACCEPTED,), (SendResult.REFUSED, "malformed"), (SendResult.UNKNOWN, "no answer")


@pytest.mark.parametrize(
    ("answers", "result"),
    [([NO, YES], "accepted"), ([WHO_KNOWS, YES], "accepted"), ([NO, WHO_KNOWS], "unknown"), ([NO, NO], "refused")],
)
async def test_over_several_channels_go_the_same_bytes_and_one_that_takes_them_is_enough(answers: Sequence[Any], result: str) -> None:
    relays = [Fixed(*answer) for answer in answers]
    one = parcel(0)
    [sent] = await Carriers([Each(relay) for relay in relays]).carry([one])
    assert sent.result == result
    assert [relay.seen for relay in relays] == [[one.raw]] * len(relays)


async def test_what_comes_behind_an_update_goes_over_bundles_alone_and_lands_in_its_block_or_never(builder: FakeBuilder, rpc: Rpc) -> None:
    public = Fixed(*YES)
    both = Carriers([Each(public), BundleChannel(rpc)])
    await both.carry([parcel(0, behind=(update(),))])
    await both.carry([parcel(0, signer=ALSO_US)])
    assert len(public.seen) == 1
    assert len(builder.sent("eth_sendBundle")) == 2
    assert (both.last_block(BLOCK, behind=True), both.last_block(BLOCK, behind=False)) == (BLOCK, 0)
    assert Carriers([Each(public)]).last_block(BLOCK, behind=True) == 0


async def test_a_channel_that_breaks_is_doubt_and_stops_no_other() -> None:
    class Broken:
        async def send(self, raw: bytes, tx: Hash) -> Sent:
            raise ValueError("a defect")

    assert (await Carriers([Each(Broken())]).carry([parcel(0)]))[0] == Sent(SendResult.UNKNOWN, "ValueError")
    assert (await Carriers([Each(Broken()), Each(Fixed(*YES))]).carry([parcel(0)]))[0].result is SendResult.ACCEPTED


@pytest.mark.parametrize("kind", [0, 1, 2])
async def test_the_bytes_of_a_transaction_follow_from_what_a_node_tells_of_it(net: Devnet, kind: int) -> None:
    from eth_account import Account

    account = Account.create("signed bytes")
    await net.request("anvil_setBalance", account.address, hex(10**18))
    fields: dict[str, Any] = {"nonce": 0, "gas": 60_000, "to": "0x" + "11" * 20, "value": 5, "data": b"\x00\x01", "chainId": net.chain_id}
    fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 1} if kind == 2 else {"gasPrice": 10**11}
    listed = {"type": kind, "accessList": [{"address": "0x" + "22" * 20, "storageKeys": ["0x" + "33" * 32]}]} if kind else {}
    raw = bytes(account.sign_transaction(fields | fees | listed).raw_transaction)
    tx = await net.request("eth_sendRawTransaction", hex_bytes(raw))
    told = await net.request("eth_getTransactionByHash", tx)
    assert signed_bytes(told) == raw
    assert signed_bytes({**told, "nonce": "0x1"}) == b""
    assert signed_bytes({"hash": tx}) == b""
