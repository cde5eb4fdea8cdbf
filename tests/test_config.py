"""Settings: what is read, what is refused and in which words, and that no secret comes out."""

from __future__ import annotations

import copy
import json
import pickle
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from keeper.address import checksum, parse_address
from keeper.config import Settings, load, require_live, schema, show
from keeper.config.fields import parse_wei
from keeper.errors import ConfigError
from keeper.secret import Secret, hide, redact

CONFIG = Path(__file__).parent.parent / "config"
PROVIDER = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
WRAPPED = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
FACTORY = "0x1F98431c8aD98523631AE4a59f267346ea31F984"
API_URL = "https://node.example/v3/0123456789abcdef0123456789abcdef"
KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"

MINIMAL = f"""
[[chains]]
name = "one"
chain_id = 1
rpc_url = "{API_URL}"
native_token = "{WRAPPED}"

[[chains.markets]]
name = "lend"
adapter = "aave-v3"
address = "{PROVIDER}"
"""
HOUSE = f'[[chains.inventory]]\nmarket = "lend"\naccount = "{FACTORY}"\n'
SIGNER = '[chains.signer]\nkey_env = "KEEPER_KEY"\n'


def read(tmp_path: Path, text: str, **env: str) -> Settings:
    path = tmp_path / "keeper.toml"
    path.write_text(text)
    return load(path, env)


def refusal(tmp_path: Path, text: str, **env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **env)
    return str(caught.value).replace(str(tmp_path / "keeper.toml"), "FILE")


# --- what is read -------------------------------------------------------------------------------------------------


def test_the_example_loads_and_shows_the_defaults() -> None:
    chain = load(CONFIG / "keeper.example.toml", {}).chains[0]
    bare = {key: type(getattr(chain, key))() for key in ("bidding", "limits", "auctions")}
    assert {"bidding": chain.bidding, "limits": chain.limits, "auctions": chain.auctions} == bare
    assert chain.markets[0].address == PROVIDER.lower()
    assert (chain.signer, chain.executor and chain.executor.address) == (None, None)


def test_every_commented_line_of_the_example_is_a_valid_setting(tmp_path: Path) -> None:
    lines = (CONFIG / "keeper.example.toml").read_text().splitlines()
    settings = [line.removeprefix("# ") if line.startswith("# ") and (" = " in line or line.startswith("# [")) else line for line in lines]
    text = "\n".join(settings).replace('"0x…"', f'"{FACTORY}"').replace('market = "perp"', 'market = "aave-v3"')
    either_or = ("rpc_url =", "ws_url =", "key_file =", "key_env =")
    text = "\n".join(line for line in text.splitlines() if not line.startswith(either_or))
    env = {"ETHEREUM_RPC_URL": API_URL, "ETHEREUM_WS_URL": "wss://node.example", "BUILDER_URL": API_URL}
    chain = read(tmp_path, text, **env, SPARE_RPC_URL="https://spare.example", SPARE_WS_URL="wss://spare.example").chains[0]
    assert [node.rpc_url.reveal() for node in chain.all_nodes] == [API_URL, "https://spare.example"]
    assert [(one.kind, one.url and one.url.reveal()) for one in chain.channels] == [("bundle", API_URL)]
    assert chain.signer is not None
    assert chain.signer.keystore == tmp_path / "operator.json"
    assert chain.executor is not None
    assert chain.executor.address == FACTORY.lower()


def test_the_schema_file_is_current() -> None:
    assert json.loads((CONFIG / "schema.json").read_text()) == schema()


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, MINIMAL).data_dir == tmp_path / "data"
    assert read(tmp_path, 'data_dir = "../x"\n' + MINIMAL).data_dir == tmp_path.parent / "x"
    assert read(tmp_path, 'data_dir = "/srv/keeper"\n' + MINIMAL).data_dir == Path("/srv/keeper")


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        read(tmp_path, MINIMAL).chains[0].block_time_s = 1


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("3 gwei", 3 * 10**9),
        ("0.5 ether", 5 * 10**17),
        ("1_000 wei", 1000),
        (7, 7),
        ("7", 7),
        ("0.000000001gwei", 1),
        ("1.10 ETH", 11 * 10**17),
    ],
)
def test_amounts_are_exact_integers_of_wei(text: object, wei: int) -> None:
    assert parse_wei(text) == wei


@given(st.integers(0, 10**40))
def test_an_amount_in_ether_never_loses_a_wei(wei: int) -> None:
    units, rest = divmod(wei, 10**18)
    assert parse_wei(f"{units}.{rest:018d} ether") == wei


@given(st.decimals(min_value=0, max_value=10**9, places=10))
def test_an_amount_finer_than_a_wei_is_refused_and_any_other_accepted(gwei: Decimal) -> None:
    if gwei * 10**9 == int(gwei * 10**9):
        assert parse_wei(f"{gwei:f} gwei") == int(gwei * 10**9)
    else:
        with pytest.raises(PydanticCustomError):
            parse_wei(f"{gwei:f} gwei")


# --- the environment ----------------------------------------------------------------------------------------------


def test_the_environment_overrides_any_value(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        MINIMAL,
        KEEPER_LOG_LEVEL="debug",
        KEEPER_METRICS_PORT="9100",
        KEEPER_CHAINS__0__RPC_URL="http://other.example",
        KEEPER_CHAINS__0__BIDDING__MIN_PROFIT_WEI="0.01 ether",
        KEEPER_CHAINS__0__MARKETS__0__FIRST_BLOCK="12",
        KEEPER_CHAINS__0__SIGNER__KEY_ENV="KEEPER_KEY",
        KEEPER_KEY="not a setting",
        KEEPER_CONFIG="not a setting either",
    )
    chain = settings.chains[0]
    assert (settings.log_level, settings.metrics_port) == ("debug", 9100)
    assert (chain.rpc_url.reveal(), chain.bidding.min_profit_wei, chain.markets[0].first_block) == ("http://other.example", 10**16, 12)
    assert chain.signer is not None


def test_a_url_comes_from_a_named_variable_and_a_direct_override_wins(tmp_path: Path) -> None:
    text = MINIMAL.replace(f'rpc_url = "{API_URL}"', 'rpc_url_env = "MY_NODE"')
    assert read(tmp_path, text, MY_NODE=API_URL).chains[0].rpc_url.reveal() == API_URL
    assert read(tmp_path, text, KEEPER_CHAINS__0__RPC_URL="http://x").chains[0].rpc_url.reveal() == "http://x"
    assert read(tmp_path, MINIMAL, KEEPER_CHAINS__0__RPC_URL_ENV="N", N="http://y").chains[0].rpc_url.reveal() == "http://y"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("KEEPER_MODDE", "live", "environment variable KEEPER_MODDE: names no setting, did you mean KEEPER_MODE?"),
        ("KEEPER_MODE", "on", "environment variable KEEPER_MODE: mode must be one of dry-run, live, was 'on'"),
        (
            "KEEPER_CHAINS__3__NAME",
            "x",
            "environment variable KEEPER_CHAINS__3__NAME: there is no entry 3; the file has 1, numbered from 0",
        ),
        ("KEEPER_CHAINS__NAME", "x", "environment variable KEEPER_CHAINS__NAME: names no setting; lists are numbered from 0"),
        ("KEEPER_CHAINS__0", "x", "environment variable KEEPER_CHAINS__0: names no setting"),
        ("KEEPER_MODE__X", "x", "environment variable KEEPER_MODE__X: names no setting"),
        ("KEEPER_CHAINS", f'[{{"rpc_url": "{API_URL}"}}]', "environment variable KEEPER_CHAINS: chains must be a list of tables, was text"),
        ("KEEPER_CHAINS__0__RPC_ULR", "x", "chains.0.rpc_ulr is not a known key, did you mean 'rpc_url'?"),
        ("KEEPER_CHAINS__0__BLOCK_TIME_S", "1.5", "BLOCK_TIME_S: chains.0.block_time_s must be an integer of 1 or more, was '1.5'"),
    ],
)
def test_a_wrong_override_names_the_variable(tmp_path: Path, variable: str, value: str, message: str) -> None:
    refused = refusal(tmp_path, MINIMAL, **{variable: value})
    assert message in refused
    assert API_URL not in refused


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "one"', 'nmae = "one"', "FILE: chains.0.name is missing\nFILE: chains.0.nmae is not a known key, did you mean 'name'?"),
        ("[[chains]]", 'colour = "red"\n[[chains]]', "FILE: colour is not a known key, known: chains, data_dir, log_format, log_level"),
        ('"lend"', '"le nd"', "FILE: chains.0.markets.0.name must be a name of letters, digits, '.', '_' and '-', was 'le nd'"),
        ("chain_id = 1", "chain_id = 0", "FILE: chains.0.chain_id must be an integer of 1 or more, was 0"),
        ("chain_id = 1", "chain_id = true", "FILE: chains.0.chain_id must be an integer of 1 or more, was true"),
        ("chain_id = 1", "chain_id = 1.0", "FILE: chains.0.chain_id must be an integer of 1 or more, was 1.0"),
        (
            "aave-v3",
            "aave-v33",
            "FILE: chains.0.markets.0.adapter must be the name of an installed adapter (did you mean 'aave-v3'?), was 'aave-v33'",
        ),
        (PROVIDER, PROVIDER[:-2], "FILE: chains.0.markets.0.address must be an address, 0x and 40 hex digits, was '0x2f39"),
        (
            PROVIDER,
            PROVIDER.replace("9e", "9E"),
            "FILE: chains.0.markets.0.address has a wrong checksum, so a character is mistyped: 0x2f39",
        ),
        ("[[chains.markets]]", "[chains.markets]", "FILE: chains.0.markets must be a list of tables, was a table"),
        ("[[chains]]", 'mode = "Live"\n[[chains]]', "FILE: mode must be one of dry-run, live, was 'Live'"),
        ("[[chains]]", "metrics_port = 70000\n[[chains]]", "FILE: metrics_port must be an integer from 0 to 65535, was 70000"),
        ("[[chains]]", "data_dir = 7\n[[chains]]", "FILE: data_dir must be a path, was 7"),
    ],
)
def test_a_bad_value_names_file_key_expectation_and_value(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in refusal(tmp_path, MINIMAL.replace(old, new))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("[chains.bidding]\nprofit_share_bps = 10001", "chains.0.bidding.profit_share_bps must be an integer from 0 to 10000, was 10001"),
        (
            "[chains.bidding]\nmin_profit_wei = 0.5",
            'min_profit_wei must be wei as an integer of 0 or more, or text like "3 gwei" or "0.5 ether", was 0.5',
        ),
        ('[chains.bidding]\nmin_profit_wei = "3 gwie"', "min_profit_wei has an unknown unit 'gwie' (did you mean 'gwei'?), was '3 gwie'"),
        ('[chains.bidding]\nmin_profit_wei = "0.5 wei"', "min_profit_wei must be a whole number of wei, was '0.5 wei'"),
        ("[chains.bidding]\nmin_profit_wei = -1", "min_profit_wei must be wei as an integer of 0 or more"),
        (
            '[chains.bidding]\nmax_fee_wei = "1 gwei"',
            "chains.0.bidding.max_priority_fee_wei must be at most max_fee_wei (1000000000), was 2000000000000",
        ),
        (
            "[chains.bidding]\nmin_priority_fee_wei = 20000000000001",
            "chains.0.bidding.min_priority_fee_wei must be at most max_priority_fee_wei",
        ),
        (
            '[chains.gas_money]\nleast_wei = "0.2 ether"',
            "chains.0.gas_money.least_wei must be less than float_wei (200000000000000000), was 200000000000000000",
        ),
        (
            '[chains.gas_money]\nsweep_above_wei = "0.04 ether"',
            "chains.0.gas_money.sweep_above_wei must be at least 50000000000000000, 1000000 gas at max_base_fee_wei: less",
        ),
        ("[chains.gas_money]\nsweep_every_s = -1", "chains.0.gas_money.sweep_every_s must be an integer of 0 or more, was -1"),
        ("[chains.auctions]\nmodel = 3", "chains.0.auctions.model must be a program and its arguments, as a list of text, was 3"),
        (
            '[chains.auctions]\nmodel = ["x", 3]',
            "chains.0.auctions.model must be a program and its arguments, as a list of text, was a list",
        ),
        (
            '[chains.auctions]\nmodel = [""]',
            "chains.0.auctions.model must be a program and its arguments, as a list of text, was a list of 1",
        ),
        ('[chains.auctions]\nmodel = "unclosed \'"', "chains.0.auctions.model must be a program and its arguments"),
        ("[chains.auctions]\nanswer_ms = 0", "chains.0.auctions.answer_ms must be an integer of 1 or more, was 0"),
        (HOUSE + "inner_bps = 1500", "chains.0.inventory.0.inner_bps must be less than band_bps (1500), was 1500"),
        (HOUSE + 'mode = "hedge"', 'chains.0.inventory.0.hedges must say what is held against what in mode "hedge"'),
        (HOUSE + 'mode = "keep"', "chains.0.inventory.0.mode must be"),
        (HOUSE.replace("lend", "else"), "chains.0.inventory must name a market of this chain, was 'else'"),
        (HOUSE + HOUSE, "chains.0.inventory must differ in market, was given 'lend' more than once"),
        (
            f'{HOUSE}hedges = [{{ target = "{FACTORY}", against = "{FACTORY}" }}]',
            "chains.0.inventory.0.hedges must not hedge with what is hedged itself",
        ),
        ("[chains.limits]\nmax_in_flight = 0", "chains.0.limits.max_in_flight must be an integer of 1 or more, was 0"),
        ("[chains.signer]", "chains.0.signer must give exactly one of keystore, key_file and key_env, was given none"),
        ('[chains.signer]\nkey_file = "k"\nkey_env = "K"', "exactly one of keystore, key_file and key_env, was given key_file and key_env"),
        (
            '[chains.signer]\nkeystore = "k"',
            "chains.0.signer must give exactly one of password_file and password_env with keystore, was given none",
        ),
        ('[chains.signer]\nkey_file = "k"\npassword_env = "P"', "chains.0.signer must give password_env only with keystore"),
    ],
)
def test_a_bad_section_says_what_it_must_be(tmp_path: Path, extra: str, message: str) -> None:
    assert message in refusal(tmp_path, f"{MINIMAL}\n{extra}\n")


def test_a_command_is_a_list_or_text_as_in_a_shell(tmp_path: Path) -> None:
    for written in ('["python3", "my model.py", "-q"]', "\"python3 'my model.py' -q\""):
        chain = read(tmp_path, f"{MINIMAL}\n[chains.auctions]\nmodel = {written}\n").chains[0]
        assert chain.auctions.model == ("python3", "my model.py", "-q")
    assert read(tmp_path, MINIMAL).chains[0].auctions.model == ()


def test_twins_are_refused(tmp_path: Path) -> None:
    market = MINIMAL[MINIMAL.index("[[chains.markets]]") :]
    venue = market.replace("chains.markets", "chains.venues").replace("aave-v3", "uniswap-v3")
    assert "chains.0 markets and venues must differ in name, was given 'lend' more than once" in refusal(tmp_path, MINIMAL + market)
    assert "chains.0 markets and venues must differ in name" in refusal(tmp_path, MINIMAL + venue)
    assert "FILE: chains must differ in name, was given 'one'" in refusal(tmp_path, MINIMAL * 2)
    assert "FILE: chains must differ in chain_id, was given 1" in refusal(tmp_path, MINIMAL + MINIMAL.replace("one", "two"))


def test_a_config_without_chains_or_markets_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, 'mode = "dry-run"') == "FILE: chains is missing"
    assert refusal(tmp_path, "chains = []") == "FILE: chains must have at least one entry"
    assert "chains.0.markets is missing" in refusal(tmp_path, MINIMAL[: MINIMAL.index("[[chains.markets]]")])


def test_each_mistake_has_its_line(tmp_path: Path) -> None:
    lines = refusal(tmp_path, MINIMAL.replace("chain_id = 1", "chain_id = 0").replace(PROVIDER, "0x")).splitlines()
    assert len(lines) == 2


def test_live_needs_a_signer_and_an_executor(tmp_path: Path) -> None:
    live = 'mode = "live"\n' + MINIMAL
    assert refusal(tmp_path, live).splitlines() == [
        'FILE: chains.0.signer is missing: mode "live" needs the key that signs',
        'FILE: chains.0.executor is missing: mode "live" needs the executor contract (see `keeper deploy`)',
    ]
    assert read(tmp_path, live + SIGNER + "[chains.executor]\n").mode == "live"


def test_going_live_needs_the_mode_and_a_deployed_executor(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='mode must be "live" for --live, was "dry-run"'):
        require_live(read(tmp_path, f'{MINIMAL}{SIGNER}[chains.executor]\naddress = "{FACTORY}"\n'))
    with pytest.raises(ConfigError, match=r"chains\.0\.executor\.address is missing"):
        require_live(read(tmp_path, f'mode = "live"\n{MINIMAL}{SIGNER}[chains.executor]\n'))
    require_live(read(tmp_path, f'mode = "live"\n{MINIMAL}{SIGNER}[chains.executor]\naddress = "{FACTORY}"\n'))


# --- files --------------------------------------------------------------------------------------------------------


def test_a_syntax_error_names_line_and_column(tmp_path: Path) -> None:
    refused = refusal(tmp_path, 'mode = "live"\ndata_dir = = 3\n')
    assert refused.startswith("FILE: is not valid TOML: ")
    assert "line 2, column 12" in refused


@pytest.mark.parametrize("text", ["a = 1\na = 2", "x = " + "1" * 5000, "x = " + "[" * 5000, "\x00"])
def test_text_that_is_not_toml_is_one_clear_line(tmp_path: Path, text: str) -> None:
    refused = refusal(tmp_path, text)
    assert refused.startswith("FILE: is not valid TOML: ")
    assert len(refused.splitlines()) == 1


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    binary, empty = tmp_path / "binary", tmp_path / "empty"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    empty.write_text(" \n")
    expected = {
        tmp_path / "none": "no such file",
        tmp_path: "is a folder, must be a TOML file",
        binary: "is not a text file, must be TOML in UTF-8",
        empty: "is empty",
        binary / "below": "cannot be read: Not a directory",
        tmp_path / ("x" * 300): "cannot be read: File name too long",
    }
    for path, message in expected.items():
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        assert str(caught.value).startswith(f"{path}: {message}")


def test_an_unreadable_file_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(ConfigError, match=r"keeper\.toml: cannot be read: Permission denied"):
        load(tmp_path / "keeper.toml", {})


# --- secrets ------------------------------------------------------------------------------------------------------


def _everything(settings: Settings) -> str:
    return "\n".join(
        [
            repr(settings),
            str(settings),
            show(settings),
            show(settings, as_json=True),
            settings.model_dump_json(),
            repr(settings.model_dump()),
        ]
    )


def test_no_output_of_the_settings_has_a_secret(tmp_path: Path) -> None:
    settings = read(tmp_path, MINIMAL, KEEPER_CHAINS__0__WS_URL="wss://user:hunter2@node.example/x")
    text = _everything(settings)
    assert text.count("***") >= 6
    assert "0123456789abcdef" not in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "line",
    [
        'rpc_url = "htp://h/SECRETSECRET"',
        'rpc_url = ["https://h/SECRETSECRET"]',
        'rpc_ulr = "https://h/SECRETSECRET"',
        'rpc_url_env = "https://h/SECRETSECRET"',
        'ws_url = "https://h/SECRETSECRET"',
        'rpc_url = "https://h:99999/SECRETSECRET"',
        'rpc_url = "https://h/SECRETSECRET\\n"\nfirst_block = -1',
    ],
)
def test_no_error_repeats_a_secret_url(tmp_path: Path, line: str) -> None:
    refused = refusal(tmp_path, MINIMAL.replace(f'rpc_url = "{API_URL}"', line))
    assert "chains.0." in refused
    assert "SECRET" not in refused


@pytest.mark.parametrize("setting", ["keystore", "key_file", "key_env", "password_file"])
@pytest.mark.parametrize("key", [KEY, f"0x{KEY}", f"f{KEY[1:]}"])
def test_a_key_pasted_in_the_wrong_place_is_refused_and_not_repeated(tmp_path: Path, setting: str, key: str) -> None:
    refused = refusal(tmp_path, f'{MINIMAL}[chains.signer]\n{setting} = "{key}"\n')
    assert f"chains.0.signer.{setting} must be " in refused
    assert key[10:] not in refused


def test_a_missing_variable_of_a_url_is_named(tmp_path: Path) -> None:
    text = MINIMAL.replace(f'rpc_url = "{API_URL}"', 'rpc_url_env = "MY_NODE"')
    assert refusal(tmp_path, text) == "FILE: chains.0.rpc_url_env names the environment variable MY_NODE, which is not set"
    assert "must not be given together with rpc_url" in refusal(tmp_path, MINIMAL.replace("chain_id", 'rpc_url_env = "X"\nchain_id'))


def test_a_secret_shows_only_when_revealed() -> None:
    secret = Secret("hunter2")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", "%s" % secret, repr([secret]), json.dumps(secret, default=str)]  # noqa: UP031
    assert not [text for text in shown if "hunter2" in text]
    assert pickle.loads(pickle.dumps(secret)).reveal() == "***"  # noqa: S301
    assert secret.reveal() == "hunter2"
    assert copy.deepcopy([copy.copy(secret)]) == [secret]
    assert secret == Secret("hunter2")
    assert secret != "hunter2"


def test_hidden_secrets_are_masked_whole_and_in_their_telling_parts() -> None:
    hide(Secret("https://user:s3cr3tpw@node.example/v3/feedfacefeedface?token=abcdefabcdef0"), Secret(f"0x{KEY}"))
    text = redact(
        f"at https://user:s3cr3tpw@node.example/v3/feedfacefeedface?token=abcdefabcdef0; path /v3/feedfacefeedface; abcdefabcdef0; {KEY}"
    )
    assert text == "at ***; path ***; ***; ***"
    assert redact("node.example refused v3") == "node.example refused v3"


def test_loading_hides_the_urls(tmp_path: Path) -> None:
    read(tmp_path, MINIMAL.replace("0123456789abcdef0123456789abcdef", "c0ffeec0ffeec0ffee"))
    assert "c0ffee" not in redact("ClientError: https://node.example/v3/c0ffeec0ffeec0ffee")


# --- showing ------------------------------------------------------------------------------------------------------


def test_shown_settings_are_toml_that_loads_again(tmp_path: Path) -> None:
    settings = load(CONFIG / "keeper.example.toml", {})
    shown = show(settings)
    urls = {"KEEPER_CHAINS__0__RPC_URL": "http://127.0.0.1:8545", "KEEPER_CHAINS__0__WS_URL": "ws://127.0.0.1:8546"}
    assert read(tmp_path, shown, **urls).model_dump() == settings.model_dump()
    assert tomllib.loads(shown)["chains"][0]["rpc_url"] == "***"


def test_shown_json_is_one_line_with_integers_as_strings(tmp_path: Path) -> None:
    line = show(read(tmp_path, MINIMAL), as_json=True)
    assert "\n" not in line
    chain: dict[str, Any] = json.loads(line)["chains"][0]
    assert (chain["chain_id"], chain["bidding"]["max_fee_wei"]) == ("1", "3000000000000")


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"])
def test_checksums_are_those_of_eip_55(text: str) -> None:
    assert checksum(text.lower()) == text
    assert parse_address(text) == parse_address(text.lower()) == parse_address("0x" + text[2:].upper()) == text.lower()


@given(st.binary(min_size=20, max_size=20), st.integers(2, 41))
def test_a_letter_in_the_wrong_case_is_noticed(raw: bytes, at: int) -> None:
    right = checksum("0x" + raw.hex())
    wrong = right[:at] + right[at].swapcase() + right[at + 1 :]
    if wrong != right and wrong[2:] not in (wrong[2:].lower(), wrong[2:].upper()):
        with pytest.raises(ValueError, match="wrong checksum"):
            parse_address(wrong)


@given(st.text(max_size=60))
def test_any_other_text_is_not_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="must be an address"):
        parse_address(text)


def test_a_private_key_given_as_an_address_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="was 66 characters"):
        parse_address(f"0x{KEY}")
