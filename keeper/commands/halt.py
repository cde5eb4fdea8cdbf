"""`keeper halt` and `keeper resume`: the kill switch, of one chain or of all. They work beside a running keeper, and without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from keeper.app import halt_file, ledger_path
from keeper.config import Settings
from keeper.config.settings import ChainSettings
from keeper.errors import ConfigError
from keeper.ledger.reading import reading

Row = dict[str, Any]

BY_COMMAND = "keeper halt"


async def halt(settings: Settings, chain: str | None, why: str) -> AsyncIterator[Row]:
    """One row a chain. Raises ConfigError for a chain that is none, Halt where the file cannot be made."""
    for named in _chosen(settings, chain):
        file = halt_file(settings, named)
        file.halt(why or BY_COMMAND)
        yield {"chain": named.name, "halted": True, "why": file.why()}


async def resume(settings: Settings, chain: str | None) -> AsyncIterator[Row]:
    """One row a chain: `why` it had stopped. Raises ConfigError for a chain that is none, Halt where the file cannot be taken away."""
    for named in _chosen(settings, chain):
        async with reading(ledger_path(settings, named), named.chain_id) as ledger:
            counted = await ledger.newest() if ledger else 0
        yield {"chain": named.name, "halted": False, "why": halt_file(settings, named).resume(counted)}


def _chosen(settings: Settings, chain: str | None) -> list[ChainSettings]:
    chosen = [named for named in settings.chains if chain in (None, named.name)]
    if not chosen:
        raise ConfigError(f"no chain is named {chain!r}: there are {', '.join(named.name for named in settings.chains)}")
    return chosen
