"""How a check fails: with who, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN = 5


class Nonconformity(AssertionError):
    """The adapter does not keep what a market must keep."""


def require(holds: bool, otherwise: str) -> None:
    """Raises Nonconformity."""
    if not holds:
        raise Nonconformity(otherwise)


def same(found: object, expected: object, what: str) -> None:
    """Raises Nonconformity with both."""
    if found != expected:
        raise Nonconformity(f"{what}: expected {_shown(expected)}, got {_shown(found)}")


def alike(found: Mapping[Any, object], expected: Mapping[Any, object], what: str, nothing: object = 0) -> None:
    """The same values under the same names, `nothing` being as good as absent. Raises Nonconformity with those that differ."""
    names = [*expected, *(name for name in found if name not in expected)]
    pairs = [(name, expected.get(name, nothing), found.get(name, nothing)) for name in names]
    wrong = [f"{name}: expected {_shown(theirs)}, got {_shown(ours)}" for name, theirs, ours in pairs if ours != theirs]
    if wrong:
        raise Nonconformity(f"{what}: {len(wrong)} differ: {'; '.join(wrong[:SHOWN])}")


def enough(count: int, least: int, what: str) -> None:
    """A check that has seen nothing proves nothing. Raises Nonconformity."""
    if count < least:
        raise Nonconformity(f"only {count} {what} were seen, it takes {least}: let actions() bring about more, or raise `blocks`")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + " …"
