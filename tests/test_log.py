"""Logs: structured, on the stream given, cheap when off, and never with a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from keeper import log
from keeper.secret import Secret, hide

URL = "https://node.example/v2/sesamesesamesesame"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def test_a_json_line_is_event_and_values() -> None:
    stream = io.StringIO()
    log.setup("info", "json", stream)
    log.get_logger("feed").info("block", number=7)
    line = json.loads(stream.getvalue())
    assert {key: line[key] for key in ("event", "level", "part", "number")} == {
        "event": "block",
        "level": "info",
        "part": "feed",
        "number": 7,
    }


def test_a_console_line_has_event_and_values_and_no_colour_off_a_terminal() -> None:
    stream = io.StringIO()
    log.setup("info", "console", stream)
    log.get_logger("feed").info("block", number=7)
    assert "block" in stream.getvalue()
    assert "number=7" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_secret_gets_into_a_line_or_a_traceback(style: str) -> None:
    stream = io.StringIO()
    hide(Secret(URL))
    log.setup("debug", style, stream)
    logger = log.get_logger("feed")
    logger.info(f"calling {URL}", url=Secret(URL), nested={"url": [URL]})
    try:
        raise ConnectionError(f"cannot reach {URL}")
    except ConnectionError:
        logger.exception("failed")
        logging.getLogger("some.library").exception("gave up on %s", URL)
    assert "sesame" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 5
    assert "ConnectionError" in stream.getvalue()


def test_a_level_that_is_off_formats_nothing() -> None:
    class Untouchable:
        def __repr__(self) -> str:
            raise AssertionError("formatted")

    stream = io.StringIO()
    log.setup("warning", "console", stream)
    log.get_logger("feed").info("block", value=Untouchable())
    assert stream.getvalue() == ""


def test_what_libraries_log_takes_the_same_way() -> None:
    stream = io.StringIO()
    log.setup("info", "json", stream)
    logging.getLogger("aiohttp.client").warning("slow %s", "node")
    logging.getLogger("aiohttp.client").info("chatter")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["part"], line["level"]) for line in lines] == [("slow node", "aiohttp.client", "warning")]
