"""`keeper devnet`: the embedded devnet alone, until it is asked to stop."""

from __future__ import annotations

import sys

from keeper.devnet import DevnetOptions
from keeper.devnet.serve import serve


async def devnet(accounts: int, seed: int, port: int, block_time: float | None, as_json: bool) -> None:
    """Prints where it is when it is ready. `block_time` None: blocks only when asked for."""
    options = DevnetOptions(accounts=accounts, seed=seed, port=port, block_time_s=block_time)
    await serve(options, json=as_json, on_step=_say)


def _say(step: str) -> None:
    print(f"{step} …", file=sys.stderr, flush=True)
