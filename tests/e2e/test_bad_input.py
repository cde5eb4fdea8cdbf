"""The running program in clumsy hands: each mistake is one clear line that names the thing and the fix, and the right status."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from eth_account import Account

from keeper.address import checksum
from keeper.devnet import Devnet
from keeper.devnet.names import OPERATOR, OPERATOR_KEY
from keeper.testing.faults import Fault, FaultProxy
from tests.e2e.cli import NOBODY, Folder, MakeFolder, at_once, crash, deployed

API_KEY = "c0ffee4pikey"


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
    assert (
        ends[2]
        .said[0]
        .startswith(
            "keeper why: Invalid value for 'ADDRESS|TX': must be an address, 0x and 40 hex digits, or a transaction, 0x and 64, was '0x12'"
        )
    )
    assert ends[3].said[0].startswith("keeper why: Invalid value for 'ADDRESS|TX': has a wrong checksum")


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
    optional = folder("optional").swap('adapter = "aave-v3"\n', 'adapter = "aave-v3"\noptions = { tokens = [] }\n')
    executor = "chains.devnet.executor.address: "
    option = "chains.devnet.aave-v36.options.tokens: there is no such option: this adapter has none: correct it in the config"
    cases = [
        (optional, "scan", option),
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
        (priced, "run", f"chains.devnet.native_token: nothing trades {provider}: name the wrapped token in which gas is paid"),
        (priced, f"why {NOBODY} --market foo", "no market is named 'foo': there are aave-v36, aave-v302, morpho, perp, yield"),
    ]
    ends = await at_once(*(one.keeper(*command.split()) for one, command, _ in cases))
    for (_, _, message), ended in zip(cases, ends, strict=True):
        assert ended.failed[1].endswith(message.removeprefix("keeper: "))
        assert ended.status == 2
    checks = await at_once(*(one.keeper("check", "--json") for one in (priced, none)))
    assert [list(ended.bad()) for ended in checks] == [["native token"], ["executor"]]


async def test_a_port_that_is_taken_is_named(folder: MakeFolder) -> None:
    async with answering(None) as port:
        one = folder("port").swap("data_dir =", f"metrics_port = {port}\ndata_dir =")
        assert (await one.keeper("run")).failed == (1, f"metrics_port {port}: Address already in use: use another, or 0 for none")


async def test_going_live_needs_a_key_that_may_and_can_pay(folder: MakeFolder, net: Devnet) -> None:
    executor = await deployed(folder("deploy"), net)
    stranger = folder("stranger").live(executor)
    stranger.write_key("0x" + "22" * 32)
    stranger.hide("22" * 32)
    poor = folder("poor").live(executor)
    await net.request("anvil_setBalance", OPERATOR, "0x0")
    refused, broke, unfunded, checked = await at_once(
        stranger.keeper("run", "--live"), poor.keeper("run", "--live"), poor.keeper("deploy", "--again"), poor.keeper("check", "--json")
    )
    address = Account.from_key("0x" + "22" * 32).address.lower()
    where = "chains.devnet.executor.address"
    assert refused.failed == (2, f"{where}: {address} is not an operator of {executor}; its owner can add it")
    assert broke.failed == (1, f"chains.devnet.signer: {OPERATOR} has no eth to pay for gas: send it some")
    assert unfunded.failed == (1, f"the node refuses the deployment: insufficient_funds (sender {OPERATOR})")
    bad = checked.bad()
    assert {name: row["fix"] for name, row in bad.items()} == {"balance": f"send eth for gas to {OPERATOR}"}, bad
    await net.request("anvil_setBalance", OPERATOR, hex(10**18))
    assert (await poor.keeper("run", "--live", "--blocks", "1")).status == 0
