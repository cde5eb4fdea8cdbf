"""What the config says to one adapter, beyond its address: typed reading, and a clear word for what the adapter does not know."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from keeper.errors import ConfigError
from keeper.types import ZERO_ADDRESS, Address

T = TypeVar("T")

_HEX = re.compile("0x[0-9a-fA-F]*")


class OptionError(ConfigError):
    """An option is wrong. `option` is its name."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True)
class Option:
    """What an adapter asks for. `wanted`: what it must be, in words."""

    name: str
    wanted: str
    default: object
    about: str


class Options:
    """A table of the config file. Read all there is to read, then call `finish`, before the node is asked anything. Every method raises
    OptionError for a value of another kind; absent options have their default. `about`: what it is for, as `keeper adapters` shows it."""

    def __init__(self, given: Mapping[str, object] | None = None) -> None:
        self._given = dict(given or {})
        self._known: dict[str, Option] = {}

    @property
    def known(self) -> tuple[Option, ...]:
        """What has been asked for."""
        return tuple(self._known.values())

    def addresses(self, name: str, default: Sequence[Address] = (), about: str = "") -> tuple[Address, ...]:
        return tuple(Address(item) for item in self.hexes(name, 20, default, about))

    def addresses_by_address(self, name: str, about: str = "") -> Mapping[Address, tuple[Address, ...]]:
        """A table whose keys are addresses and whose values are lists of addresses."""

        def read(value: object) -> Mapping[Address, tuple[Address, ...]]:
            if not isinstance(value, Mapping):
                raise ValueError
            return {Address(_hex(key, 20)): tuple(Address(_hex(item, 20)) for item in _list(items)) for key, items in value.items()}

        return self._read(name, "a table of addresses, each with a list of addresses", read, {}, about)

    def hexes(self, name: str, size: int, default: Sequence[str] = (), about: str = "") -> tuple[str, ...]:
        """A list of so many bytes each, as lower-case 0x-hex."""
        wanted = f"a list of 0x and {2 * size} hexadecimal digits each"
        return self._read(name, wanted, lambda value: tuple(_hex(item, size) for item in _list(value)), tuple(default), about)

    def whole(self, name: str, default: int, least: int = 0, most: int = 2**256 - 1, about: str = "") -> int:
        def read(value: object) -> int:
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise ValueError
            return value

        return self._read(name, f"a whole number from {least} to {most}", read, default, about)

    def flag(self, name: str, default: bool, about: str = "") -> bool:
        def read(value: object) -> bool:
            if not isinstance(value, bool):
                raise ValueError
            return value

        return self._read(name, "true or false", read, default, about)

    def word(self, name: str, words: Sequence[str], default: str, about: str = "") -> str:
        """One of these words."""

        def read(value: object) -> str:
            if value not in words:
                raise ValueError
            return str(value)

        return self._read(name, " or ".join(repr(word) for word in words), read, default, about)

    def finish(self) -> None:
        """Raises OptionError for an option nobody has asked for."""
        for name in self._given:
            if name not in self._known:
                raise OptionError(name, f"there is no such option: {_advice(name, list(self._known))}")

    def _read(self, name: str, wanted: str, read: Callable[[object], T], default: T, about: str) -> T:
        self._known[name] = Option(name, wanted, default, about)
        if name not in self._given:
            return default
        try:
            return read(self._given[name])
        except ValueError:
            raise OptionError(name, f"must be {wanted}, was {self._given[name]!r}") from None


NO_OPTIONS = Options()


async def asked_for(opening: Callable[..., Awaitable[object]]) -> tuple[Option, ...] | None:
    """The options that an adapter reads when it is opened, which goes no further; None if it wants a node first."""
    asked = _Question()
    try:
        await opening(None, "", ZERO_ADDRESS, None, asked)
    except _Answered:
        return asked.known
    except Exception:
        return None
    return None


class _Answered(Exception):
    """All options have been read."""


class _Question(Options):
    def finish(self) -> None:
        raise _Answered


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise ValueError
    return value


def _hex(value: object, size: int) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) != 2 + 2 * size:
        raise ValueError
    return value.lower()


def _advice(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(known)}" if known else "this adapter has none"
