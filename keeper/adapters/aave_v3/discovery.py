"""Opening a market from its PoolAddressesProvider: the adapter's only I/O.

Finds the Pool, the PoolConfigurator, the first block and every implementation the Pool ever had, so that old events are read by the rules
of their time.
"""

from __future__ import annotations

from collections.abc import Sequence

from keeper.adapters.aave_v3.cells import Deployment, Era
from keeper.adapters.aave_v3.codec import reply_address, reply_word, selector, topic
from keeper.adapters.aave_v3.governance import ADDRESS_SET_AS_PROXY, POOL_UPDATED, implementation
from keeper.adapters.aave_v3.market import ADAPTER, AaveV3Market
from keeper.adapters.aave_v3.versions import rule_set
from keeper.birth import require_births
from keeper.errors import ConfigError
from keeper.options import NO_OPTIONS, Options
from keeper.ports import Reader
from keeper.types import ZERO_ADDRESS, Address, Log, LogFilter, Read

GET_MARKET_ID = selector("getMarketId()")
GET_POOL = selector("getPool()")
GET_POOL_CONFIGURATOR = selector("getPoolConfigurator()")
GET_PRICE_ORACLE = selector("getPriceOracle()")
POOL_REVISION = selector("POOL_REVISION()")
ADDRESSES_PROVIDER = selector("ADDRESSES_PROVIDER()")
BASE_CURRENCY = selector("BASE_CURRENCY()")
BASE_CURRENCY_UNIT = selector("BASE_CURRENCY_UNIT()")

OWNED = topic("OwnershipTransferred(address,address)")
HISTORY = frozenset({topic("MarketIdSet(string,string)"), OWNED, POOL_UPDATED, ADDRESS_SET_AS_PROXY})


class AaveV3:
    """Aave v3, 3.0 to 3.7. Its address is the market's PoolAddressesProvider."""

    name = ADAPTER

    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> AaveV3Market:
        """Raises ConfigError when `address` is no PoolAddressesProvider of a known version; Transient when the node is away."""
        options.finish()
        pool, configurator, oracle = await _contracts(reader, address)
        revision = reply_word((await reader.calls([Read(pool, POOL_REVISION)]))[0])
        if revision is None:
            raise ConfigError(f"the Pool {pool} of {address} does not answer POOL_REVISION(): it is not an Aave v3 pool")
        rule_set(revision)
        history = await _history(reader, address, first_block)
        start = history[0].block_number if first_block is None else first_block
        eras = await _eras(reader, history, revision, start)
        return AaveV3Market(Deployment(name, address, pool, configurator, start, eras, await _unit(reader, oracle)))


async def _contracts(reader: Reader, address: Address) -> tuple[Address, Address, Address]:
    """Pool, configurator and oracle of a provider, checked both ways."""
    if not await reader.code(address):
        raise ConfigError(f"no contract at {address}; expected an Aave v3 PoolAddressesProvider")
    reads = [Read(address, data) for data in (GET_MARKET_ID, GET_POOL, GET_POOL_CONFIGURATOR, GET_PRICE_ORACLE)]
    market_id, *replies = await reader.calls(reads)
    found = [reply_address(reply) for reply in replies]
    names = ("getMarketId()", "getPool()", "getPoolConfigurator()", "getPriceOracle()")
    for call, answer in zip(names, (reply_word(market_id), *found), strict=True):
        if answer is None:
            raise ConfigError(f"{address} is not an Aave v3 PoolAddressesProvider ({call} gives no answer)")
    pool, configurator, oracle = (value or ZERO_ADDRESS for value in found)
    owner = reply_address((await reader.calls([Read(pool, ADDRESSES_PROVIDER)]))[0])
    if owner != address:
        raise ConfigError(f"{address} is not an Aave v3 PoolAddressesProvider (its getPool() {pool} belongs to {owner or 'no provider'})")
    return pool, configurator, oracle


async def _history(reader: Reader, address: Address, first_block: int | None) -> Sequence[Log]:
    """The provider's birth and the Pool's implementations, oldest first."""
    head = await reader.head()
    start = first_block or 0
    logs = await reader.logs([LogFilter(address, HISTORY, start)], start, head.number)
    if first_block is not None:
        require_births([address], (log for log in logs if log.topics[0] == OWNED and not int(log.topics[1], 16)), first_block)
    elif not logs:
        raise ConfigError(f"the node has no logs of {address}: set first_block to the block it was deployed in")
    return logs


async def _eras(reader: Reader, history: Sequence[Log], revision: int, start: int) -> tuple[Era, ...]:
    """The rules from each implementation on. An implementation's own revision stays readable after it is replaced."""
    updates = [(log, found) for log in history if (found := implementation(log)) is not None]
    if not updates:
        return (Era((start, 0), rule_set(revision)),)
    reads = [Read(found, POOL_REVISION) for _, found in updates[:-1]]
    revisions = [reply_word(reply) for reply in (await reader.calls(reads) if reads else [])]
    rules = [rule_set(revision if found is None else found) for found in (*revisions, revision)]
    return tuple(Era((log.block_number, log.log_index), rule) for (log, _), rule in zip(updates, rules, strict=True))


async def _unit(reader: Reader, oracle: Address) -> str:
    """ "usd-8", or the base currency's address and its decimals."""
    currency, unit = await reader.calls([Read(oracle, BASE_CURRENCY), Read(oracle, BASE_CURRENCY_UNIT)])
    decimals = len(str(reply_word(unit) or 10**8)) - 1
    base = reply_address(currency)
    return f"{base or 'usd'}-{decimals}"
