"""The running program in clumsy hands and on bad days: each mistake is one clear line and the right status, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from eth_account import Account

from keeper.address import checksum
from keeper.config import load
from keeper.devnet import Devnet
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR, OPERATOR_KEY
from keeper.testing.faults import Fault, FaultProxy
from keeper.types import Address
from tests.e2e.calls import EXECUTOR
from tests.e2e.cli import Daemon, Ended, Folder, deployed
from tests.e2e.world import World, assert_ledger_is_the_chain, waiting

NOBODY = "0x" + "11" * 20
API_KEY = "c0ffee4pikey"
FALL = {"WETH": 85, "wstETH": 85, "WBTC": 88, "LINK": 85}
BLOCKS_MOST = 100


@pytest.fixture
def folder(tmp_path: Path, net: Devnet) -> Callable[[str], Folder]:
    return lambda name: Folder(tmp_path / name, net)


@pytest.fixture(scope="module")
async def lived_in(tmp_path_factory: pytest.TempPathFactory, devnet: Devnet) -> Folder:
    """A keeper has run here."""
    one = Folder(tmp_path_factory.mktemp("lived in"), devnet)
    assert (await one.keeper("run", "--blocks", "1")).status == 0
    return one


MakeFolder = Callable[[str], Folder]


async def at_once(*runs: object) -> list[Ended]:
    return await asyncio.gather(*runs)  # type: ignore[call-overload,no-any-return]


async def placed(net: Devnet) -> Address:
    """An executor on the chain."""
    receipt = await net.transact(DEPLOYER, None, EXECUTOR.creation((DEPLOYER, BENEFICIARY, [OPERATOR]), {}))
    return Address(receipt["contractAddress"].lower())


async def crash(net: Devnet) -> int:
    """A block after which some accounts are liquidatable."""
    prices = await net.prices()
    await net.set_prices({symbol: prices[symbol] * percent // 100 for symbol, percent in FALL.items()})
    return await net.mine()


# --- addresses ----------------------------------------------------------------------------------------------------


def mistyped(address: str) -> str:
    """The right characters, one of them in the wrong case."""
    good = checksum(address)
    index = next(index for index in range(2, 42) if good[index].isalpha())
    return good[:index] + good[index].swapcase() + good[index + 1 :]


async def test_a_wrong_address_is_named_with_what_belongs_there(folder: MakeFolder, net: Devnet) -> None:
    names = net.addresses
    market, venue = names["aave_v36.provider"], names["uniswap.factory"]
    where, what = "chains.devnet.aave-v36.address: ", "Aave v3 PoolAddressesProvider"
    cases = {
        "typo": (market, NOBODY, f"{where}no contract at {NOBODY}; expected an {what}"),
        "token": (market, names["token.USDC"], f"{where}{names['token.USDC']} is not an {what}"),
        "factory": (market, venue, f"{where}{venue} is not an {what}"),
        "provider": (venue, market, f"chains.devnet.uniswap.address: {market} is not a Uniswap v3 factory"),
        "no venue": (venue, NOBODY, f"chains.devnet.uniswap.address: no contract at {NOBODY}; expected a Uniswap v3 factory"),
    }
    folders = {name: folder(name).swap(f'"{old}"', f'"{new}"') for name, (old, new, _) in cases.items()}
    *ends, scanned, checked = await at_once(
        *(one.keeper("run") for one in folders.values()), folders["typo"].keeper("scan"), folders["provider"].keeper("check", "--json")
    )
    said = [*(ended.failed for ended in (*ends, scanned)), (2, checked.bad()["markets"]["detail"])]
    for (status, line), (_, _, message) in zip(said, [*cases.values(), cases["typo"], cases["provider"]], strict=True):
        assert status == 2
        assert line.startswith(message)
        assert line.endswith(": correct it in the config")


async def test_an_address_that_is_mistyped_or_missing_is_found_before_any_node_is_asked(folder: MakeFolder, net: Devnet) -> None:
    market = net.addresses["aave_v36.provider"]
    wrong, empty = folder("wrong").swap(market, mistyped(market)), folder("empty").swap(market, "")
    ends = await at_once(wrong.keeper("run"), empty.keeper("scan"), wrong.keeper("why", "0x12"), wrong.keeper("why", mistyped(market)))
    status, said = ends[0].failed
    assert (status, said) == (
        2,
        f"{wrong.config}: chains.0.markets.0.address has a wrong checksum, so a character is mistyped: {mistyped(market)} "
        "(EIP-55; lower case carries no checksum)",
    )
    assert ends[1].failed == (2, f"{empty.config}: chains.0.markets.0.address must be an address, 0x and 40 hex digits, was ''")
    assert [ended.status for ended in ends[2:]] == [2, 2]
    assert ends[2].said[0].startswith("keeper why: Invalid value for 'ADDRESS': must be an address, 0x and 40 hex digits, was '0x12'")
    assert ends[3].said[0].startswith("keeper why: Invalid value for 'ADDRESS': has a wrong checksum")


# --- the node -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def answering(reply: bytes | None) -> AsyncIterator[int]:
    """A port that answers anything with this, or takes connections and never says a word."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reply is None:
            await over.wait()
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()


HTML = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>"


async def test_a_node_that_is_not_there_or_is_none_fails_soon_and_clearly(folder: MakeFolder) -> None:
    async with answering(None) as silent, answering(HTML) as website:
        closed = 9
        reasons = {
            closed: "cannot be reached (connection refused)",
            silent: "no answer to eth_chainId within 3 s",
            website: "HTTP 200 and no JSON in answer to eth_chainId",
        }
        folders = {port: folder(str(port)).edit(rpc_url=f'"http://127.0.0.1:{port}/v2/{API_KEY}"') for port in reasons}
        for one in folders.values():
            one.hide(API_KEY)
        asked = [(silent, "run"), (silent, "scan"), (closed, "run"), (closed, "deploy"), (closed, f"why {NOBODY}"), (website, "run")]
        *ends, checked, ledger = await at_once(
            *(folders[port].keeper(*command.split()) for port, command in asked),
            folders[closed].keeper("check", "--json"),
            folders[closed].keeper("ledger"),
        )
    for (port, _), ended in zip(asked, ends, strict=True):
        assert ended.failed == (1, f"node of devnet: {reasons[port]}: start it, or correct rpc_url of chain devnet")
    assert checked.bad()["node"]["fix"] == "start the node, or correct rpc_url"
    assert (ledger.status, ledger.out) == (0, "nothing to show\n")


async def test_a_dead_websocket_alone_is_survived_and_told(folder: MakeFolder) -> None:
    one = folder("ws").edit(ws_url=f'"ws://127.0.0.1:9/{API_KEY}"')
    one.hide(API_KEY)
    ran, checked = await at_once(one.keeper("run", "--blocks", "1"), one.keeper("check", "--json"))
    assert ran.status == 0
    assert "cannot connect" in ran.err
    assert list(checked.bad()) == ["websocket"]


async def test_a_node_of_another_chain_is_refused(folder: MakeFolder) -> None:
    one = folder("chain").edit(chain_id="1")
    *ends, checked = await at_once(*(one.keeper(name) for name in ("run", "deploy")), one.keeper("check", "--json"))
    message = "chain devnet: chain_id is 1 in the config, but its node is on chain 31337: correct chain_id or rpc_url"
    assert [ended.failed for ended in ends] == [(2, message)] * 2
    assert checked.bad()["chain id"]["fix"] == "set chain_id = 31337, or use another node"


async def test_a_node_that_dies_under_the_keeper_is_waited_for_and_nothing_is_missed(folder: MakeFolder, net: Devnet) -> None:
    async with FaultProxy(net.rpc, net.ws) as proxy:
        one = folder("dies").edit(rpc_url=f'"{proxy.url}"', ws_url=f'"{proxy.ws_url}"')
        async with one.daemon() as keeper:
            await keeper.until("block")
            proxy.fail(Fault.CUT, times=10**9)
            await proxy.cut_websockets(refuse=True)
            await keeper.until("feed_waits")
            await crash(net)
            block = await net.mine()
            proxy.heal()
            row = await keeper.block(block)
            assert (await keeper.stop()).status == 0
        due = [row for row in (await one.keeper("scan", "--json", "--next")).rows if row["liquidatable"]]
    assert row["candidates"] == len(due) > 5


# --- the key ------------------------------------------------------------------------------------------------------


def keystore(folder: Folder, password: str) -> Folder:
    encrypted = Account.encrypt(bytes.fromhex(OPERATOR_KEY.removeprefix("0x")), "right", kdf="pbkdf2", iterations=10)
    (folder.path / "operator.json").write_text(json.dumps(encrypted))
    (folder.path / "password").write_text(password)
    return folder.swap('key_file = "operator.key"', 'keystore = "operator.json"\npassword_file = "password"')


async def test_a_key_that_is_none_is_named_and_never_shown(folder: MakeFolder) -> None:
    empty, short, absent = folder("empty"), folder("short"), folder("absent")
    empty.write_key("")
    short.write_key("0xabcdef012345")
    short.hide("abcdef012345")
    absent.key.unlink()
    cases = {
        empty: f"key file {empty.key}: must be a private key of 64 hex digits, is empty",
        short: f"key file {short.key}: must be a private key of 64 hex digits, has 12 characters",
        absent: f"{absent.key}: no such file; see [chains.signer] in the config",
        keystore(folder("locked"), "wrong"): "keystore {path}/operator.json: the password is wrong",
        folder("unset").swap('key_file = "operator.key"', 'key_env = "NO_SUCH_KEY"'): "environment variable NO_SUCH_KEY: is not set or "
        "empty; [chains.signer] in the config names it",
    }
    ends = await at_once(*(one.keeper("run") for one in cases))
    for (one, message), ended in zip(cases.items(), ends, strict=True):
        assert ended.failed == (2, message.format(path=one.path))
    checked, opened = await at_once(empty.keeper("check", "--json"), keystore(folder("open"), "right").keeper("check", "--json"))
    assert {name: row["detail"] for name, row in checked.bad().items()} == {"key": cases[empty]}
    assert opened.bad() == {}


# --- the config ---------------------------------------------------------------------------------------------------


async def test_a_config_with_mistakes_is_refused_with_the_key_and_what_was_expected(folder: MakeFolder, net: Devnet) -> None:
    provider, usdc = net.addresses["aave_v36.provider"], net.addresses["token.USDC"]
    unknown = folder("unknown").swap("mode =", "mdoe =")
    missing = folder("missing")
    missing.config.unlink()
    nested, dry, bare = folder("nested").swap("key_file =", "keyfile ="), folder("dry").live(NOBODY), folder("bare").edit(mode='"live"')
    dry.edit(mode='"dry-run"')
    late, none, other = folder("late").edit(block_time_s='"soon"'), folder("none").live(NOBODY), folder("other").live(usdc)
    priced = folder("priced").edit(native_token=f'"{provider}"')
    executor = "chains.devnet.executor.address: "
    cases = [
        (unknown, "run", f"{unknown.config}: mdoe is not a known key, did you mean 'mode'?"),
        (nested, "run", f"{nested.config}: chains.0.signer.keyfile is not a known key, did you mean 'key_file'?"),
        (late, "scan", f"{late.config}: chains.0.block_time_s must be an integer of 1 or more, was 'soon'"),
        (missing, "run", f"{missing.config}: no such file; name one with --config, or start from a copy of config/keeper.example.toml"),
        (dry, "run --live", f'{dry.config}: mode must be "live" for --live, was "dry-run"'),
        (
            bare,
            "run --live",
            f"{bare.config}: chains.0.executor.address is missing: --live needs the deployed executor (see `keeper deploy`)",
        ),
        (none, "run --live", f"{executor}no contract at {NOBODY}; see `keeper deploy`"),
        (other, "run --live", f"{executor}{usdc} is not an executor; see `keeper deploy`"),
        (priced, "run", f"chains.devnet.native_token: no market lists {provider}: name the wrapped token in which gas is paid"),
        (priced, f"why {NOBODY} --market foo", "no market is named 'foo': there are aave-v36, aave-v302"),
    ]
    ends = await at_once(*(one.keeper(*command.split()) for one, command, _ in cases))
    for (_, _, message), ended in zip(cases, ends, strict=True):
        assert ended.failed[1].endswith(message.removeprefix("keeper: "))
        assert ended.status == 2
    checks = await at_once(*(one.keeper("check", "--json") for one in (priced, none)))
    assert [list(ended.bad()) for ended in checks] == [["native token"], ["executor"]]


async def test_going_live_needs_a_key_that_may_and_can_pay(folder: MakeFolder, net: Devnet) -> None:
    executor = await deployed(folder("deploy"), net)
    stranger = folder("stranger").live(executor)
    stranger.write_key("0x" + "22" * 32)
    stranger.hide("22" * 32)
    poor = folder("poor").live(executor)
    await net.request("anvil_setBalance", OPERATOR, "0x0")
    refused, broke, unfunded, checked = await at_once(
        stranger.keeper("run", "--live"), poor.keeper("run", "--live"), poor.keeper("deploy"), poor.keeper("check", "--json")
    )
    address = Account.from_key("0x" + "22" * 32).address.lower()
    where = "chains.devnet.executor.address"
    assert refused.failed == (2, f"{where}: {address} is not an operator of {executor}; its owner can add it")
    assert broke.failed == (1, f"chains.devnet.signer: {OPERATOR} has no eth to pay for gas: send it some")
    assert unfunded.failed == (1, f"the node refuses the deployment: insufficient_funds (sender {OPERATOR})")
    assert {name: row["fix"] for name, row in checked.bad().items()} == {"balance": f"send eth for gas to {OPERATOR}"}
    await net.request("anvil_setBalance", OPERATOR, hex(10**18))
    assert (await poor.keeper("run", "--live", "--blocks", "1")).status == 0


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
    "tx block market account result reason profit_token predicted_profit realised_profit gas_predicted_wei gas_paid_wei net_eth_wei foreign"
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
    assert {row["kind"] for row in why.rows} == {"health", "leg", "liquidation_price", "now", "decision"}
    for row in [*scan.rows, *ledger.rows, *why.rows]:
        assert not any(isinstance(value, int) and not isinstance(value, bool) for value in row.values())
        assert str(int(row["block"])) == row["block"]
