"""The kinds of value a config holds, each with an error that says what it must be and what it was.

Messages follow "<file>: <key> ". A validator of a value that may be secret never repeats it.
"""

from __future__ import annotations

import os
import re
import shlex
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from keeper.address import parse_address
from keeper.secret import Secret
from keeper.types import Address

REFUSED: Final = "refused"

_UNITS: Final = {"wei": 1, "kwei": 10**3, "mwei": 10**6, "gwei": 10**9, "ether": 10**18, "eth": 10**18}
_INTEGER: Final = re.compile(r"[+-]?[0-9](_?[0-9]){0,77}")
_AMOUNT: Final = re.compile(r"([0-9][0-9_]{0,77}(?:\.[0-9]{1,77})?)\s*([a-zA-Z]+)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LOOKS_LIKE_KEY: Final = re.compile(r"\s*(0x)?[0-9a-fA-F]{64}\s*")


def refuse(message: str, key: str = "") -> PydanticCustomError:
    """The error whose message is shown as it is, after file and key. `key`: the key below the value at hand."""
    return refuse_all([(key, message)])


def refuse_all(problems: list[tuple[str, str]]) -> PydanticCustomError:
    """Several (key, message) in one error: a line each."""
    return PydanticCustomError(REFUSED, "refused", {"problems": problems})


def given(value: object) -> str:
    """A value as an error shows it: containers by kind, text cut to a line."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def nearest(name: str, names: list[str]) -> str:
    """ " (did you mean 'x'?)", or all the names if none is near."""
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(names)) or 'none'}"


# --- numbers ------------------------------------------------------------------------------------------------------


def _as_integer(value: object, expected: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    raise refuse(f"must be {expected}, was {given(value)}")


def _range(low: int, high: int | None) -> str:
    return f"an integer of {low} or more" if high is None else f"an integer from {low} to {high}"


def _check(number: int, low: int, high: int | None, expected: str, value: object) -> int:
    if number < low or (high is not None and number > high):
        raise refuse(f"must be {expected}, was {given(value)}")
    return number


def integer(low: int, high: int | None = None) -> BeforeValidator:
    """An integer in [low, high]; digits in a string count (the environment has no other way)."""
    expected = _range(low, high)
    return BeforeValidator(lambda value: _check(_as_integer(value, expected), low, high, expected, value))


def parse_wei(value: object) -> int:
    """Wei from an integer or from text such as "3 gwei" or "0.5 ether", exactly. Raises PydanticCustomError."""
    expected = 'wei as an integer of 0 or more, or text like "3 gwei" or "0.5 ether"'
    match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return _check(_as_integer(value, expected), 0, None, expected, value)
    return _scaled(match[1], match[2], value)


def _scaled(digits: str, unit: str, value: object) -> int:
    scale = _UNITS.get(unit.lower())
    if scale is None:
        raise refuse(f"has an unknown unit {unit!r} ({nearest(unit, list(_UNITS))}), was {given(value)}")
    numerator, denominator = Decimal(digits.replace("_", "")).as_integer_ratio()
    if numerator * scale % denominator:
        raise refuse(f"must be a whole number of wei, was {given(value)}")
    return numerator * scale // denominator


Wei = Annotated[
    int,
    BeforeValidator(parse_wei),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9][0-9_.]*\s*([a-zA-Z]+)?$"}]}),
]
Bps = Annotated[int, integer(0, 10_000), Field(json_schema_extra={"minimum": 0, "maximum": 10_000})]
Count = Annotated[int, integer(1), Field(json_schema_extra={"minimum": 1})]
Whole = Annotated[int, integer(0), Field(json_schema_extra={"minimum": 0})]
Port = Annotated[int, integer(0, 65_535), Field(json_schema_extra={"minimum": 0, "maximum": 65_535})]


def _flag(value: object) -> bool:
    """Text counts: the environment has no other way."""
    known = {"true": True, "false": False}
    if isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in known):
        return value if isinstance(value, bool) else known[value.strip().lower()]
    raise refuse(f"must be true or false, was {given(value)}")


Flag = Annotated[bool, BeforeValidator(_flag)]
Window = Annotated[int, integer(60, 3600), Field(json_schema_extra={"minimum": 60, "maximum": 3600})]


# --- text ---------------------------------------------------------------------------------------------------------


def text(value: object, expected: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise refuse(f"must be {expected}, was {given(value)}")
    return value.strip()


def _name(value: object) -> str:
    expected = "a name of letters, digits, '.', '_' and '-'"
    if not _NAME.fullmatch(text(value, expected)):
        raise refuse(f"must be {expected}, was {given(value)}")
    return str(value).strip()


def _address(value: object) -> Address:
    written = text(value, "an address, 0x and 40 hex digits")
    try:
        return parse_address(written)
    except ValueError as error:
        raise refuse(str(error)) from None


@cache
def installed(group: str) -> tuple[str, ...]:
    """Names of the plug-ins installed under an entry-point group."""
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=group).names))


def plugin(group: str, kind: str) -> BeforeValidator:
    def check(value: object) -> str:
        name, names = text(value, f"the name of {kind}"), list(installed(group))
        if name not in names:
            raise refuse(f"must be the name of {kind} ({nearest(name, names)}), was {given(name)}")
        return name

    return BeforeValidator(check)


def one_of(*names: str) -> BeforeValidator:
    def check(value: object) -> object:
        if not isinstance(value, str) or value not in names:
            raise refuse(f"must be one of {', '.join(names)}, was {given(value)}")
        return value

    return BeforeValidator(check)


def _some(entries: tuple[object, ...]) -> tuple[object, ...]:
    if not entries:
        raise refuse("must have at least one entry")
    return entries


AT_LEAST_ONE: Final = (AfterValidator(_some), Field(json_schema_extra={"minItems": 1}))
Name = Annotated[str, BeforeValidator(_name), Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$"})]
AddressText = Annotated[Address, BeforeValidator(_address), Field(json_schema_extra={"pattern": "^0x[0-9a-fA-F]{40}$"})]


def _addresses(value: object) -> object:
    """In the environment, text with commas."""
    if isinstance(value, str):
        return [part for part in value.replace(",", " ").split() if part]
    if not isinstance(value, list | tuple):
        raise refuse(f"must be a list of addresses, was {given(value)}")
    return value


Addresses = Annotated[tuple[AddressText, ...], BeforeValidator(_addresses)]


def _command(value: object) -> tuple[str, ...]:
    """Text is split as a shell would."""
    expected = "a program and its arguments, as a list of text"
    with_words = shlex.split(value) if isinstance(value, str) and _closed(value) else value
    if (
        not isinstance(with_words, list | tuple)
        or not all(isinstance(word, str) for word in with_words)
        or (with_words and not with_words[0])
    ):
        raise refuse(f"must be {expected}, was {given(value)}")
    return tuple(with_words)


def _closed(text: str) -> bool:
    """Every quote in it is."""
    try:
        return bool(shlex.split(text))
    except ValueError:
        return False


Command = Annotated[
    tuple[str, ...],
    BeforeValidator(_command),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
]


# --- files and secrets --------------------------------------------------------------------------------------------


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip():
        raise refuse(f"must be a path, was {given(value)}")
    if _LOOKS_LIKE_KEY.fullmatch(str(value)):
        raise refuse("must be the path of a file, was what looks like the key itself: move it into a file and make a new key")
    base = info.context["base"] if info.context else Path()
    return Path(os.path.abspath(Path(base) / Path(str(value)).expanduser()))


def _variable(value: object) -> str:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value) or _LOOKS_LIKE_KEY.fullmatch(value):
        raise refuse("must be the NAME of an environment variable, not the value itself")
    return value


def url(*schemes: str) -> PlainValidator:
    """A URL held as a Secret; no error repeats any part of it."""
    expected = " or ".join(f"{scheme}://" for scheme in schemes)

    def check(value: object) -> Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str) or not _is_url(value.strip(), schemes):
            raise refuse(f"must be a URL that starts with {expected} and names a host (the value is a secret and not shown)")
        return Secret(value.strip())

    return PlainValidator(check, json_schema_input_type=str)


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", value)
    except ValueError:
        return False


FilePath = Annotated[Path, PlainValidator(_path, json_schema_input_type=str)]
Variable = Annotated[str, BeforeValidator(_variable), Field(json_schema_extra={"pattern": f"^{_VARIABLE.pattern}$"})]
HttpUrl = Annotated[Secret, url("http", "https"), WithJsonSchema({"type": "string", "pattern": "^https?://", "writeOnly": True})]
WsUrl = Annotated[Secret, url("ws", "wss"), WithJsonSchema({"type": "string", "pattern": "^wss?://", "writeOnly": True})]
