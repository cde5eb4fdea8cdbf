"""Keys and undo writes as text: legible in any SQLite shell, exact whatever their size."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from keeper.types import Key, Write


def encode_key(key: Key) -> str:
    """A JSON array; an integer beyond 64 bits is nested, as decimal text, since orjson would lose its digits."""
    return orjson.dumps([_part(part) for part in key]).decode()


def _part(part: int | str) -> int | str | list[str]:
    if isinstance(part, str):
        return part
    return int(part) if -(2**63) <= part < 2**63 else [str(int(part))]


def decode_key(text: str) -> Key:
    return tuple(int(part[0]) if isinstance(part, list) else part for part in orjson.loads(text))


def encode_undo(undo: Iterable[Write]) -> str:
    return orjson.dumps([[name, encode_key(key), str(value)] for name, key, value in undo]).decode()


def decode_undo(text: str) -> tuple[Write, ...]:
    return tuple((name, decode_key(key), int(value)) for name, key, value in orjson.loads(text))
