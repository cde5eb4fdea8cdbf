"""Opening a market from its ClearingHouse: the adapter's only I/O.

Finds its contracts, the books and collaterals there are, the feeds behind them, and the settings that no event announced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.adapters.perp_v2.cells import BookInfo, Collateral, Deployment, Feed
from keeper.adapters.perp_v2.codec import address_word as address_at
from keeper.adapters.perp_v2.codec import call_data, reply_address, reply_text, reply_word, selector, topic, topic_address
from keeper.adapters.perp_v2.market import ADAPTER, PerpV2Market
from keeper.birth import require_births
from keeper.errors import ConfigError
from keeper.options import NO_OPTIONS, Options
from keeper.ports import Reader
from keeper.types import ZERO_ADDRESS, Address, Log, LogFilter, Read

OWNED = topic("OwnershipTransferred(address,address)")
POOL_ADDED = topic("PoolAdded(address,uint24,address)")
COLLATERAL_ADDED = topic("CollateralAdded(address,address,uint24,uint24,uint256)")
INITIALIZE = topic("Initialize(uint160,int24)")

CONTRACTS = {
    "vault": "getVault()",
    "account_balance": "getAccountBalance()",
    "config": "getClearingHouseConfig()",
    "exchange": "getExchange()",
    "insurance_fund": "getInsuranceFund()",
}
CONFIG = {
    "im": "getImRatio()",
    "mm": "getMmRatio()",
    "penalty": "getLiquidationPenaltyRatio()",
    "max_funding": "getMaxFundingRate()",
    "twap_window_s": "getTwapInterval()",
}
COLLATERAL_CONFIG = {
    "fund_fee": "getCLInsuranceFundFeeRatio()",
    "dust": "getCollateralValueDust()",
    "debt_ratio": "getDebtNonSettlementTokenValueRatio()",
    "debt_threshold": "getDebtThreshold()",
    "liquidation_ratio": "getLiquidationRatio()",
    "mm_buffer": "getMmRatioBuffer()",
}
LATEST_SPOT_WINDOW_S = 15
"""From the version on that has no partial close, the mark's spot term is averaged over it."""

NO_FEED = Feed(ZERO_ADDRESS, ZERO_ADDRESS, 0)
"""The settlement token is what everything is valued in."""


class PerpV2:
    """Perp v2 (Curie). Its address is the ClearingHouse's."""

    name = ADAPTER

    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> PerpV2Market:
        """Raises ConfigError when `address` is no ClearingHouse of a known version; Transient when the node is away."""
        accounts = options.addresses("accounts", about="contracts of ours that hold positions, whose wallets are read")
        options.finish()
        return PerpV2Market(await _Discovery(reader, address).deployment(name, first_block, accounts))


class _Discovery:
    def __init__(self, reader: Reader, address: Address) -> None:
        self._reader, self._address = reader, address

    async def deployment(self, name: str, first_block: int | None, accounts: tuple[Address, ...] = ()) -> Deployment:
        parts = await self._contracts()
        head = await self._reader.head()
        owned = [self._address, *parts.values()]
        start = first_block or 0
        history = await self._logs([*owned], frozenset({OWNED, POOL_ADDED, COLLATERAL_ADDED}), start, head.number)
        if first_block is not None:
            require_births(owned, (log for log in history if log.topics[0] == OWNED and not int(log.topics[1], 16)), first_block)
        pools = {topic_address(log.topics[1]): topic_address(log.topics[3]) for log in history if log.topics[0] == POOL_ADDED}
        tokens = dict.fromkeys(topic_address(log.topics[1]) for log in history if log.topics[0] == COLLATERAL_ADDED)
        born = history + (await self._logs([*pools.values()], frozenset({INITIALIZE}), start, head.number) if pools else [])
        if not pools:
            raise ConfigError(f"the node has no logs of a market of {self._address}: set first_block to the block it was deployed in")
        settings, spot_window_s = await self._settings(parts)
        manager = parts["collateral_manager"]
        return Deployment(
            name=name,
            clearing_house=self._address,
            settlement=await self._token(await self._address_of(parts["vault"], "getSettlementToken()"), NO_FEED),
            first_block=min(log.block_number for log in born) if first_block is None else first_block,
            known_block=head.number,
            spot_window_s=spot_window_s,
            defaults=settings,
            books=tuple([await self._book(parts, base, pool) for base, pool in pools.items()]),
            collaterals=tuple([await self._token(token, await self._collateral_feed(manager, token)) for token in tokens]),
            accounts=accounts,
            **parts,
        )

    async def _contracts(self) -> dict[str, Address]:
        """By field of a Deployment, checked both ways."""
        if not await self._reader.code(self._address):
            raise ConfigError(f"no contract at {self._address}; expected a Perpetual Protocol v2 ClearingHouse")
        found = {field: await self._address_of(self._address, call) for field, call in CONTRACTS.items()}
        owner = await self._address_of(found["vault"], "getClearingHouse()")
        if owner != self._address:
            raise ConfigError(f"{self._address} is not a Perpetual Protocol v2 ClearingHouse (its getVault() belongs to {owner})")
        found["registry"] = await self._address_of(found["exchange"], "getMarketRegistry()")
        found["collateral_manager"] = await self._address_of(found["vault"], "getCollateralManager()")
        return found

    async def _settings(self, parts: Mapping[str, Address]) -> tuple[dict[str, int], int]:
        """(settings, the window of the mark's spot term)"""
        config, manager = parts["config"], parts["collateral_manager"]
        found = {field: await self._word(config, call) for field, call in CONFIG.items()}
        found |= {field: await self._word(manager, call) for field, call in COLLATERAL_CONFIG.items()}
        reads = [Read(config, selector(call)) for call in ("getMarkPriceConfig()", "getPartialCloseRatio()")]
        marks, partial = await self._reader.calls(reads)
        windows = reply_word(marks), reply_word(marks, 1)
        if windows[0] is None or windows[1] is None:
            raise ConfigError(f"{self._address} is of a version that is not known: it has no getMarkPriceConfig()")
        close = reply_word(partial)
        found |= {"mark_window_s": windows[0], "premium_window_s": windows[1], "partial_close": close or 0}
        return found, LATEST_SPOT_WINDOW_S if close is None else 0

    async def _book(self, parts: Mapping[str, Address], base: Address, pool: Address) -> BookInfo:
        info = await self._reader.call(Read(parts["registry"], call_data(selector("getMarketInfo(address)"), base)))
        names = ("pool", "exchange", "fee", "insurance", "spread")
        defaults = {field: reply_word(info, at) or 0 for at, field in enumerate(names) if at}
        defaults["max_ticks"] = await self._word(parts["exchange"], "getMaxTickCrossedWithinBlock(address)", base)
        dispatcher = await self._address_of(base, "getPriceFeed()")
        feed = await self._feed(await self._address_of(dispatcher, "getChainlinkPriceFeedV3()"))
        return BookInfo(base, await self._symbol(base), pool, await self._word(pool, "tickSpacing()"), feed, defaults)

    async def _collateral_feed(self, manager: Address, token: Address) -> Feed:
        reply = await self._reader.call(Read(manager, call_data(selector("getCollateralConfig(address)"), token)))
        return await self._feed(address_at(reply, 0))

    async def _feed(self, address: Address) -> Feed:
        return Feed(address, await self._address_of(address, "getAggregator()"), await self._word(address, "decimals()"))

    async def _token(self, address: Address, feed: Feed) -> Collateral:
        return Collateral(address, await self._symbol(address), await self._word(address, "decimals()"), feed)

    async def _symbol(self, token: Address) -> str:
        return reply_text((await self._reader.calls([Read(token, selector("symbol()"))]))[0]) or token[:10]

    async def _logs(self, addresses: Sequence[Address], topics: frozenset[str], start: int, end: int) -> list[Log]:
        return list(await self._reader.logs([LogFilter(address, topics, start) for address in addresses], start, end))

    async def _word(self, target: Address, call: str, *arguments: Address) -> int:
        found = reply_word((await self._reader.calls([Read(target, call_data(selector(call), *arguments))]))[0])
        if found is None:
            raise ConfigError(f"{self._address} is not a Perpetual Protocol v2 ClearingHouse ({call} of {target} gives no answer)")
        return found

    async def _address_of(self, target: Address, call: str) -> Address:
        found = reply_address((await self._reader.calls([Read(target, selector(call))]))[0])
        if found is None:
            raise ConfigError(f"{self._address} is not a Perpetual Protocol v2 ClearingHouse ({call} of {target} gives no address)")
        return found
