"""Opening a venue: the only I/O. Proves that the address is a Uniswap v3 factory, and finds the block it was deployed in."""

from __future__ import annotations

from keeper.errors import ConfigError, Skip
from keeper.options import NO_OPTIONS, Options
from keeper.ports import Reader
from keeper.types import Address, LogFilter, Read
from keeper.venues.uniswap_v3 import events
from keeper.venues.uniswap_v3.venue import UniswapV3Venue

TICK_SPACING_SELECTOR = bytes.fromhex("22afcccb")
BUILT_IN_SPACINGS = {500: 10, 3000: 60, 10000: 200}
"""Fee tiers that every factory is born with. Forks with other tiers also call back by other names, so they must not pass."""


class UniswapV3:
    """Uniswap v3 and its forks. Its address is the factory's."""

    name = "uniswap-v3"

    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> UniswapV3Venue:
        """Raises ConfigError when there is no such factory at the address."""
        options.finish()
        if not await reader.code(address):
            raise ConfigError(f"no contract at {address}; expected a Uniswap v3 factory")
        if not await _is_factory(reader, address):
            raise ConfigError(f"{address} is not a Uniswap v3 factory")
        return UniswapV3Venue(name, address, await _birth(reader, address) if first_block is None else first_block)


async def _is_factory(reader: Reader, address: Address) -> bool:
    for fee, spacing in BUILT_IN_SPACINGS.items():
        try:
            reply = await reader.call(Read(address, TICK_SPACING_SELECTOR + fee.to_bytes(32, "big")))
        except Skip:
            return False
        if reply != spacing.to_bytes(32, "big"):
            return False
    return True


async def _birth(reader: Reader, address: Address) -> int:
    """The block of the constructor's own log; 0 if the node no longer has it. Later changes of owner are few, so this is cheap."""
    head = await reader.head()
    logs = await reader.logs([LogFilter(address, frozenset({events.OWNER_CHANGED}), 0)], 0, head.number)
    return logs[0].block_number if logs else 0
