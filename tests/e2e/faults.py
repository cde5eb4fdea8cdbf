"""What can go wrong around a running keeper, each from its beginning to its end."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass

from keeper.devnet.names import DEPLOYER, OPERATOR
from keeper.execution.executor import add_operator_data, revoke_operator_data
from keeper.testing.faults import Fault, FaultProxy
from keeper.testing.lies import ElsewhereBound, Forked, Frozen, Lie, LogsMissing, LogsTwice, Nonsense, OldHeads
from tests.e2e.world import World

ALWAYS = 10**9
SLOW_S = 1.0
LOCKED_S = 1.5
DEEPEST = 10
OTHER_STEP_S, PAUSE_S = 13, 3600


@dataclass
class Ground:
    """Where a fault happens: a devnet, and the proxy between it and the keeper's first node. `chance`: whatever is drawn."""

    here: World
    first: FaultProxy
    chance: random.Random

    async def head(self) -> int:
        return int(await self.here.net.request("eth_blockNumber"), 16)

    async def time_s(self) -> int:
        """The newest block's."""
        return int((await self.here.net.request("eth_getBlockByNumber", "latest", False))["timestamp"], 16)


Happening = Callable[[Ground], AbstractAsyncContextManager[None]]


# --- a node -------------------------------------------------------------------------------------------------------


def misbehaving(fault: Fault, **how: float) -> Happening:
    """Every request over HTTP meets it."""

    @asynccontextmanager
    async def happening(ground: Ground) -> AsyncIterator[None]:
        ground.first.fail(fault, times=ALWAYS, seconds=how.get("seconds", 0.0), status=int(how.get("status", 503)))
        yield
        ground.first.heal()

    return happening


def lying(lie: Callable[[Ground, int], Lie], mute: bool = False) -> Happening:
    """Every answer over HTTP is the lie's. `mute`: and its WebSocket is silent."""

    @asynccontextmanager
    async def happening(ground: Ground) -> AsyncIterator[None]:
        ground.first.lie(lie(ground, await ground.head()))
        if mute:
            ground.first.mute()
        yield
        ground.first.heal()

    return happening


@asynccontextmanager
async def websocket_cut(ground: Ground) -> AsyncIterator[None]:
    await ground.first.cut_websockets(refuse=True)
    yield
    ground.first.heal()


@asynccontextmanager
async def socket_half_open(ground: Ground) -> AsyncIterator[None]:
    ground.first.mute()
    yield
    ground.first.heal()


@asynccontextmanager
async def node_restarts(ground: Ground) -> AsyncIterator[None]:
    ground.first.fail(Fault.CUT, times=ALWAYS)
    await ground.first.cut_websockets(refuse=True)
    yield
    ground.first.heal()


NODE: dict[str, Happening] = {
    "websocket_cut": websocket_cut,
    "socket_half_open": socket_half_open,
    "node_restarts": node_restarts,
    "node_hangs": misbehaving(Fault.HANG),
    "too_many_requests": misbehaving(Fault.STATUS, status=429),
    "slow_replies": misbehaving(Fault.DELAY, seconds=SLOW_S),
    "truncated_json": misbehaving(Fault.BAD_JSON),
    "wrong_replies": lying(lambda ground, _: Nonsense(ground.chance.randrange(2**32))),
    "another_chain": lying(lambda *_: ElsewhereBound()),
    "stale_head": lying(lambda _, head: Frozen(head), mute=True),
    "old_heads": lying(lambda ground, _: OldHeads(ground.chance.randrange(2**32))),
    "logs_missing": lying(lambda *_: LogsMissing()),
    "logs_twice": lying(lambda *_: LogsTwice()),
    "nodes_disagree": lying(lambda _, head: Forked(head)),
}

# --- the chain ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def reorg(ground: Ground) -> AsyncIterator[None]:
    """Of blocks that held what happened meanwhile, and more; nothing of it comes back by itself."""
    net, depth = ground.here.net, ground.chance.randint(1, DEEPEST)
    before, base = await net.snapshot(), await ground.head()
    yield
    while await ground.head() < base + depth:
        await net.mine()
    depth = await ground.head() - base
    await net.revert(before)
    for _ in range(depth + 1):
        await net.mine(await ground.time_s() + OTHER_STEP_S)


@asynccontextmanager
async def sequencer_pauses(ground: Ground) -> AsyncIterator[None]:
    """For an hour: the next block is that much later."""
    await ground.here.net.mine(await ground.time_s() + PAUSE_S)
    yield


@asynccontextmanager
async def executor_revoked(ground: Ground) -> AsyncIterator[None]:
    await ground.here.net.transact(DEPLOYER, ground.here.executor, revoke_operator_data(OPERATOR))
    yield
    await ground.here.net.transact(DEPLOYER, ground.here.executor, add_operator_data(OPERATOR))


@asynccontextmanager
async def no_ether_for_gas(ground: Ground) -> AsyncIterator[None]:
    before = await ground.here.net.request("eth_getBalance", OPERATOR, "latest")
    await ground.here.net.request("anvil_setBalance", OPERATOR, hex(10**9))
    yield
    await ground.here.net.request("anvil_setBalance", OPERATOR, before)


CHAIN: dict[str, Happening] = {
    "reorg": reorg,
    "sequencer_pauses": sequencer_pauses,
    "executor_revoked": executor_revoked,
    "no_ether_for_gas": no_ether_for_gas,
}

# --- the machine --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def database_locked(ground: Ground) -> AsyncIterator[None]:
    """By another program, for a while."""
    with closing(sqlite3.connect(ground.here.ledger_file, timeout=10, isolation_level=None, check_same_thread=False)) as connection:
        await asyncio.to_thread(connection.execute, "begin exclusive")
        yield
        await asyncio.sleep(LOCKED_S)
        connection.execute("rollback")


MACHINE: dict[str, Happening] = {"database_locked": database_locked}

FAULTS = {**NODE, **CHAIN, **MACHINE}
