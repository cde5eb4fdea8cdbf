"""The running program on bad days: broken files, full disks, two at once, signals. Each is one clear line, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keeper.config import load
from keeper.devnet import Devnet
from keeper.testing.faults import Fault, FaultProxy
from tests.e2e.cli import NOBODY, Daemon, Ended, Folder, MakeFolder, at_once, crash, placed
from tests.e2e.world import World, assert_ledger_is_the_chain, waiting

BLOCKS_MOST = 100


# --- the databases ------------------------------------------------------------------------------------------------


def noise(path: Path) -> None:
    path.write_bytes(b"\xa5\x5a" * 10_000)


def holed(path: Path) -> None:
    """Its beginning is sound."""
    content = path.read_bytes()
    path.write_bytes(content[:5000] + b"\xff" * (len(content) - 5000))


REBUILT = "move it away and restart; it is rebuilt from the chain"
KEPT = "restore it from a backup or move it away; nothing was changed"


async def test_a_broken_book_is_named_left_alone_and_rebuilt_once_moved_away(folder: MakeFolder, lived_in: Folder) -> None:
    noisy, hole = folder("noisy").like(lived_in), folder("hole").like(lived_in)
    noise(noisy.book)
    holed(hole.book)
    broken = hole.book.read_bytes()
    asked = ((noisy, "run"), (hole, "scan"), (hole, "run"))
    *ends, ledger, checked = await at_once(
        *(one.keeper(*command.split()) for one, command in asked),
        hole.keeper("ledger"),
        noisy.keeper("check", "--json"),
    )
    words = {noisy: f"{noisy.book} is not a database: {REBUILT}", hole: f"{hole.book} is corrupt: {REBUILT}"}
    assert [ended.failed for ended in ends] == [(1, words[one]) for one, _ in asked]
    assert ledger.status == 0
    assert checked.bad()["data"]["detail"] == words[noisy]
    assert hole.book.read_bytes() == broken
    hole.book.rename(hole.path / "away")
    assert (await hole.keeper("run", "--blocks", "1")).status == 0


async def test_a_broken_ledger_stops_the_keeper_before_it_acts_and_is_left_alone(folder: MakeFolder, lived_in: Folder) -> None:
    noisy, hole = folder("noisy").like(lived_in), folder("hole").like(lived_in)
    noise(noisy.ledger)
    holed(hole.ledger)
    broken = hole.ledger.read_bytes()
    asked = ((noisy, "ledger"), (hole, "run"), (hole, f"why {NOBODY}"))
    *ends, checked = await at_once(*(one.keeper(*command.split()) for one, command in asked), noisy.keeper("check", "--json"))
    words = {noisy: f"{noisy.ledger} is not a database: {KEPT}", hole: f"{hole.ledger} is corrupt: {KEPT}"}
    assert [(ended.status, ended.said) for ended in ends] == [(1, [f"keeper: {words[one]}"]) for one, _ in asked]
    assert checked.bad()["data"]["detail"] == words[noisy]
    assert hole.ledger.read_bytes() == broken
    shutil.copy(lived_in.ledger, hole.ledger)
    assert (await hole.keeper("ledger")).status == 0


async def test_files_that_were_swapped_or_are_of_another_chain_are_told_apart(folder: MakeFolder, lived_in: Folder) -> None:
    swapped, other = folder("swapped").like(lived_in), folder("other").like(lived_in).edit(chain_id="1")
    shutil.copy(swapped.ledger, swapped.book)
    run, ledger = await at_once(swapped.keeper("run"), other.keeper("ledger"))
    assert run.failed == (1, f"{swapped.book} is not a keeper book: {REBUILT}")
    assert ledger.failed == (
        2,
        f"{other.ledger} belongs to chain 31337, but the config says chain 1: correct chain_id, or give this chain a data_dir of its own",
    )


async def test_empty_files_are_begun_anew(folder: MakeFolder) -> None:
    """A crash or a full disk in the first moment leaves such."""
    one = folder("empty")
    one.book.parent.mkdir(parents=True)
    one.book.touch()
    one.ledger.touch()
    ledger = await one.keeper("ledger")
    assert ledger.failed == (1, f"{one.ledger} does not exist yet: `keeper run` creates it")
    assert (await one.keeper("run", "--blocks", "1")).status == 0
    assert (await one.keeper("ledger")).status == 0


# --- the disk -----------------------------------------------------------------------------------------------------


class Disk:
    """A file system of its own in memory."""

    def __init__(self, path: Path, size: str) -> None:
        self.path = path
        path.mkdir(parents=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.path / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(b"\0" * 4096):
                pass

    def empty(self) -> None:
        (self.path / "ballast").unlink()


@pytest.fixture
def disk() -> Iterator[Callable[[Path, str], Disk]]:
    disks: list[Disk] = []

    def make(path: Path, size: str) -> Disk:
        disks.append(Disk(path, size))
        return disks[-1]

    yield make
    for mounted in disks:
        subprocess.run(["umount", "--lazy", str(mounted.path)], check=True)


MakeDisk = Callable[[Path, str], Disk]
NO_ROOM = "cannot be written, the disk is full or failing: make room and restart; nothing was half-written"


async def test_a_disk_too_small_to_start_on_is_told_and_room_is_all_it_takes(folder: MakeFolder, disk: MakeDisk) -> None:
    """At every point of a start: the lock, the book, the ledger."""
    sizes = ["4k", "200k", "280k"]
    folders = [folder(size) for size in sizes]
    disks = [disk(one.data, size) for one, size in zip(folders, sizes, strict=True)]
    ends = await at_once(*(one.keeper("run") for one in folders), folders[0].keeper("check", "--json"))
    for one, ended in zip(folders, ends, strict=False):
        assert ended.failed in [(1, f"{path} {NO_ROOM}") for path in (one.book, one.ledger)]
    assert ends[-1].bad()["data"]["fix"] == "make room"
    for mounted in disks:
        mounted.remount("size=20m")
    ends = await at_once(*(one.keeper("run", "--blocks", "1") for one in folders))
    assert [ended.status for ended in ends] == [0] * len(sizes)


@pytest.mark.parametrize("acted", [False, True], ids=["before it acts", "with transactions on their way"])
async def test_a_disk_that_fills_up_under_a_live_keeper_costs_nothing(folder: MakeFolder, disk: MakeDisk, net: Devnet, acted: bool) -> None:
    one = folder("fills")
    mounted = disk(one.data, "8m")
    executor = await placed(net)
    one.live(executor)
    async with one.daemon("--live") as keeper:
        await keeper.until("block")
        if acted:
            await keeper.block(await crash(net))
            assert await waiting(net) > 5
        mounted.fill()
        await crash(net)
        ended = await until_it_ends(keeper, net)
    assert ended.failed in [(1, f"{path} {NO_ROOM}") for path in (one.book, one.ledger)]
    mounted.empty()
    async with one.daemon("--live") as keeper:
        for _ in range(3):
            await keeper.block(await net.mine())
        assert (await keeper.stop()).status == 0
    written = await assert_ledger_is_the_chain(World(net, executor, load(one.config, {})))
    assert len(written) > 5


async def until_it_ends(keeper: Daemon, net: Devnet) -> Ended:
    """The files have some room inside: it may take a few blocks until one must grow."""
    ending = asyncio.ensure_future(keeper.end())
    for _ in range(BLOCKS_MOST):
        await net.mine()
        done, _ = await asyncio.wait({ending}, timeout=0.2)
        if done:
            break
    return await ending


async def test_a_folder_that_cannot_be_written_is_told(folder: MakeFolder, disk: MakeDisk) -> None:
    frozen, file = folder("frozen"), folder("file").edit(data_dir='"operator.key"')
    disk(frozen.data, "4m").remount("ro")
    run, read, checked, taken = await at_once(
        frozen.keeper("run"), frozen.keeper("scan", "--json"), frozen.keeper("check", "--json"), file.keeper("run")
    )
    assert run.failed == (1, f"data folder {frozen.data}/devnet cannot be used: Read-only file system")
    assert read.status == 0
    assert checked.bad()["data"]["detail"] == f"{frozen.data} cannot be written"
    assert taken.failed == (1, f"data folder {file.key}/devnet cannot be used: Not a directory")


# --- two at once, stopping, pipes ---------------------------------------------------------------------------------


async def test_a_second_keeper_on_the_same_folder_is_turned_away_while_readers_are_welcome(folder: MakeFolder) -> None:
    one = folder("two")
    async with one.daemon() as keeper:
        await keeper.until("block")
        second, *readers = await at_once(
            one.keeper("run"),
            *(one.keeper(*command.split()) for command in ("scan --json", "ledger", "check")),
        )
        assert second.failed == (1, f"{one.book} is in use by another keeper (process {keeper.pid}): stop it, or use another data_dir")
        assert [ended.status for ended in readers] == [0] * 3
        assert (await keeper.stop()).status == 0


async def test_both_signals_stop_it_at_once_and_with_status_0(folder: MakeFolder, net: Devnet) -> None:
    async with FaultProxy(net.rpc, net.ws) as proxy:
        for number, node_is_gone in ((signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True)):
            one = folder(f"{number.name} {node_is_gone}").edit(rpc_url=f'"{proxy.url}"', ws_url=f'"{proxy.ws_url}"')
            async with one.daemon() as keeper:
                await keeper.until("block")
                if node_is_gone:
                    proxy.fail(Fault.CUT, times=10**9)
                    await proxy.cut_websockets(refuse=True)
                    await keeper.until("ws_lost")
                async with asyncio.timeout(3):
                    ended = await keeper.stop(number)
            assert (ended.status, ended.said) == (0, [])


async def test_it_ends_by_itself_after_the_blocks_asked_for(folder: MakeFolder, net: Devnet) -> None:
    async with folder("three").daemon("--blocks", "3") as keeper:
        for _ in range(3):
            await keeper.until("block")
            await net.mine()
        ended = await keeper.end()
    assert (ended.status, ended.said) == (0, [])
    assert sum(row["event"] == "block" for row in keeper.log) == 3


async def test_a_reader_that_goes_away_ends_the_command_in_silence(folder: MakeFolder) -> None:
    one = folder("pipe")
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(*one.command("scan", "--json"), stdout=write, stderr=asyncio.subprocess.PIPE)
    os.close(write)
    _, err = await process.communicate()
    assert (process.returncode, err) == (1, b"")


# --- what the answers look like -----------------------------------------------------------------------------------

SCAN = "adapter market account block timestamp health_factor_wad liquidatable weighted_collateral debt unit"
LEDGER = (
    "tx block market account result reason profit_token predicted_profit realised_profit gas_predicted_wei gas_paid_wei net_eth_wei "
    "foreign gains"
)


async def test_json_is_one_object_a_line_with_integers_as_strings(folder: MakeFolder, net: Devnet) -> None:
    one = folder("json")
    one.live(await placed(net))
    assert (await one.keeper("ledger", "--json")).out == ""
    async with one.daemon("--live") as keeper:
        await keeper.until("block")
        await keeper.block(await crash(net))
        await keeper.block(await net.mine())
        await keeper.stop()
    ledger = await one.keeper("ledger", "--json")
    account = ledger.rows[0]["account"]
    scan, why = await at_once(one.keeper("scan", "--json"), one.keeper("why", account, "--json"))
    assert {" ".join(row) for row in scan.rows} == {SCAN}
    assert {" ".join(row) for row in ledger.rows} == {LEDGER}
    assert {row["kind"] for row in why.rows} == {"health", "leg", "liquidation_price", "greek", "hazard", "now", "decision"}
    for row in [*scan.rows, *ledger.rows, *why.rows]:
        assert not any(isinstance(value, int) and not isinstance(value, bool) for value in row.values())
        assert str(int(row["block"])) == row["block"]
