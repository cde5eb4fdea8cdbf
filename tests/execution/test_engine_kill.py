"""Death at every point between the file, the wire and the chain: nothing is sent twice, no nonce is lost, all ends are written down."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from keeper.devnet import Devnet
from keeper.execution.drafts import draft
from keeper.execution.outbox import Outbox
from keeper.execution.states import State
from keeper.execution.submission import Receipt
from keeper.ledger.ledger import Ledger
from keeper.types import Address, Hash, Sent
from tests.execution.rig import SIGNER, Hanging, Rig, intent, rig, stopped


class Killed(BaseException):
    """The process is no more."""


class Doom:
    """Dies at the n-th crossing of a seam; from then on every crossing is dead."""

    def __init__(self, at: int) -> None:
        self.left = at

    def cross(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


class DoomedWire:
    """Death before the bytes leave, or after they arrived."""

    def __init__(self, doom: Doom, it: Rig) -> None:
        self._doom, self._it = doom, it

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        self._doom.cross()
        sent = await self._it.node.send(raw, tx)
        self._doom.cross()
        return sent


class DoomedChain:
    def __init__(self, doom: Doom, it: Rig) -> None:
        self._doom, self._inner = doom, it.receipts

    async def nonce(self, address: Address, tag: Literal["latest", "pending"] = "latest") -> int:
        self._doom.cross()
        return await self._inner.nonce(address, tag)

    async def receipt(self, tx: Hash) -> Receipt | None:
        return await self._inner.receipt(tx)

    async def receipts(self, txs: Sequence[Hash]) -> list[Receipt | None]:
        self._doom.cross()
        return await self._inner.receipts(txs)


def doom(it: Rig, at: int, monkeypatch: pytest.MonkeyPatch) -> Doom:
    """Death waits around every commit, every send and every read of this process."""
    end = Doom(at)
    write = it.ledger.database.write

    async def doomed(work: Callable[[Any], Awaitable[Any]]) -> Any:
        end.cross()
        result = await write(work)
        end.cross()
        return result

    monkeypatch.setattr(it.ledger.database, "write", doomed)
    monkeypatch.setattr(it.engine, "_chain", DoomedChain(end, it))
    it.wire.relay = DoomedWire(end, it)
    return end


async def life(it: Rig) -> None:
    """A process's whole work: a batch, a block, another batch with a refusal that leaves a hole, a block, and the news."""
    await it.submit(intent(0), intent(1))
    await it.engine.acknowledge(await it.mine())
    await it.submit(intent(2), intent(3, gas=20_000), intent(4))
    await it.engine.acknowledge(await it.mine())


async def dies(net: Devnet, folder: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, list[Hash]]:
    """Run until death; returns whether it died, and what passed over the wire."""
    async with rig(net, folder) as it:
        doom(it, at, monkeypatch)
        try:
            await life(it)
        except Killed:
            return True, it.wire.passed
        return False, it.wire.passed


async def start_over_and_over(it: Rig) -> None:
    while True:
        await it.engine.recover(await it.head())


async def check_after(net: Devnet, folder: Path, first_nonce: int) -> None:
    """A new process finds an outbox that agrees with the chain, finishes what was begun, and goes on without a hole."""
    async with stopped(net, folder) as it:
        await it.engine.acknowledge(await it.engine.recover(await it.head()))
        for _ in range(4):
            await it.engine.acknowledge(await it.mine())
        assert it.engine.pending() == 0
        [last] = await it.submit(intent(9))
        assert last.nonce == await it.nonce()
        assert [n.state for n in await it.mine()] == [State.INCLUDED]
        await check_chain(it, first_nonce)


async def check_chain(it: Rig, first_nonce: int) -> None:
    """Every nonce the chain used is ours in exactly one landed row, and no intent landed twice."""
    query = "SELECT nonce, tx, account, state, plan_json FROM outbox"
    rows = (await it.ledger.database.read(lambda connection: connection.exec_driver_sql(query))).all()
    landed = [row for row in rows if row.state in {"included", "reverted"}]
    assert sorted(row.nonce for row in landed) == list(range(first_nonce, await it.nonce()))
    intents = Counter(row.account for row in landed if row.plan_json)
    assert set(intents.values()) <= {1}
    receipts = await it.receipts.receipts([Hash(row.tx) for row in landed])
    assert all(receipts)


async def test_death_at_any_point_sends_nothing_twice_and_loses_no_nonce(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = 0
    died = True
    while died:
        snapshot = await net.snapshot()
        folder = tmp_path / str(at)
        async with stopped(net, folder) as it:
            first_nonce = await it.nonce()
        died, passed = await dies(net, folder, at, monkeypatch)
        assert set(Counter(passed).values()) <= {1}
        await check_after(net, folder, first_nonce)
        await net.revert(snapshot)
        at += 1
    assert at > 25


async def test_a_process_that_dies_twice_still_ends_right(net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(1, 14):
        snapshot = await net.snapshot()
        folder = tmp_path / str(at)
        async with stopped(net, folder) as it:
            first_nonce = await it.nonce()
        await dies(net, folder, 4, monkeypatch)
        async with stopped(net, folder) as it:
            doom(it, at, monkeypatch)
            with pytest.raises(Killed):
                await start_over_and_over(it)
        await check_after(net, folder, first_nonce)
        await net.revert(snapshot)


async def test_a_cancelled_submit_is_as_safe_as_a_kill(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        first_nonce = await it.nonce()
        it.wire.relay = slow = Hanging(it.node)
        task = asyncio.create_task(it.submit(intent(0), intent(1)))
        await slow.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [s.state for s in it.outbox.unresolved()] == [State.SIGNED] * 2
    await check_after(net, tmp_path, first_nonce)


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.execution.test_engine_kill import journal_for_ever
asyncio.run(journal_for_ever(Path(sys.argv[1])))
"""


async def journal_for_ever(folder: Path) -> None:
    """Journal one submission after another, each printed when it is said to be durable."""
    ledger = await Ledger.open(folder / "ledger.sqlite", 1)
    outbox = Outbox(ledger.database, 1, SIGNER.address)
    await outbox.load(0, 0)
    nonce = 0
    while True:
        [saved] = await outbox.add([draft(SIGNER, 1, intent(nonce), nonce)])
        print(saved.tx, flush=True)
        nonce += 1


async def test_what_was_said_to_be_journalled_survives_a_real_sigkill(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, str(tmp_path), stdout=PIPE)
    assert child.stdout is not None
    printed = [await child.stdout.readline() for _ in range(40)]
    child.kill()
    printed += (await child.stdout.read()).splitlines()
    await child.wait()
    ledger = await Ledger.open(tmp_path / "ledger.sqlite", 1)
    outbox = Outbox(ledger.database, 1, SIGNER.address)
    await outbox.load(0, 0)
    await ledger.close()
    found = [s.tx for s in outbox.live]
    assert found[: len(printed)] == [line.decode().strip() for line in printed]
    assert [s.nonce for s in outbox.live] == list(range(len(found)))
