from __future__ import annotations

import pytest

from keeper.chain.fees import landing, next_base_fee
from keeper.chain.reader import NodeReader
from keeper.devnet import Devnet
from keeper.types import Hash, Head

BURNER = "0x00000000000000000000000000000000000b0b0b"
BURN_REST = "0x5b5f56"  # jump in place until the gas is gone


def head(base_fee_wei: int, gas_used: int, gas_limit: int = 30_000_000) -> Head:
    return Head(1, Hash("0x1"), Hash("0x0"), 100, base_fee_wei, gas_limit, gas_used)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.8, 1.0])
async def test_the_next_base_fee_is_the_nodes_own(net: Devnet, reader: NodeReader, share: float) -> None:
    before = await reader.head()
    await net.request("anvil_setNextBlockBaseFeePerGas", hex(17_123_456_789))
    await net.request("anvil_setCode", BURNER, BURN_REST)
    gas = int(before.gas_limit * share)
    if gas:
        await net.request("eth_sendTransaction", {"from": net.borrowers[0], "to": BURNER, "gas": hex(gas), "maxFeePerGas": hex(10**11)})
    await net.mine()
    full = await reader.head()
    await net.mine()
    assert full.gas_used == pytest.approx(gas, abs=1)
    assert (await reader.head()).base_fee_wei == next_base_fee(full)


def test_a_full_block_raises_even_a_tiny_base_fee() -> None:
    assert next_base_fee(head(base_fee_wei=7, gas_used=30_000_000)) == 8


def test_a_block_at_its_target_keeps_the_base_fee() -> None:
    assert next_base_fee(head(base_fee_wei=7, gas_used=15_000_000)) == 7


def test_an_empty_block_lowers_the_base_fee_by_an_eighth_rounded_down() -> None:
    assert next_base_fee(head(base_fee_wei=15, gas_used=0)) == 14


def test_a_transaction_lands_one_block_later_on_time() -> None:
    now = head(base_fee_wei=1000, gas_used=0)
    found = landing(now, 12)
    assert (found.number, found.timestamp_s, found.base_fee_wei) == (2, 112, 875)


def test_blocks_of_less_than_a_second_share_a_timestamp() -> None:
    assert landing(head(1000, 0), 0.25).timestamp_s == 100
