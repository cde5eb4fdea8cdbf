"""The file: JSON lines of (kind, value), in the order in which the pipeline consumed them.

A tape holds public chain data, plans and calldata: no key, no URL. It is data: reading one runs nothing.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from keeper.errors import ConfigError

T = TypeVar("T")


class Tape:
    """Append-only, flushed line by line, so that a killed run can be replayed up to its end."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("w")

    def write(self, kind: str, value: object) -> None:
        self._file.write(json.dumps([kind, plain(value)], separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_tape(path: Path) -> Iterator[tuple[str, Any]]:
    """(kind, plain value); a last line cut short by a kill is left out. Raises ConfigError for a file that is no tape."""
    try:
        with path.open() as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith("\n"):
                    yield _entry(line, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a recording: {error}") from None


def _entry(line: str, path: Path, number: int) -> tuple[str, Any]:
    try:
        kind, value = json.loads(line)
    except ValueError:
        raise ConfigError(f"{path} is not a recording: line {number} is not one of its entries") from None
    return str(kind), value


def plain(value: Any) -> Any:
    """Dataclasses as objects, bytes as 0x-hex, tuples as lists; integers of any size stay integers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return value


def shaped(kind: Any, data: Any) -> Any:
    """The inverse of `plain`, for the type given."""
    kind = getattr(kind, "__supertype__", kind)
    origin, args = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return None if data is None else shaped(next(arg for arg in args if arg is not type(None)), data)
    if origin in {tuple, list}:
        return _sequence(origin, args, data)
    if origin is dict:
        return {key: shaped(args[1], inner) for key, inner in data.items()}
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: shaped(hints[name], inner) for name, inner in data.items()})  # type: ignore[operator]
    return bytes.fromhex(data[2:]) if kind is bytes else data


def _sequence(origin: type, args: tuple[Any, ...], data: list[Any]) -> Any:
    if origin is tuple and args[-1:] != (Ellipsis,):
        return tuple(shaped(arg, inner) for arg, inner in zip(args, data, strict=True))
    return origin(shaped(args[0], inner) for inner in data)
