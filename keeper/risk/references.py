"""Second opinions on prices: sources the config names beside the market's own, read at every head. Pure: it only says what to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keeper.ports import Apply, View
from keeper.types import Address, Log, LogFilter, Read, Write

LATEST_ROUND_DATA = bytes.fromhex("feaf968c")
DECIMALS = bytes.fromhex("313ce567")
ANSWER_WORD, UPDATED_AT_WORD = 1, 3
NEVER = 2**63


class References:
    """A `LogSource` without logs: AggregatorV3 contracts by address. No market or venue can have its name."""

    name = "price references"
    columns: tuple[str, ...] = ()
    first_block = NEVER

    def __init__(self, addresses: Iterable[Address]) -> None:
        self.addresses = tuple(sorted(set(addresses)))

    def price(self, view: View, address: Address, decimals: int, oldest_s: int) -> int | None:
        """Its answer with so many decimals; None when it has none, or none since `oldest_s`: a silent source contradicts nobody."""
        answer, own = self._cell(view, address, "answer"), self._cell(view, address, "decimals")
        fresh = self._cell(view, address, "at") >= oldest_s
        return answer * 10**decimals // 10 ** (own - 1) if answer and own and fresh else None

    def _cell(self, view: View, address: Address, field: str) -> int:
        return view.get(f"{self.name}/source", (address, field))

    # --- LogSource

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        return ()

    def apply(self, log: Log, view: View) -> list[Write]:
        return []

    def applier(self, view: View) -> Apply:
        return self.apply

    def reshapes(self, writes: Iterable[Write]) -> bool:
        return False

    def reads(self, view: View) -> tuple[Read, ...]:
        return tuple(Read(address, data) for address in self.addresses for data in (LATEST_ROUND_DATA, DECIMALS))

    def absorb(self, replies: Sequence[bytes | None], view: View) -> list[Write]:
        """Decimals are kept one higher: 0 is absence."""
        writes: list[Write] = []
        for address, latest, decimals in zip(self.addresses, replies[::2], replies[1::2], strict=True):
            fields = {
                "answer": _word(latest, ANSWER_WORD),
                "at": _word(latest, UPDATED_AT_WORD),
                "decimals": _word(decimals, 0) % 256 + 1 if decimals else 0,
            }
            writes += [(f"{self.name}/source", (address, field), value) for field, value in fields.items()]
        return writes


def _word(reply: bytes | None, index: int) -> int:
    """A word; 0 when it is negative, the call reverted, or it answered with less."""
    return max(int.from_bytes((reply or b"")[32 * index : 32 * index + 32], signed=True), 0)
