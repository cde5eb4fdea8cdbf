"""Opening a Morpho singleton from its address: the adapter's only I/O.

Of its options it needs `markets` or `feeds`, or both. By the feeds every market is followed whose two tokens are among them, whose oracle
is composed of the feeds of these two alone, and whose LLTV and debt are within the bounds; those with the most debt first.
"""

from __future__ import annotations

from keeper.adapters.morpho_blue.cells import MOST_MARKETS, Deployment, Policy
from keeper.adapters.morpho_blue.codec import WORD, call_data, reply_word, selector, topic
from keeper.adapters.morpho_blue.market import ADAPTER, BPS_WAD, MorphoBlueMarket
from keeper.birth import require_births
from keeper.errors import ConfigError
from keeper.options import NO_OPTIONS, OptionError, Options
from keeper.ports import Reader
from keeper.types import Address, LogFilter, Read

PROBES = {
    "owner()": selector("owner()"),
    "feeRecipient()": selector("feeRecipient()"),
    "isLltvEnabled(uint256)": call_data(selector("isLltvEnabled(uint256)"), 0),
    "extSloads(bytes32[])": call_data(selector("extSloads(bytes32[])"), WORD, 0),
}
BIRTH = topic("SetOwner(address)")
MOST_LLTV_BPS = 10_000
MOST_USD = 10**12


class MorphoBlue:
    """Morpho Blue. Its address is the singleton's."""

    name = ADAPTER

    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> MorphoBlueMarket:
        """Raises ConfigError when `address` is no Morpho singleton, OptionError when it follows no market, Transient without a node."""
        policy = _policy(options)
        if not await reader.code(address):
            raise ConfigError(f"no contract at {address}; expected a Morpho singleton")
        replies = await reader.calls([Read(address, data) for data in PROBES.values()])
        for call, reply in zip(PROBES, replies, strict=True):
            if reply_word(reply) is None:
                raise ConfigError(f"{address} is not a Morpho singleton ({call} gives no answer)")
        return MorphoBlueMarket(Deployment(name, address, await _birth(reader, address, first_block), policy))


def _policy(options: Options) -> Policy:
    markets = frozenset(options.hexes("markets", 32, about="ids that are followed whatever they are made of"))
    trusted = options.addresses_by_address("feeds", about="the feeds that price each token: markets of two such tokens are followed")
    feeds = {token: frozenset(known) for token, known in trusted.items()}
    dollars = frozenset(options.addresses("dollars", about="tokens that may go without a feed in an oracle"))
    least = options.whole("least_lltv_bps", 0, 0, MOST_LLTV_BPS, about="markets with a lower LLTV are followed by id only")
    most = options.whole("most_lltv_bps", MOST_LLTV_BPS, 0, MOST_LLTV_BPS, about="markets with a higher LLTV are followed by id only")
    room = options.whole(
        "most_markets", MOST_MARKETS, 1, MOST_MARKETS, about="how many are followed at most, those with the most debt first"
    )
    least_usd = options.whole("least_borrowed_usd", 0, 0, MOST_USD, about="markets where less is borrowed are followed by id only")
    options.finish()
    if not markets and not feeds:
        raise OptionError("markets", "no market would be followed: name markets by their ids, or the feeds to trust for each token")
    return Policy(markets, feeds, dollars, least * BPS_WAD, most * BPS_WAD, room, least_usd)


async def _birth(reader: Reader, address: Address, first_block: int | None) -> int:
    """Its first log names its owner."""
    start, head = first_block or 0, await reader.head()
    logs = await reader.logs([LogFilter(address, frozenset({BIRTH}), start)], start, head.number)
    if first_block is not None:
        require_births([address], logs, first_block)
        return first_block
    if not logs:
        raise ConfigError(f"the node has no logs of {address}: set first_block to the block it was deployed in")
    return logs[0].block_number
