"""The command line: what it imports, what it prints, and how every kind of error ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from keeper import __version__, cli
from keeper.errors import ConfigError, Halt, Skip, Transient
from keeper.secret import Secret, hide

EXAMPLE = str(Path(__file__).parent.parent / "config" / "keeper.example.toml")
COMMANDS = ["demo", "devnet", "check", "run", "deploy", "scan", "why", "stress", "ledger", "config", "adapters", "adapter"]
ACCOUNT = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


Keeper = Callable[..., Result]


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Keeper:
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("KEEPER_DEBUG", raising=False)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["keeper", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Put a function in the place of a command's."""

    def replace(name: str, function: Any) -> None:
        module = ModuleType(f"keeper.commands.{name}")
        setattr(module, name, function)
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return replace


def failing(error: BaseException) -> Any:
    async def command(*_: object, **__: object) -> None:
        raise error

    return command


def answering(*rows: dict[str, Any]) -> Any:
    async def command(*_: object, **__: object) -> list[dict[str, Any]]:
        return list(rows)

    return command


def calls(seen: list[Any]) -> Any:
    async def command(*arguments: object, **options: object) -> None:
        seen.append((arguments[1:], options))

    return command


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False)


# --- help ---------------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from keeper import cli
try:
    cli.main()
except SystemExit as ended:
    heavy = {"web3", "eth_account", "eth_abi", "numpy", "sqlalchemy", "vyper", "aiohttp", "structlog", "keeper.config", "keeper.app"}
    print("HEAVY", sorted(heavy & set(sys.modules)))
    raise
"""
    result = python(code, "--help")
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, "HEAVY []")


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_explains_itself(keeper: Keeper, name: str, flag: str) -> None:
    result = keeper(*([name] if name else []), flag)
    assert (result.status, result.err) == (0, "")
    assert f"Usage: keeper{' ' if name else ''}{name}" in result.out


def test_the_help_lists_every_command(keeper: Keeper) -> None:
    out = keeper("--help").out
    assert [name for name in COMMANDS if f" {name} " not in out] == []


def test_the_version_is_the_packages(keeper: Keeper) -> None:
    assert keeper("--version") == Result(0, f"keeper {__version__}\n", "")


# --- arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "keeper: No such command 'rnu'. Did you mean 'run'? (see keeper -h)"),
        (["run", "--foo"], "keeper run: No such option: --foo (see keeper run -h)"),
        (["run", "--blocks", "0"], "keeper run: Invalid value for '--blocks'"),
        (["demo", "--accounts", "many"], "keeper demo: Invalid value for '--accounts'"),
        (["why"], "keeper why: Missing argument 'ADDRESS|TX'"),
        (
            ["why", "0x12"],
            "keeper why: Invalid value for 'ADDRESS|TX': must be an address, 0x and 40 hex digits, or a transaction, 0x and 64, was '0x12'",
        ),
        (["why", ACCOUNT.replace("5a", "5A")], "keeper why: Invalid value for 'ADDRESS|TX': has a wrong checksum"),
        (["deploy", "--owner", "me"], "keeper deploy: Invalid value for '--owner': must be an address"),
        (["scan", "--below", "x"], "keeper scan: Invalid value for '--below': must be a number such as 1.05, was 'x'"),
        (["scan", "--below", "nan"], "keeper scan: Invalid value for '--below': must be a number such as 1.05, was 'nan'"),
        (["config", "shw"], "keeper config: No such command 'shw'. Did you mean 'show'? (see keeper config -h)"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(keeper: Keeper, arguments: list[str], message: str) -> None:
    result = keeper(*arguments)
    assert (result.status, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert result.err.startswith(message)


def test_no_command_is_a_request_for_help(keeper: Keeper) -> None:
    result = keeper()
    assert result.status == 2
    assert "Usage: keeper" in result.out
    assert result.err == ""


def test_arguments_arrive_checked_and_exact(keeper: Keeper, command: Callable[[str, Any], None]) -> None:
    seen: list[Any] = []
    for name in ("scan", "why", "ledger", "deploy", "demo"):
        command(name, calls(seen))
    keeper("scan", "-c", EXAMPLE, "--next", "--below", "1.05")
    keeper("why", ACCOUNT, "-c", EXAMPLE, "--market", "m")
    keeper("ledger", "-c", EXAMPLE, "--limit", "3")
    keeper("deploy", "-c", EXAMPLE, "--owner", ACCOUNT)
    keeper("demo", "--keep", "--seed", "9")
    assert seen == [
        ((), {"next_block": True, "below_wad": 105 * 10**16}),
        ((ACCOUNT.lower(),), {"market": "m"}),
        ((), {"limit": 3}),
        ((ACCOUNT.lower(), None, None, False), {}),
        ((), {"keep": True, "dry_run": False, "accounts": 40, "seed": 9, "as_json": False}),
    ]


def test_a_scan_is_complete_in_json_and_near_the_edge_in_a_table(keeper: Keeper, command: Callable[[str, Any], None]) -> None:
    seen: list[Any] = []
    command("scan", calls(seen))
    for flags in ([], ["--json"], ["--all"], ["--all", "--below", "2"]):
        keeper("scan", "-c", EXAMPLE, *flags)
    assert [options["below_wad"] for _, options in seen] == [11 * 10**17, None, None, 2 * 10**18]


# --- config -------------------------------------------------------------------------------------------------------


def test_a_missing_config_says_what_to_do(keeper: Keeper) -> None:
    result = keeper("config", "show")
    assert (result.status, result.out) == (2, "")
    assert (
        result.err
        == "keeper: config/keeper.toml: no such file; name one with --config, or start from a copy of config/keeper.example.toml\n"
    )


def test_the_config_may_be_named_by_the_environment(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPER_CONFIG", EXAMPLE)
    assert 'rpc_url = "***"' in keeper("config", "show").out


def test_config_show_masks_secrets_and_applies_the_environment(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPER_CHAINS__0__RPC_URL", "https://node.example/verysecretapikey")
    monkeypatch.setenv("KEEPER_METRICS_PORT", "9100")
    row = json.loads(keeper("config", "show", "--json", "-c", EXAMPLE).out)
    assert (row["metrics_port"], row["chains"][0]["rpc_url"]) == ("9100", "***")


def test_config_schema_is_a_json_schema(keeper: Keeper) -> None:
    pretty, line = keeper("config", "schema").out, keeper("config", "schema", "--json").out
    assert json.loads(pretty) == json.loads(line)
    assert line.count("\n") == 1
    assert json.loads(line)["properties"]["chains"]["minItems"] == 1


def test_every_mistake_in_a_config_has_its_line(keeper: Keeper, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("mod = 1\nchains = 7\n")
    result = keeper("config", "show", "-c", str(path))
    assert result.status == 2
    assert result.err.splitlines() == [
        f"keeper: {path}: chains must be a list of tables, was a number",
        f"keeper: {path}: mod is not a known key, did you mean 'mode'?",
    ]


def test_going_live_takes_two_acts(keeper: Keeper, command: Callable[[str, Any], None]) -> None:
    seen: list[Any] = []
    command("run", calls(seen))
    refused = keeper("run", "--live", "-c", EXAMPLE)
    assert refused.status == 2
    assert refused.err.splitlines()[0] == f'keeper: {EXAMPLE}: mode must be "live" for --live, was "dry-run"'
    assert seen == []
    assert keeper("run", "-c", EXAMPLE, "--blocks", "2").status == 0
    assert seen == [((), {"live": False, "blocks": 2, "record": None})]


# --- output -------------------------------------------------------------------------------------------------------


def test_rows_are_json_lines_with_integers_as_strings(keeper: Keeper, command: Callable[[str, Any], None]) -> None:
    command("ledger", answering({"tx": "0x1", "block": 2**70, "won": True, "at": 1.5, "none": None, "more": {"n": [1]}}, {"tx": "0x2"}))
    lines = keeper("ledger", "--json", "-c", EXAMPLE).out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"tx": "0x1", "block": str(2**70), "won": True, "at": 1.5, "none": None, "more": {"n": ["1"]}},
        {"tx": "0x2"},
    ]


def test_rows_may_be_streamed(keeper: Keeper, command: Callable[[str, Any], None]) -> None:
    async def rows(*_: object, **__: object) -> AsyncIterator[dict[str, int]]:
        for block in range(3):
            yield {"block": block}

    command("run", rows)
    assert keeper("run", "--json", "-c", EXAMPLE).out == '{"block": "0"}\n{"block": "1"}\n{"block": "2"}\n'


def test_a_table_shows_fixed_point_as_decimals(keeper: Keeper, command: Callable[[str, Any], None]) -> None:
    row = {
        "market": "[m]",
        "account": ACCOUNT,
        "health_factor_wad": 10**18 - 1,
        "debt": -123456789012,
        "unit": "usd-8",
        "liquidatable": True,
    }
    command("scan", answering(row, {**row, "health_factor_wad": 2**256 - 1, "debt": 7}))
    header, _, first, second = [line.split("  ") for line in keeper("scan", "-c", EXAMPLE).out.splitlines() if line.strip()]
    assert [word.strip() for word in header if word] == [
        "market",
        "account",
        "health factor",
        "weighted collateral",
        "debt",
        "liquidatable",
    ]
    assert [word.strip() for word in first if word.strip()] == ["[m]", ACCOUNT, "0.999999", "-1,234.56 usd", "yes"]
    assert [word.strip() for word in second if word.strip()] == ["[m]", ACCOUNT, "∞", "0.00 usd", "yes"]


def test_a_table_is_never_cut_to_the_terminal(keeper: Keeper, command: Callable[[str, Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    command("scan", answering({"market": "m", "account": ACCOUNT, "debt": 1}))
    assert ACCOUNT in keeper("scan", "-c", EXAMPLE).out


def test_eth_amounts_are_shown_in_eth(keeper: Keeper, command: Callable[[str, Any], None]) -> None:
    command("ledger", answering({"block": 1000, "net_eth_wei": -(15 * 10**17)}))
    out = keeper("ledger", "-c", EXAMPLE).out
    assert "net (eth)" in out
    assert "-1.500000" in out
    assert "1,000" in out


def test_an_empty_table_says_so(keeper: Keeper, command: Callable[[str, Any], None]) -> None:
    command("ledger", answering())
    assert keeper("ledger", "-c", EXAMPLE).out == "nothing to show\n"
    assert keeper("ledger", "-c", EXAMPLE, "--json").out == ""


def test_check_fails_if_a_line_is_not_ok(keeper: Keeper, command: Callable[[str, Any], None]) -> None:
    good, bad = {"check": "node", "ok": True, "detail": "", "fix": ""}, {"check": "key", "ok": False, "detail": "", "fix": "do it"}
    command("check", answering(good))
    assert keeper("check", "-c", EXAMPLE).status == 0
    command("check", answering(good, bad))
    result = keeper("check", "-c", EXAMPLE)
    assert result.status == 1
    assert "do it" in result.out


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ConfigError("a\nb"), 2, "keeper: a\nkeeper: b\n"),
        (Halt("disk full"), 1, "keeper: disk full\n"),
        (Transient("node away"), 1, "keeper: node away\n"),
        (Skip("paused", "all of it"), 1, "keeper: paused: all of it\n"),
        (ExceptionGroup("tasks", [Halt("x"), ExceptionGroup("more", [Halt("x"), Transient("y")])]), 1, "keeper: x\nkeeper: y\n"),
        (ExceptionGroup("tasks", [ConfigError("wrong key")]), 2, "keeper: wrong key\n"),
        (PermissionError(13, "Permission denied", "data/book"), 1, "keeper: data/book: Permission denied\n"),
        (KeyboardInterrupt(), 130, ""),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt()]), 130, ""),
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "keeper: ZeroDivisionError: division by zero\nkeeper: this is a bug; run again with KEEPER_DEBUG=1 for the details to report\n",
        ),
    ],
)
def test_every_error_has_its_status_and_no_traceback(
    keeper: Keeper, command: Callable[[str, Any], None], error: BaseException, status: int, message: str
) -> None:
    command("ledger", failing(error))
    assert keeper("ledger", "-c", EXAMPLE) == Result(status, "", message)


def test_debug_shows_the_traceback(keeper: Keeper, command: Callable[[str, Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    command("ledger", failing(ZeroDivisionError("oops")))
    monkeypatch.setenv("KEEPER_DEBUG", "1")
    assert "Traceback (most recent call last)" in keeper("ledger", "-c", EXAMPLE).err


def test_an_error_that_quotes_a_secret_is_masked(
    keeper: Keeper, command: Callable[[str, Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPER_DEBUG", "1")
    hide(Secret("https://node.example/verysecretapikey"))
    command("ledger", failing(OSError(111, "refused by https://node.example/verysecretapikey")))
    result = keeper("ledger", "-c", EXAMPLE)
    assert "refused by ***" in result.err
    assert "verysecret" not in result.err


def test_a_reader_that_goes_away_is_not_an_error() -> None:
    code = """
import sys, types
from keeper import cli
async def ledger(settings, limit):
    return [{"block": n} for n in range(100_000)]
module = types.ModuleType("keeper.commands.ledger")
module.ledger = ledger
sys.modules[module.__name__] = module
cli.main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, "ledger", "--json", "-c", EXAMPLE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == '{"block": "0"}\n'
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 1
