"""What is written on the command line, as values; a wrong word is a BadParameter that says what is wanted. Nothing heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from keeper.commands.stress import Shock
    from keeper.types import Address, Hash

_FEWEST, _MOST = 100, 10_000_000
_MOST_SEEDS = 1_000


def health_factor(text: str) -> int:
    from decimal import Decimal, InvalidOperation

    try:
        return int(Decimal(text) * 10**18)
    except (InvalidOperation, ValueError, OverflowError):
        raise typer.BadParameter(f"must be a number such as 1.05, was {text!r}") from None


def sizes(text: str) -> tuple[int, ...]:
    units = {"k": 1_000, "m": 1_000_000}
    found = []
    for word in text.lower().split(","):
        digits, unit = (word[:-1], units[word[-1]]) if word[-1:] in units else (word, 1)
        if not (digits.isascii() and digits.isdigit()) or not _FEWEST <= int(digits) * unit <= _MOST:
            raise typer.BadParameter(f"must be sizes from {_FEWEST} to 10m such as 1k,1m, was {text!r}")
        found.append(int(digits) * unit)
    return tuple(dict.fromkeys(found))


def names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def seeds(text: str) -> range:
    """One, or the first and the last of many."""
    words = text.split("-")
    found = [int(word) for word in (words[0], words[-1]) if word.isascii() and word.isdigit()]
    if len(words) > 2 or len(found) < 2 or not found[0] <= found[1] < found[0] + _MOST_SEEDS:
        raise typer.BadParameter(f"must be a number, or at most {_MOST_SEEDS} such as 101-105, was {text!r}")
    return range(found[0], found[1] + 1)


def account(text: str) -> Address:
    from keeper.address import parse_address

    try:
        return parse_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def account_or_transaction(text: str) -> Address | Hash:
    from keeper.types import Hash

    digits = text.removeprefix("0x").lower()
    if len(digits) == 64 and not set(digits) - set("0123456789abcdef"):
        return Hash(f"0x{digits}")
    if len(digits) == 40:
        return account(text)
    raise typer.BadParameter(f"must be an address, 0x and 40 hex digits, or a transaction, 0x and 64, was {text!r}")


def shock(text: str) -> Shock:
    from keeper.commands.stress import parse_shock

    try:
        return parse_shock(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
