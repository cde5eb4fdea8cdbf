"""Slicing a pool's logs against the general ABI decoder, with values of every size their types have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_abi.abi import decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.devnet import Devnet
from keeper.types import Address, Hash, Log
from keeper.venues.uniswap_v3 import events

ZERO_HASH = Hash("0x" + "0" * 64)
FOLLOWED = events.POOL_TOPICS | {events.POOL_CREATED}


def values_of(kind: str) -> st.SearchStrategy[Any]:
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
    bits = int(kind.removeprefix("u").removeprefix("int"))
    least, most = (0, 2**bits - 1) if kind.startswith("uint") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(least, most) | st.sampled_from([least, 0, most])


def coded(topic: str, declared: Mapping[str, Any], data: st.DataObject) -> tuple[Log, dict[str, Any]]:
    """A log of random values, and its fields as the general decoder gives them back."""
    values = [(field, data.draw(values_of(field["type"]), label=field["name"])) for field in declared["inputs"]]
    topics = [(field, encode([field["type"]], [value])) for field, value in values if field["indexed"]]
    rest = [field for field, _ in values if not field["indexed"]]
    body = encode([field["type"] for field in rest], [value for field, value in values if not field["indexed"]])
    fields = {field["name"]: decode([field["type"]], word)[0] for field, word in topics}
    fields |= dict(zip((f["name"] for f in rest), decode([f["type"] for f in rest], body), strict=True))
    return Log(Address("0x" + "11" * 20), (topic, *("0x" + w.hex() for _, w in topics)), body, 1, ZERO_HASH, 1, ZERO_HASH, 0, 0), fields


def sliced(log: Log) -> tuple[object, ...]:
    readers = {events.POOL_CREATED: events.pool_created, events.INITIALIZE: events.initialized, events.SWAP: events.swapped}
    return readers.get(log.topics[0], events.liquidity_changed)(log)


def named(event: str, f: Mapping[str, Any]) -> tuple[object, ...]:
    if event == "PoolCreated":
        return f["token0"], f["token1"], f["fee"], f["tickSpacing"], f["pool"]
    if event == "Initialize":
        return f["sqrtPriceX96"], f["tick"]
    if event == "Swap":
        return f["sqrtPriceX96"], f["tick"], f["liquidity"]
    return f["tickLower"], f["tickUpper"], f["amount"] if event == "Mint" else -f["amount"]


def agree(topic: str, declared: Mapping[str, Any]) -> None:
    @settings(max_examples=60, deadline=None, database=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        log, fields = coded(topic, declared, data)
        assert sliced(log) == named(declared["name"], fields)

    check()


async def test_every_event_is_cut_as_the_general_decoder_reads_it(devnet: Devnet) -> None:
    entries = [(devnet.contract(name), entry) for name in ("pool", "uniswap.factory") for entry in devnet.abi(name)]
    kinds = {contract.topic(entry["name"]): entry for contract, entry in entries if entry["type"] == "event"}
    assert kinds.keys() >= FOLLOWED
    for topic in sorted(FOLLOWED):
        agree(topic, kinds[topic])
