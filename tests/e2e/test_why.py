"""`keeper why`: what it says of an account is what the daemon would do about it."""

from __future__ import annotations

import re

from keeper.devnet import Devnet
from keeper.types import Address
from tests.e2e.cli import MakeFolder, Row, crash
from tests.markets import LENDING

HOLDING = 'min_depth = 1000\nstale = "hold"\nheartbeat_s = 1'


async def worst(folder: MakeFolder) -> Address:
    """Among the liquidatable, the one with the largest debt: it pays for sure."""
    rows = [row for row in (await folder("scan").only(*LENDING).keeper("scan", "--json")).rows if row["liquidatable"]]
    return Address(max(rows, key=lambda row: int(row["debt"]))["account"])


def of_kind(rows: list[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


async def test_an_account_whose_prices_are_held_is_said_to_be_left_alone_and_why(folder: MakeFolder, net: Devnet) -> None:
    await crash(net)
    account = await worst(folder)
    free = (await folder("free").keeper("why", account, "--json")).rows
    held = (await folder("held").swap("min_depth = 1000", HOLDING).keeper("why", account, "--json")).rows
    assert of_kind(free, "now")[0]["decision"] == "liquidate"
    assert of_kind(free, "price") == []
    assert of_kind(held, "now")[0]["reason"] == "price_held"
    assert "would be left alone: price_held: " in of_kind(held, "now")[0]["text"]
    assert {row["symbol"] for row in of_kind(held, "price")} == {row["symbol"] for row in of_kind(held, "leg")}
    assert all(row["doubts"] == {"stale": "hold"} for row in of_kind(held, "price"))


async def test_a_price_near_one_is_told_with_the_places_that_matter(folder: MakeFolder, net: Devnet) -> None:
    one = folder("one")
    accounts = [row["account"] for row in (await one.keeper("scan", "--watch", "5", "--json")).rows]
    texts = [row["text"] for account in accounts for row in of_kind((await one.keeper("why", account, "--json")).rows, "liquidation_price")]
    stable = [text for text in texts if text.startswith(("USDC", "DAI"))]
    assert stable
    assert all(re.match(r"\w+ at [01]\.\d{4} usd, ", text) for text in stable)
