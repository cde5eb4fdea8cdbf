"""The operator's key: every source, every mistake, and never the material."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any, Literal

import pytest
from eth_account import Account
from eth_hash.auto import keccak
from eth_keyfile.keyfile import create_keyfile_json
from structlog.testing import capture_logs

from keeper.config import SignerSettings
from keeper.errors import ConfigError
from keeper.execution.keys import Key, load_key
from keeper.secret import redact

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536e3605d9c16a7a3d7b1898e529396a65c23"


def signer(folder: Path, **values: str) -> SignerSettings:
    return SignerSettings.model_validate(values, context={"base": folder})


def key_file(folder: Path, text: str | bytes) -> SignerSettings:
    path = folder / "operator.key"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    return signer(folder, key_file="operator.key")


def keystore(folder: Path, content: object, password: str = "hunter2\n") -> SignerSettings:  # noqa: S107
    (folder / "operator.json").write_text(content if isinstance(content, str) else json.dumps(content))
    (folder / "password").write_text(password)
    return signer(folder, keystore="operator.json", password_file="password")


def encrypted(private: str = KEY, kdf: Literal["pbkdf2", "scrypt"] = "pbkdf2") -> dict[str, Any]:
    content: dict[str, Any] = create_keyfile_json(bytes.fromhex(private), b"hunter2", kdf=kdf, iterations=2)
    return content


async def refusal(settings: SignerSettings, **env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        await load_key(settings, env)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("text", [KEY, f"0x{KEY}", f"0X{KEY.upper()}\n", f"  {KEY[:32]}\n{KEY[32:]}\r\n"])
async def test_a_key_file_may_have_a_prefix_and_white_space(tmp_path: Path, text: str) -> None:
    key = await load_key(key_file(tmp_path, text), {})
    assert (key.address, key.reveal().hex()) == (ADDRESS, KEY)


async def test_the_key_may_come_from_the_environment() -> None:
    assert (await load_key(signer(Path(), key_env="THE_KEY"), {"THE_KEY": f"0x{KEY}"})).address == ADDRESS


@pytest.mark.parametrize("kdf", ["pbkdf2", "scrypt"])
async def test_a_keystore_opens_with_its_password_from_file_or_environment(tmp_path: Path, kdf: Literal["pbkdf2", "scrypt"]) -> None:
    settings = keystore(tmp_path, encrypted(kdf=kdf))
    from_env = signer(tmp_path, keystore="operator.json", password_env="PASSWORD")
    assert (await load_key(settings, {})).address == ADDRESS
    assert (await load_key(from_env, {"PASSWORD": "hunter2"})).address == ADDRESS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a private key of 64 hex digits, is empty"),
        (" \n", "must be a private key of 64 hex digits, is empty"),
        ("0x", "has 0 characters"),
        (KEY[:-1], "has 63 characters"),
        (f"0x{KEY}0", "has 65 characters"),
        (f"{KEY[:-1]}g", "has characters that are not hex digits"),
        ("0" * 64, "within the curve's order, and not zero"),
        ("f" * 64, "within the curve's order, and not zero"),
        (b"\xff\xfe\x80", "is not a text file"),
    ],
)
async def test_a_bad_key_file_is_one_clear_line_without_the_material(tmp_path: Path, text: str | bytes, message: str) -> None:
    refused = await refusal(key_file(tmp_path, text))
    assert str(tmp_path / "operator.key") in refused
    assert message in refused
    assert KEY[8:56] not in refused


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none: no such file" in await refusal(signer(tmp_path, key_file="none"))
    assert f"{tmp_path}/none: no such file" in await refusal(signer(tmp_path, keystore="none", password_env="P"), P="x")
    assert "cannot be read: Is a directory" in await refusal(signer(tmp_path, key_file="."))


@pytest.mark.parametrize("value", [None, "", "  "])
async def test_an_unset_variable_is_named(value: str | None) -> None:
    env = {} if value is None else {"THE_KEY": value}
    assert "environment variable THE_KEY: is not set or empty" in await refusal(signer(Path(), key_env="THE_KEY"), **env)


async def test_a_wrong_password_is_said_and_not_shown(tmp_path: Path) -> None:
    refused = await refusal(keystore(tmp_path, encrypted(), password="letmein"))
    assert refused == f"keystore {tmp_path}/operator.json: the password is wrong"


async def test_an_empty_password_file_is_named(tmp_path: Path) -> None:
    assert await refusal(keystore(tmp_path, encrypted(), password="\n")) == f"password file {tmp_path}/password: is empty"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "7",
        {},
        {"version": 3},
        {"version": 3, "crypto": {}},
        {"version": 9},
        {"version": 3, "crypto": {"kdf": "x"}},
        {"crypto": None},
    ],
)
async def test_a_file_that_is_no_keystore_is_said_to_be_none(tmp_path: Path, content: object) -> None:
    refused = await refusal(keystore(tmp_path, content))
    assert refused == f"keystore {tmp_path}/operator.json: is not an encrypted keystore (JSON, version 3)"


async def test_a_damaged_keystore_is_one_clear_line(tmp_path: Path) -> None:
    for field, value in {"ciphertext": "zz", "mac": "00", "kdf": "none", "cipherparams": {}, "kdfparams": {}}.items():
        content = encrypted()
        content["crypto"][field] = value
        assert (await refusal(keystore(tmp_path, content))).startswith(f"keystore {tmp_path}/operator.json: ")


async def test_an_empty_keystore_is_said_to_be_empty(tmp_path: Path) -> None:
    assert await refusal(keystore(tmp_path, "")) == f"keystore {tmp_path}/operator.json: is empty"


async def test_a_keystore_of_another_length_is_refused(tmp_path: Path) -> None:
    content = encrypted()
    crypto = content["crypto"]
    crypto["ciphertext"] = crypto["ciphertext"][:-2]
    derived = hashlib.pbkdf2_hmac("sha256", b"hunter2", bytes.fromhex(crypto["kdfparams"]["salt"]), crypto["kdfparams"]["c"], 32)
    crypto["mac"] = keccak(derived[16:] + bytes.fromhex(crypto["ciphertext"])).hex()
    assert "holds 31 bytes, must hold a private key of 32" in await refusal(keystore(tmp_path, content))


async def test_a_key_file_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    settings = key_file(tmp_path, KEY)
    with capture_logs() as quiet:
        await load_key(settings, {})
    os.chmod(tmp_path / "operator.key", 0o644)
    with capture_logs() as logs:
        await load_key(settings, {})
    assert quiet == []
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("key_file_readable_by_others", "warning")]
    assert KEY not in str(logs)


async def test_a_key_shows_its_address_only_and_cannot_be_pickled(tmp_path: Path) -> None:
    key = await load_key(key_file(tmp_path, KEY), {})
    assert [repr(key), str(key), f"{key}"] == [f"Key({ADDRESS})"] * 3
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(key)


async def test_a_loaded_key_is_masked_in_any_text(tmp_path: Path) -> None:
    await load_key(key_file(tmp_path, KEY), {})
    assert redact(f"0x{KEY} and {KEY}") == "*** and ***"


async def test_the_key_signs_as_its_address(tmp_path: Path) -> None:
    key: Key = await load_key(key_file(tmp_path, KEY), {})
    assert Account.from_key(key.reveal()).address.lower() == key.address
