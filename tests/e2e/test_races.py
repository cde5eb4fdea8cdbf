"""Who won each liquidation, and what he paid for it, is read off a real chain, whoever it was."""

from __future__ import annotations

import orjson

from keeper.bidding.odds import PPM, Key, Sighting
from keeper.devnet.devnet import Devnet
from keeper.devnet.genesis.chain import ETHER
from keeper.types import Address
from tests.e2e.calls import liquidation
from tests.e2e.test_foreign import ACCOUNTS, RIVAL, SEED, WHOLE_BLOCK, equip, fallen, prey
from tests.e2e.world import World, keeper_on, ours, step, succeeded, tx_of, world

MINER = Address("0x" + "c0ffee" * 6 + "c0ff")
GIFT_WEI = ETHER // 100
"""In the same block: to a builder it makes no difference how he is paid."""


async def sightings(here: World) -> dict[Key, list[Sighting]]:
    kept = orjson.loads((here.settings.data_dir / "devnet" / "races.json").read_bytes())
    return {Key(item["market"], item["channel"], item["bucket"]): [Sighting(*seen) for seen in item["seen"]] for item in kept["odds"]}


async def tip_wei(net: Devnet, tx: str) -> tuple[int, int]:
    """(per gas beyond the base fee, gas used)"""
    receipt = await net.request("eth_getTransactionReceipt", tx)
    block = await net.request("eth_getBlockByNumber", receipt["blockNumber"], False)
    return int(receipt["effectiveGasPrice"], 16) - int(block["baseFeePerGas"], 16), int(receipt["gasUsed"], 16)


async def test_a_rivals_tip_and_what_he_paid_the_builder_are_seen_and_our_own_wins_are_known_as_ours() -> None:
    async with world(ACCOUNTS, SEED) as here:
        net = here.net
        choice = await prey(here, depth=1)
        symbol = next(name for name, token in net.addresses.items() if token == choice.debt).removeprefix("token.")
        await equip(net, symbol, 10**24, "aave_v36.pool")
        await net.request("anvil_setCoinbase", MINER)
        async with keeper_on(here) as keeper:
            await net.set_prices(await fallen(here, 1))
            rival = await net.send(RIVAL, net.addresses["aave_v36.pool"], liquidation(net, choice), gas=WHOLE_BLOCK)
            await step(here, keeper)
            await net.send(RIVAL, MINER, b"", GIFT_WEI)
            await keeper.ready(await step(here, keeper))
            await keeper.ready(await step(here, keeper))
        seen = await sightings(here)
        tip, gas = await tip_wei(net, rival)
        found = [sighting for key, known in seen.items() if key.bucket == -1 for sighting in known]
        (his,) = [sighting for sighting in found if sighting.exact]
        assert his.tip_wei == tip + GIFT_WEI // gas
        assert his in seen[Key("aave-v36", "tip", -1)]
        assert 0 < his.share_ppm < PPM
        won = [await tip_wei(net, tx_of(receipt)) for receipt in await ours(here) if succeeded(receipt)]
        assert len(won) >= 5
        assert {sighting.tip_wei for sighting in found if not sighting.exact} == {tip for tip, _ in won}
