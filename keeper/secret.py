"""A secret is a type: it can be passed around, and only an explicit `reveal()` shows it.

Libraries put URLs and keys into their own messages, so text that leaves the process also goes through `redact`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, final
from urllib.parse import parse_qsl, urlsplit

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

MASK: Final = "***"
_SHORTEST_FRAGMENT: Final = 12
_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


@final
class Secret:
    """Text that no repr, str, format, log line, pickle or JSON shows. Not a `str`: encoders would print those."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (MASK,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(cls, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "writeOnly": True}


def hide(*secrets: Secret) -> None:
    """From now on `redact` masks these, wherever in a text they stand."""
    global _pattern  # noqa: PLW0603
    for secret in secrets:
        _known.update(_needles(secret.reveal()))
    longest_first = sorted(_known, key=len, reverse=True)
    _pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def redact(text: str) -> str:
    """The text with every known secret masked, in whole or in its telling parts."""
    return _pattern.sub(MASK, text) if _pattern else text


def _needles(text: str) -> Iterator[str]:
    for part in (text, *_fragments(text)):
        if part:
            yield part
            yield json.dumps(part)[1:-1]


def _fragments(text: str) -> Iterator[str]:
    """What libraries quote of a secret: a URL's password, path and arguments; a key without its 0x."""
    if "://" not in text:
        yield text.removeprefix("0x")
        return
    parts = urlsplit(text)
    candidates = [parts.password or "", parts.path, *parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    yield from (part for part in candidates if len(part) >= _SHORTEST_FRAGMENT or part == parts.password)
