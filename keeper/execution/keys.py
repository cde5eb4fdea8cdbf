"""The operator's private key: from an encrypted keystore, a key file or the environment, and never into a message.

Errors are one line, name the source and never the material; they are raised `from None`, so no library's text rides along.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, final

from coincurve import PrivateKey
from eth_hash.auto import keccak

from keeper.config import SignerSettings
from keeper.errors import ConfigError
from keeper.log import get_logger
from keeper.secret import Secret, hide
from keeper.types import Address

_log = get_logger("keys")
_HEX_KEY: Final = re.compile(r"(?:0x|0X)?([0-9a-fA-F]{64})")
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_EXPECTED: Final = "must be a private key of 64 hex digits"


@final
class Key:
    """A private key and its address. Shows the address only; cannot be pickled."""

    __slots__ = ("_private", "address")

    def __init__(self, address: Address, private: bytes) -> None:
        self.address = address
        self._private = private

    def reveal(self) -> bytes:
        """The 32 bytes, for signing."""
        return self._private

    def __repr__(self) -> str:
        return f"Key({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key cannot be pickled")


async def load_key(signer: SignerSettings, env: Mapping[str, str]) -> Key:
    """The key these settings point to. Works in a thread: a keystore takes 0.6 s. Raises ConfigError, one line without the material."""
    return await asyncio.to_thread(_load, signer, env)


def throwaway_key() -> Key:
    """A new key nobody keeps: who signs in a dry run without a configured one."""
    return key_from_bytes(secrets.token_bytes(32), "throwaway key")


def _load(signer: SignerSettings, env: Mapping[str, str]) -> Key:
    if signer.keystore is not None:
        return _from_keystore(signer.keystore, _password(signer, env))
    if signer.key_file is not None:
        _warn_if_readable(signer.key_file)
        return _from_hex(_read(signer.key_file), f"key file {signer.key_file}")
    return _from_hex(_variable(signer.key_env, env), f"environment variable {signer.key_env}")


def _from_hex(text: str, source: str) -> Key:
    digits = "".join(text.split())
    match = _HEX_KEY.fullmatch(digits)
    if match is None:
        raise ConfigError(f"{source}: {_EXPECTED}, {_shape(digits)}")
    return key_from_bytes(bytes.fromhex(match[1]), source)


def _shape(digits: str) -> str:
    """What is wrong with a would-be key, without a character of it."""
    if not digits:
        return "is empty"
    digits = digits[2:] if digits[:2].lower() == "0x" else digits
    return f"has {len(digits)} characters" if len(digits) != 64 else "has characters that are not hex digits"


def key_from_bytes(private: bytes, source: str) -> Key:
    """The key of these 32 bytes, hidden from all output. `source` is named in the ConfigError raised for a number off the curve."""
    if not 0 < int.from_bytes(private) < _ORDER:
        raise ConfigError(f"{source}: {_EXPECTED} within the curve's order, and not zero")
    hide(Secret(f"0x{private.hex()}"))
    public = PrivateKey(private).public_key.format(compressed=False)
    return Key(Address("0x" + keccak(public[1:])[-20:].hex()), private)


# --- keystore -----------------------------------------------------------------------------------------------------


def _from_keystore(path: Path, password: str) -> Key:
    from eth_account import Account  # a third of a second, which only a keystore costs

    source, content = f"keystore {path}", _keystore(path)
    try:
        private = bytes(Account.decrypt(content, password))
    except ValueError as error:
        raise ConfigError(f"{source}: {_reason(error)}") from None
    except (KeyError, TypeError, AttributeError, NotImplementedError):
        raise ConfigError(f"{source}: is not an encrypted keystore (JSON, version 3)") from None
    if len(private) != 32:
        raise ConfigError(f"{source}: holds {len(private)} bytes, must hold a private key of 32")
    return key_from_bytes(private, source)


def _reason(error: ValueError) -> str:
    return "the password is wrong" if "MAC mismatch" in str(error) else "is not an encrypted keystore (JSON, version 3)"


def _keystore(path: Path) -> dict[str, Any]:
    text = _read(path)
    if not text.strip():
        raise ConfigError(f"keystore {path}: is empty")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ConfigError(f"keystore {path}: is not an encrypted keystore (JSON, version 3)")
    return content


def _password(signer: SignerSettings, env: Mapping[str, str]) -> str:
    if signer.password_file is None:
        return _variable(signer.password_env, env)
    password = _read(signer.password_file).rstrip("\r\n")
    if not password:
        raise ConfigError(f"password file {signer.password_file}: is empty")
    return password


# --- sources ------------------------------------------------------------------------------------------------------


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; see [chains.signer] in the config") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not a text file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _variable(name: str | None, env: Mapping[str, str]) -> str:
    value = env.get(name or "", "")
    if not value.strip():
        raise ConfigError(f"environment variable {name}: is not set or empty; [chains.signer] in the config names it")
    return value


def _warn_if_readable(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning("key_file_readable_by_others", path=str(path), fix=f"chmod 600 {path}")
