"""Opening a market from its Witch: all I/O there is. Finds the Cauldron, the Ladle and the first block; all else follows from events."""

from __future__ import annotations

from keeper.adapters.yield_v2.cells import Deployment
from keeper.adapters.yield_v2.codec import reply_address, selector, topic
from keeper.adapters.yield_v2.events import GRANTED
from keeper.adapters.yield_v2.market import ADAPTER, YieldV2Market
from keeper.birth import require_births
from keeper.errors import ConfigError
from keeper.options import NO_OPTIONS, Options
from keeper.ports import Reader
from keeper.types import ZERO_ADDRESS, Address, LogFilter, Read

CAULDRON, LADLE = selector("cauldron()"), selector("ladle()")
ROLE_ADMIN_CHANGED = topic("RoleAdminChanged(bytes4,bytes4)")
REWARD = selector("auctioneerReward()")
LOCK = "0xffffffff"
BIRTH = frozenset({GRANTED, ROLE_ADMIN_CHANGED})


class YieldV2:
    """Yield v2. Its address is the Witch's."""

    name = ADAPTER

    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> YieldV2Market:
        """Raises ConfigError when `address` is no Witch; OptionError; Transient when the node is away."""
        reward_to = options.addresses(
            "reward_to", about="one address, that gets the starter's share of each auction: without it none is started"
        )
        options.finish()
        cauldron, ladle = await _contracts(reader, address)
        start = await _birth(reader, cauldron, first_block)
        return YieldV2Market(Deployment(name, address, cauldron, ladle, start, reward_to[0] if reward_to else None))


async def _contracts(reader: Reader, address: Address) -> tuple[Address, Address]:
    """Cauldron and Ladle of a Witch, checked both ways."""
    if not await reader.code(address):
        raise ConfigError(f"no contract at {address}; expected a Yield v2 Witch")
    cauldron, ladle, reward = await reader.calls([Read(address, data) for data in (CAULDRON, LADLE, REWARD)])
    found = reply_address(cauldron), reply_address(ladle)
    if found[0] is None or found[1] is None or reward is None or len(reward) != 32:
        raise ConfigError(f"{address} is not a Yield v2 Witch (it does not answer cauldron(), ladle() and auctioneerReward())")
    shared = reply_address((await reader.calls([Read(found[1], CAULDRON)]))[0])
    if shared != found[0]:
        raise ConfigError(
            f"{address} is not a Yield v2 Witch (its ladle() {found[1]} belongs to {shared or ZERO_ADDRESS}, not to its cauldron())"
        )
    return found[0], found[1]


async def _birth(reader: Reader, cauldron: Address, first_block: int | None) -> int:
    """The Cauldron gives its first role when it is created, and makes the lock its own admin, which nobody can later."""
    start, head = first_block or 0, await reader.head()
    logs = await reader.logs([LogFilter(cauldron, BIRTH, start)], start, head.number)
    if first_block is not None:
        locks = (log for log in logs if log.topics[0] == ROLE_ADMIN_CHANGED and log.topics[1].startswith(LOCK))
        require_births([cauldron], locks, first_block)
        return first_block
    if not logs:
        raise ConfigError(f"the node has no logs of the Cauldron {cauldron}: set first_block to the block it was deployed in")
    return logs[0].block_number
