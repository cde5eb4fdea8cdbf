"""`keeper scan` equals the chain: the daemon's own book and feed, over random states of both markets, now and at the landing block."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keeper.app import Chain, open_chain
from keeper.commands.scan import healths
from keeper.config import load
from keeper.devnet import Devnet
from keeper.types import Address
from tests.adapters.world import World

STATES = 200
MARKETS = {"aave-v36": "aave_v36", "aave-v302": "aave_v302"}
STEPS_S = (0, 1, 12, 12, 12, 600, 86_400, 30 * 86_400)


class Play:
    """Random life, one block at a time."""

    def __init__(self, net: Devnet) -> None:
        self.net = net
        self.world = World(net, random.Random(7))
        self.users = {name: [b.address for b in net.population if b.market == name] for name in MARKETS.values()}

    async def prepare(self) -> None:
        await self.world.prepare([user for users in self.users.values() for user in users], list(MARKETS.values()))
        await self.net.mine()

    async def block(self) -> None:
        rng, world = self.world.rng, self.world
        actions = world.tick(0.1)
        for name, users in self.users.items():
            actions += [world.action(name, users) for _ in range(rng.randrange(1, 5))]
            actions += world.leverage(name, rng.choice(users)) if rng.random() < 0.7 else []
            actions += [world.governance(name)] if rng.random() < 0.2 else []
        await world.send(actions)
        head = await self.net.request("eth_getBlockByNumber", "latest", False)
        await self.net.mine(int(head["timestamp"], 16) + rng.choice(STEPS_S))


async def truth(net: Devnet, market: str, accounts: Sequence[Address], block: int, time_s: int | None) -> list[tuple[int, ...]]:
    """getUserAccountData of each, at a block, and if given as if it were `time_s`."""
    pool = f"{MARKETS[market]}.pool"
    override: list[Any] = [] if time_s is None else [{}, {"time": hex(time_s)}]
    calls = [
        (
            "eth_call",
            [{"to": net.addresses[pool], "data": "0x" + net.encode(pool, "getUserAccountData", account).hex()}, hex(block), *override],
        )
        for account in accounts
    ]
    return [net.contract(pool).decode("getUserAccountData", 1, bytes.fromhex(reply[2:])) for reply in await net.batch(calls)]


async def compare(net: Devnet, rows: Sequence[dict[str, Any]], head: int, landing: bool, seen: Counter[str]) -> None:
    for market in MARKETS:
        mine = [row for row in rows if row["market"] == market]
        time_s = int(mine[0]["timestamp"]) if landing else None
        theirs = await truth(net, market, [row["account"] for row in mine], head, time_s)
        for row, (_, debt, _, _, _, health_factor) in zip(mine, theirs, strict=True):
            assert (int(row["health_factor_wad"]), int(row["debt"])) == (health_factor, debt), row
            assert row["liquidatable"] == (health_factor < 10**18)
            assert int(row["block"]) == head + landing
            seen.update(["compared", *(["liquidatable"] if health_factor < 10**18 else [])])


async def borrowers_on_chain(net: Devnet, play: Play) -> set[tuple[str, Address]]:
    """Everybody who owes something by the chain's own word."""
    found = set()
    for market, name in MARKETS.items():
        users = play.users[name]
        head = int((await net.request("eth_getBlockByNumber", "latest", False))["number"], 16)
        found |= {(market, user) for user, data in zip(users, await truth(net, market, users, head, None), strict=True) if data[1]}
    return found


async def test_scan_equals_the_chain_in_every_random_state_now_and_at_the_landing_block(net: Devnet, tmp_path: Path) -> None:
    play, seen = Play(net), Counter[str]()
    await play.prepare()
    settings = load(net.config, {"KEEPER_DATA_DIR": str(tmp_path)})
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=True) as chain:
        for _ in range(STATES):
            await play.block()
            await chain.catch_up()
            await compare(net, healths(chain), chain.head.number, False, seen)
            due = healths(chain, next_block=True)
            await compare(net, due, chain.head.number, True, seen)
            watched_is_due(chain, due, play.world.rng, seen)
        await nobody_is_missed(net, play, chain)
    assert seen["compared"] > 10_000
    assert seen["liquidatable"] > 500
    assert seen["watched"] > 200


def watched_is_due(chain: Chain, due: Sequence[dict[str, Any]], rng: random.Random, seen: Counter[str]) -> None:
    """The set the tick engine keeps is who is liquidatable, but for debts that could not earn half the gas of a liquidation."""
    landing = chain.landing(chain.head)
    found = {(c.market_name, c.account) for c in chain.watch.candidates(chain.view, landing)}
    liquidatable = {(row["market"], row["account"]): row["debt"] for row in due if row["liquidatable"]}
    assert found <= liquidatable.keys()
    gas_wei = 200_000 * (landing.base_fee_wei + chain.settings.bidding.min_priority_fee_wei)
    for market, account in liquidatable.keys() - found:
        cost = next(m for m in chain.markets if m.name == market).value(chain.view, chain.settings.native_token, gas_wei)
        assert cost is not None
        assert liquidatable[market, account] < 10 * cost
        seen["parked"] += 1
    seen["watched"] += len(found)
    if rng.random() < 0.5:
        chain.watch.engine.recentre()


async def nobody_is_missed(net: Devnet, play: Play, chain: Chain) -> None:
    rows = {(row["market"], row["account"]) for row in healths(chain)}
    assert await borrowers_on_chain(net, play) <= rows


async def test_the_command_prints_those_rows(net: Devnet, tmp_path: Path) -> None:
    play = Play(net)
    await play.prepare()
    for _ in range(10):
        await play.block()
    head = int((await net.request("eth_getBlockByNumber", "latest", False))["number"], 16)
    keeper = Path(sys.executable).with_name("keeper")
    for flags, landing in (([], False), (["--next"], True)):
        process = await asyncio.create_subprocess_exec(
            keeper, "scan", "--json", *flags, "--config", net.config, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        rows = [json.loads(line) for line in output.splitlines()]
        keys = "adapter market account block timestamp health_factor_wad liquidatable weighted_collateral debt unit"
        assert all(list(row) == keys.split() for row in rows)
        assert all(isinstance(row["health_factor_wad"], str) for row in rows)
        await compare(net, rows, head, landing, Counter())
