"""A deployment made of numbers, for rules that need no chain."""

from __future__ import annotations

from keeper.adapters.perp_v2.cells import BookInfo, Cells, Collateral, Deployment, Feed
from keeper.adapters.perp_v2.market import PerpV2Market
from keeper.types import Address
from tests.adapters.perp_v2.curie import member

FEED = Feed(member("feed"), member("proxy"), 8)
DEFAULTS = {
    "im": 100_000,
    "mm": 62_500,
    "penalty": 25_000,
    "max_funding": 100_000,
    "twap_window_s": 900,
    "mark_window_s": 1800,
    "premium_window_s": 900,
    "partial_close": 250_000,
    "fund_fee": 30_000,
    "dust": 500 * 10**6,
    "debt_ratio": 750_000,
    "debt_threshold": 10_000 * 10**6,
    "liquidation_ratio": 500_000,
    "mm_buffer": 2_000,
}
SETTINGS = {"exchange": 1000, "fee": 3000, "insurance": 100_000, "spread": 100_000, "max_ticks": 1000}
BOOK = BookInfo(
    member("base"),
    "vETH",
    member("pool"),
    60,
    FEED,
    {"exchange": 1000, "fee": 3000, "insurance": 100_000, "spread": 100_000, "max_ticks": 1000},
)
ETHER = Collateral(member("ether"), "WETH", 18, Feed(member("ether feed"), member("proxy"), 8))
CASH = Collateral(member("cash"), "USDC", 6, Feed(member("none"), member("none"), 0))


def address(name: str) -> Address:
    return member(name)


DEPLOYMENT = Deployment(
    name="paper",
    clearing_house=member("house"),
    account_balance=member("balances"),
    vault=member("vault"),
    exchange=member("exchange"),
    registry=member("registry"),
    config=member("config"),
    insurance_fund=member("fund"),
    collateral_manager=member("manager"),
    settlement=CASH,
    first_block=1,
    known_block=1,
    spot_window_s=0,
    defaults=DEFAULTS,
    books=(BOOK,),
    collaterals=(ETHER,),
)
CELLS = Cells(DEPLOYMENT)
MARKET = PerpV2Market(DEPLOYMENT)
