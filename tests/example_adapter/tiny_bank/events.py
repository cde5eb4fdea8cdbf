"""What each log changes: pure, exact, and nothing for a log that is not the bank's own."""

from __future__ import annotations

from collections.abc import Callable

from keeper.chain.codec import to_address, topic
from keeper.ports import View
from keeper.types import Address, Log, Write
from tiny_bank.cells import Cells

Handler = Callable[[Cells, Log, list[Address], list[int], View], list[Write]]
"""(cells, log, addresses in its topics, words of its data, the state before it)"""


def apply(address: Address, cells: Cells, log: Log, view: View) -> list[Write]:
    """Also of a log that is cut short: nothing."""
    known = EVENTS.get(log.topics[0]) if log.topics and log.address == address else None
    if known is None:
        return []
    handler, topics, words = known
    if len(log.topics) != topics + 1 or len(log.data) != 32 * words:
        return []
    addresses = [to_address(int(one, 16)) for one in log.topics[1:]]
    return handler(cells, log, addresses, [int.from_bytes(log.data[at : at + 32]) for at in range(0, len(log.data), 32)], view)


def _deposited(cells: Cells, log: Log, who: list[Address], words: list[int], view: View) -> list[Write]:
    return [cells.add(view, cells.collateral, who[0], words[0])]


def _withdrawn(cells: Cells, log: Log, who: list[Address], words: list[int], view: View) -> list[Write]:
    return [cells.add(view, cells.collateral, who[0], -words[0])]


def _moved(cells: Cells, log: Log, who: list[Address], words: list[int], view: View) -> list[Write]:
    """To oneself it changes nothing."""
    if who[0] == who[1]:
        return []
    return [cells.add(view, cells.collateral, who[0], -words[0]), cells.add(view, cells.collateral, who[1], words[0])]


def _borrowed(cells: Cells, log: Log, who: list[Address], words: list[int], view: View) -> list[Write]:
    return [cells.add(view, cells.shares, who[0], words[0])]


def _repaid(cells: Cells, log: Log, who: list[Address], words: list[int], view: View) -> list[Write]:
    return [cells.add(view, cells.shares, who[0], -words[0])]


def _liquidated(cells: Cells, log: Log, who: list[Address], words: list[int], view: View) -> list[Write]:
    _, seized, shares = words
    return [cells.add(view, cells.collateral, who[0], -seized), cells.add(view, cells.shares, who[0], -shares)]


def _price_set(cells: Cells, log: Log, who: list[Address], words: list[int], view: View) -> list[Write]:
    return [(cells.bank, ("price",), words[0])]


def _rate_set(cells: Cells, log: Log, who: list[Address], words: list[int], view: View) -> list[Write]:
    fields = {"rate": words[0], "index": words[1], "since": log.timestamp_s}
    return [(cells.bank, (field,), value) for field, value in fields.items()]


def _paused_set(cells: Cells, log: Log, who: list[Address], words: list[int], view: View) -> list[Write]:
    return [(cells.bank, ("paused",), words[0])]


EVENTS: dict[str, tuple[Handler, int, int]] = {
    topic("Deposited(address,uint256)"): (_deposited, 1, 1),
    topic("Withdrawn(address,uint256)"): (_withdrawn, 1, 1),
    topic("Moved(address,address,uint256)"): (_moved, 2, 1),
    topic("Borrowed(address,uint256)"): (_borrowed, 1, 1),
    topic("Repaid(address,uint256)"): (_repaid, 1, 1),
    topic("Liquidated(address,address,uint256,uint256,uint256)"): (_liquidated, 2, 3),
    topic("PriceSet(uint256)"): (_price_set, 0, 1),
    topic("RateSet(uint256,uint256)"): (_rate_set, 0, 2),
    topic("PausedSet(bool)"): (_paused_set, 0, 1),
}
"""Topic 0 → handler, how many addresses and how many words the log has."""
