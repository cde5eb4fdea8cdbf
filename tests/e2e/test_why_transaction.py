"""`keeper why TX`: whose a liquidation was, what its place was worth and what was paid for it, and why it was not ours; long after, too."""

from __future__ import annotations

from typing import Any

import pytest

from keeper.commands.why_transaction import why_transaction
from keeper.config import Settings, load
from keeper.errors import ConfigError
from keeper.types import Hash
from tests.e2e.calls import liquidation
from tests.e2e.test_foreign import ACCOUNTS, RIVAL, SEED, WHOLE_BLOCK, equip, fallen, prey
from tests.e2e.test_races import tip_wei
from tests.e2e.world import keeper_on, ours, step, succeeded, tx_of, world

LONG = 70
"""More blocks than a book that starts anew looks back."""


ENDS = ("transaction", "verdict")


async def told(settings: Settings, tx: str) -> list[dict[str, Any]]:
    return [row async for row in await why_transaction(settings, Hash(tx))]


async def test_it_tells_whose_it_was_what_was_paid_and_why_it_was_not_ours() -> None:
    async with world(ACCOUNTS, SEED) as here:
        net = here.net
        choice = await prey(here, depth=1)
        symbol = next(name for name, token in net.addresses.items() if token == choice.debt).removeprefix("token.")
        await equip(net, symbol, 10**24, "aave_v36.pool")
        async with keeper_on(here) as keeper:
            await net.set_prices(await fallen(here, 1))
            fell = (await net.request("eth_getBlockByNumber", "pending", False))["transactions"][-1]
            rival = await net.send(RIVAL, net.addresses["aave_v36.pool"], liquidation(net, choice), gas=WHOLE_BLOCK)
            await step(here, keeper)
            block = await step(here, keeper)
        tip, gas = await tip_wei(net, rival)
        first, race, *decisions, verdict = await told(here.settings, rival)
        assert (first["kind"], first["ours"], first["sender"], first["paid_wei"]) == ("transaction", False, RIVAL, tip * gas)
        assert (race["market"], race["account"], race["block"], race["due_index"]) == ("aave-v36", choice.account, block, -1)
        assert race["worth_wei"] > 0
        assert [row["decision"] for row in decisions] == ["lost"]
        assert (verdict["kind"], verdict["reason"]) == ("verdict", "behind"), "it was alone in front"
        (oracle,) = await told(here.settings, fell)
        assert oracle["text"].endswith("it liquidated nobody in a market of this config")
        (won, *_) = [tx_of(receipt) for receipt in await ours(here) if succeeded(receipt)]
        assert [row.get("ours", row.get("reason")) for row in await told(here.settings, won) if row["kind"] in ENDS] == [True, "won"]
        with pytest.raises(ConfigError, match="in no block of devnet"):
            await told(here.settings, "0x" + "12" * 32)
        for _ in range(LONG):
            await net.mine()
        elsewhere = load(net.config, {"KEEPER_DATA_DIR": str(net.config.parent / "another")})
        *same, verdict = await told(elsewhere, rival)
        assert (same, verdict["reason"]) == ([first, race], "not_running")
