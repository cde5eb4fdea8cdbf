"""What an adapter is told: read as what it must be, refused in a line that names the option."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keeper.options import Option, OptionError, Options, asked_for

TOKEN = "0x" + "Ab" * 20
READ: dict[str, Callable[[Options], object]] = {
    "addresses": lambda options: options.addresses("x"),
    "table": lambda options: options.addresses_by_address("x"),
    "whole": lambda options: options.whole("x", 1, 1, 9),
    "flag": lambda options: options.flag("x", True),
    "word": lambda options: options.word("x", ("a", "b"), "a"),
}


@pytest.mark.parametrize(
    ("kind", "given", "found"),
    [
        ("addresses", [TOKEN], (TOKEN.lower(),)),
        ("addresses", [], ()),
        ("table", {TOKEN: [TOKEN]}, {TOKEN.lower(): (TOKEN.lower(),)}),
        ("whole", 9, 9),
        ("flag", False, False),
        ("word", "b", "b"),
    ],
)
def test_an_option_is_read(kind: str, given: object, found: object) -> None:
    options = Options({"x": given})
    assert READ[kind](options) == found
    options.finish()


@pytest.mark.parametrize(("kind", "found"), [("addresses", ()), ("table", {}), ("whole", 1), ("flag", True), ("word", "a")])
def test_an_absent_option_has_its_default(kind: str, found: object) -> None:
    assert READ[kind](Options()) == found


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("addresses", TOKEN, f"must be a list of 0x and 40 hexadecimal digits each, was '{TOKEN}'"),
        ("addresses", ["0x12"], "must be a list of 0x and 40 hexadecimal digits each, was ['0x12']"),
        ("addresses", [7], "must be a list of 0x and 40 hexadecimal digits each, was [7]"),
        ("addresses", ["0x" + "g" * 40], f"must be a list of 0x and 40 hexadecimal digits each, was ['0x{'g' * 40}']"),
        ("table", [TOKEN], f"must be a table of addresses, each with a list of addresses, was ['{TOKEN}']"),
        ("table", {"x": []}, "must be a table of addresses, each with a list of addresses, was {'x': []}"),
        ("table", {TOKEN: TOKEN}, f"must be a table of addresses, each with a list of addresses, was {{'{TOKEN}': '{TOKEN}'}}"),
        ("whole", 10, "must be a whole number from 1 to 9, was 10"),
        ("whole", True, "must be a whole number from 1 to 9, was True"),
        ("whole", 1.0, "must be a whole number from 1 to 9, was 1.0"),
        ("flag", 1, "must be true or false, was 1"),
        ("word", "c", "must be 'a' or 'b', was 'c'"),
    ],
)
def test_a_value_of_another_kind_is_refused(kind: str, given: object, told: str) -> None:
    with pytest.raises(OptionError) as caught:
        READ[kind](Options({"x": given}))
    assert (caught.value.option, str(caught.value)) == ("x", told)


@pytest.mark.parametrize(
    ("given", "told"), [("tokns", "did you mean tokens?"), ("zebra", "there are tokens"), (None, "this adapter has none")]
)
def test_an_option_nobody_asked_for_is_refused(given: str | None, told: str) -> None:
    options = Options({given or "zebra": 1})
    if given:
        options.addresses("tokens")
    with pytest.raises(OptionError, match=f"^there is no such option: {told.replace('?', '.')}$"):
        options.finish()


async def test_what_an_adapter_asks_for_is_known_without_a_node() -> None:
    async def opening(reader: None, name: str, address: str, first_block: None, options: Options) -> None:
        options.whole("least", 3, 1, 9, about="the fewest")
        options.flag("strict", True)
        options.finish()
        pytest.fail("it went on")

    least = Option("least", "a whole number from 1 to 9", 3, "the fewest")
    assert await asked_for(opening) == (least, Option("strict", "true or false", True, ""))


async def test_an_adapter_that_wants_a_node_before_its_options_are_read_is_not_believed() -> None:
    async def asks_first(reader: Any, name: str, address: str, first_block: None, options: Options) -> None:
        await reader.head()
        options.finish()

    async def never_finishes(reader: Any, name: str, address: str, first_block: None, options: Options) -> None:
        options.flag("strict", True)

    assert [await asked_for(asks_first), await asked_for(never_finishes)] == [None, None]
