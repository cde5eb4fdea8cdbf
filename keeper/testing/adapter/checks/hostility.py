"""Logs no honest node sends, and those that a hostile contract may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from keeper.book.state import Overlay
from keeper.errors import KeeperError
from keeper.testing.adapter.case import Case, State
from keeper.testing.adapter.expect import enough, require, same
from keeper.testing.adapter.life import nobody
from keeper.types import Log, Write

STRANGER = nobody("stranger")
UNKNOWN = "0x" + "5a" * 32
OF_A_KIND = 3
"""Logs of the same contract and topic that are looked at."""

GARBAGE = (b"", b"\0", bytes(4), b"\x08\xc3\x79\xa0", b"\x08\xc3\x79\xa0" + b"\xff" * 64, b"\xff" * 3, b"\xff" * 4, b"\xff" * 1000)


class Hostility:
    async def test_a_stranger_moves_nobodys_position(self, case: Case) -> None:
        """The market's own words from the mouth of a contract that it does not follow."""
        for state, log in await _samples(case):
            writes = _applied(state, replace(log, address=STRANGER)) or []
            require(not state.market.touched(writes), f"{log.topics[0]} from a stranger touches {state.market.touched(writes)}")

    async def test_a_topic_nobody_knows_changes_nothing(self, case: Case) -> None:
        for state, log in await _samples(case):
            for topics in ((UNKNOWN, *log.topics[1:]), ()):
                same(_applied(state, replace(log, topics=topics)) or [], [], f"writes of a log of {log.address} with the topics {topics}")

    async def test_a_log_that_is_cut_short_is_ignored_or_refused(self, case: Case) -> None:
        """Never read as if zeros followed: no write, a KeeperError, or the whole log's writes where the rest is not needed."""
        for state, log in await _samples(case):
            whole = _applied(state, log)
            for cut in _cut(log):
                found = _applied(state, cut)
                what = f"writes of a log of {log.address} of {log.topics[0]}, cut to {len(cut.topics)} topics and {len(cut.data)} bytes"
                require(found is None or found in ([], whole), f"{what}: expected none or {whole}, got {found}")

    async def test_absurd_numbers_stay_where_they_were_put(self, case: Case) -> None:
        """Every word of the data as large as can be: other people's positions are what they were, and all of it can be undone."""
        for state, log in await _samples(case):
            absurd = _applied(state, replace(log, data=b"\xff" * len(log.data)))
            for table, key, value in absurd or []:
                require(table.startswith(state.market.name), f"{log.topics[0]} with absurd numbers writes to {table}")
                require(type(value) is int, f"{log.topics[0]} with absurd numbers writes {value!r} to {table} {key}")
            normal = _applied(state, log) or []
            named = {*_named(log), *state.market.touched(normal)}
            others = {account for account in state.market.touched(absurd or []) if account not in named and account[2:] != "f" * 40}
            require(not others, f"{log.topics[0]} with absurd numbers touches {others}, whom it does not name")

    async def test_the_same_log_is_the_same_writes_and_leaves_the_state_alone(self, case: Case) -> None:
        for state, log in await _samples(case):
            version, view = state.view.version, Overlay(state.view)
            first, again = state.market.apply(log, view), state.market.apply(log, view)
            same(again, first, f"writes of a log of {log.address} applied once more")
            same((state.view.version, view.writes()), (version, []), f"writes that apply makes by itself, at a log of {log.address}")

    async def test_any_revert_data_can_be_decoded(self, case: Case) -> None:
        market = await case.open()
        for data in GARBAGE:
            name = market.decode_error(data)
            require(name is None or bool(name), f"the name of the revert {data[:8].hex()} is empty")


async def _samples(case: Case) -> list[tuple[State, Log]]:
    """Some logs of every kind, on the state after the last block."""
    (*_, last) = await case.states()
    filters = last.market.filters(last.view)
    kinds: dict[tuple[str, str], list[Log]] = {}
    for log in reversed(await case.reader.logs(filters, last.market.first_block, case.life.last.number)):
        kinds.setdefault((log.address, log.topics[0]), []).append(log)
    found = [(last, log) for logs in kinds.values() for log in islice(logs, OF_A_KIND)]
    enough(len(found), 5, "logs of the market")
    return found


def _applied(state: State, log: Log) -> list[Write] | None:
    """None where it is refused with a clear error."""
    try:
        return state.market.apply(log, state.view)
    except KeeperError:
        return None


def _cut(log: Log) -> Iterator[Log]:
    size = len(log.data)
    for length in sorted({0, 1, 31, size // 2, size - 32, size - 1} & set(range(size))):
        yield replace(log, data=log.data[:length])
    for count in range(1, len(log.topics)):
        yield replace(log, topics=log.topics[:count])


def _named(log: Log) -> Sequence[str]:
    words = [log.data[at : at + 32].hex() for at in range(0, len(log.data), 32)]
    return [*("0x" + topic[-40:] for topic in log.topics[1:]), *("0x" + word[-40:] for word in words)]
