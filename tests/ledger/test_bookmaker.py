"""Every liquidation on a real chain is seen, whoever made it: the winner, what he paid, his place, and what it was worth to us."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.bidding.budget import Purse
from keeper.ledger.bookmaker import Learned

PURSE = Purse(10, 20, 30)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"block": 3}', '{"block": "x", "odds": [], "spent": []}', '{"block": 1, "odds": [3], "spent": []}']
)
async def test_a_file_that_was_never_written_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "races.json"
    path.write_text(text)
    learned = await Learned.recall(path, PURSE)
    assert (learned.block, learned.odds.state(), learned.budget.spent) == (0, [], [])
