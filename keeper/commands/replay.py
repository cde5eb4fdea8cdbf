"""`keeper replay FILE`: a recorded run again, plan by plan."""

from __future__ import annotations

import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

from keeper.config import Settings
from keeper.daemon import replay as run_again


async def replay(settings: Settings, recording: Path) -> list[dict[str, Any]]:
    """One row a plan; `same`: the replay came to exactly the recorded plan, calldata included."""
    found = await run_again(settings, recording)
    if not found.recorded and not found.replayed:
        print("neither the recording nor its replay has a plan: nothing was worth liquidating", file=sys.stderr)
    return [_row(number, *pair) for number, pair in enumerate(zip_longest(found.recorded, found.replayed), start=1)]


def _row(number: int, recorded: dict[str, Any] | None, replayed: dict[str, Any] | None) -> dict[str, Any]:
    shown = recorded or replayed or {}
    plan = shown["plan"]
    return {"number": number, "market": plan["market"], "account": plan["account"], "profit": shown["profit"], "same": recorded == replayed}
