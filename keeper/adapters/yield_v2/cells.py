"""The market's tables: their names, and typed readers over any view.

Table: key: value (addresses and ids are stored as integers; ids of assets and series are 6 bytes, also in keys).

market: (field): ladle, reward + 1 (wad)
asset: (asset): its token
token: (token, field): decimals + 1, symbol
join: (ladle, asset): the contract that holds the asset
held: (join, field): cash (what it has booked), has (what it has), since (block), exit, join (may the Witch call it: 1 no, 2 yes)
role: (function): 1 where the Witch may call the Cauldron's
series: (series, field): base, fytoken, matures (s), rate (at maturity)
spot: (base, ilk, field): oracle, ratio (ppm)
oracle: (oracle): since which block it is followed + 1
quoted: (oracle, asset): the price source behind an asset
source: (source, field): price (0: none), answer, at (s), aggregator, since (block + 1), before, least, most, asked, strange
lender: (base): the rate oracle
rate: (base, field): per_second (wad), stored, at (s)
least: (base, ilk): the least debt of a vault
line: (ilk, base, field): duration (s), vault, start (wad)
limit: (ilk, base, field): max, sum
protected: (owner): 1
vault: (field, account): ink, art, owner in two halves, series, ilk
auction: (field, account): start (s), ink, art, owner and auctioneer in two halves each, base, ilk, series
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keeper.adapters.yield_v2.codec import to_address
from keeper.ports import View
from keeper.types import Address, Write

INK, ART, OWNER, OWNER_LOW, SERIES, ILK = range(6)
"""Numbers of a vault's cells."""

A_START, A_INK, A_ART, A_OWNER, A_OWNER_LOW, A_STARTER, A_STARTER_LOW, A_BASE, A_ILK, A_SERIES = range(10)
"""Numbers of an auction's cells."""

HALF = 80
HALF_MASK = (1 << HALF) - 1
UNIT = "usd-8"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What discovery found, and who is to get the starter's share of auctions we start; constant for the life of the market."""

    name: str
    witch: Address
    cauldron: Address
    ladle: Address
    first_block: int
    reward_to: Address | None


@dataclass(frozen=True, slots=True)
class Auction:
    """As the Witch keeps it."""

    start_s: int
    ink: int
    art: int
    owner: Address
    auctioneer: Address
    base: int
    ilk: int
    series: int


@dataclass(frozen=True, slots=True)
class Vault:
    owner: Address
    ink: int
    art: int
    base: int
    ilk: int
    series: int


class Cells:
    """Names of one market's tables and readers of their cells."""

    def __init__(self, name: str) -> None:
        self.market, self.asset, self.token = f"{name}/market", f"{name}/asset", f"{name}/token"
        self.join, self.held, self.role = f"{name}/join", f"{name}/held", f"{name}/role"
        self.series, self.spot, self.oracle = f"{name}/series", f"{name}/spot", f"{name}/oracle"
        self.quoted, self.source = f"{name}/quoted", f"{name}/source"
        self.lender, self.rate, self.least = f"{name}/lender", f"{name}/rate", f"{name}/least"
        self.line, self.limit, self.protected = f"{name}/line", f"{name}/limit", f"{name}/protected"
        self.vault, self.auction = f"{name}/vault", f"{name}/auction"
        self.columns: tuple[str, ...] = (self.vault, self.auction)
        self.shaping = frozenset((self.join, self.spot, self.oracle, self.quoted, self.asset, self.series))

    # --- contracts

    def ladle(self, view: View, deployment: Deployment) -> Address:
        found = view.get(self.market, ("ladle",))
        return to_address(found) if found else deployment.ladle

    def token_of(self, view: View, asset: int) -> Address | None:
        found = view.get(self.asset, (asset,))
        return to_address(found) if found else None

    def assets(self, view: View) -> list[int]:
        return sorted(int(key[0]) for key in view.keys(self.asset))

    def tokens(self, view: View) -> list[Address]:
        """Of all assets, each once."""
        return list(dict.fromkeys(to_address(view.get(self.asset, (asset,))) for asset in self.assets(view)))

    def join_of(self, view: View, deployment: Deployment, asset: int) -> Address | None:
        found = view.get(self.join, (self.ladle(view, deployment), asset))
        return to_address(found) if found else None

    def decimals(self, view: View, token: Address) -> int | None:
        return view.get(self.token, (token, "decimals")) - 1 if view.get(self.token, (token, "decimals")) else None

    def decimals_of(self, view: View, asset: int) -> int | None:
        token = self.token_of(view, asset)
        return None if token is None else self.decimals(view, token)

    # --- prices

    def source_of(self, view: View, oracle: str, asset: int) -> Address | None:
        found = view.get(self.quoted, (oracle, asset))
        return to_address(found) if found else None

    def price_at(self, view: View, oracle: str, asset: int) -> int:
        """Of an asset at an oracle, USD with 8 decimals; 0 for none."""
        source = self.source_of(view, oracle, asset)
        return view.get(self.source, (source, "price")) if source else 0

    def sources_of(self, view: View, token: Address) -> list[Address]:
        """Every price source that some oracle has for it."""
        found = {view.get(self.quoted, key) for key in view.keys(self.quoted) if view.get(self.asset, (key[1],)) == int(token, 16)}
        return [to_address(source) for source in sorted(found)]

    # --- vaults

    def vault_of(self, view: View, account: Address) -> Vault | None:
        """None for one that does not exist."""
        series = view.get(self.vault, (SERIES, account))
        if not series:
            return None
        ink, art, ilk = (view.get(self.vault, (field, account)) for field in (INK, ART, ILK))
        return Vault(self._address(view, self.vault, OWNER, account), ink, art, view.get(self.series, (series, "base")), ilk, series)

    def auction_of(self, view: View, account: Address) -> Auction | None:
        """None where there is none."""
        start_s, ink, art, base, ilk, series = (
            view.get(self.auction, (field, account)) for field in (A_START, A_INK, A_ART, A_BASE, A_ILK, A_SERIES)
        )
        if not start_s:
            return None
        owner, starter = (self._address(view, self.auction, field, account) for field in (A_OWNER, A_STARTER))
        return Auction(start_s, ink, art, owner, starter, base, ilk, series)

    def owned_by(self, account: Address, owner: Address) -> list[Write]:
        return self._halves(self.vault, OWNER, account, owner)

    def auctioned(self, account: Address, auction: Auction) -> list[Write]:
        numbers = {
            A_START: auction.start_s,
            A_INK: auction.ink,
            A_ART: auction.art,
            A_BASE: auction.base,
            A_ILK: auction.ilk,
            A_SERIES: auction.series,
        }
        writes: list[Write] = [(self.auction, (field, account), value) for field, value in numbers.items()]
        writes += self._halves(self.auction, A_OWNER, account, auction.owner)
        return writes + self._halves(self.auction, A_STARTER, account, auction.auctioneer)

    def ended(self, view: View, account: Address) -> list[Write]:
        """No auction any more, and its collateral no longer counts towards the limit."""
        auction = self.auction_of(view, account)
        if auction is None:
            return []
        gone: list[Write] = [(self.auction, (field, account), 0) for field in range(A_SERIES + 1)]
        return [*gone, self.on_auction(view, auction, -auction.ink)]

    def on_auction(self, view: View, auction: Auction, change: int) -> Write:
        """The collateral of this kind that is up for auction."""
        key = (auction.ilk, auction.base, "sum")
        return self.limit, key, max(view.get(self.limit, key) + change, 0)

    def borrowers(self, view: View) -> Iterator[Address]:
        """Vaults that owe something."""
        return (account for account in view.accounts(self.vault) if view.get(self.vault, (ART, account)))

    @staticmethod
    def _address(view: View, table: str, field: int, account: Address) -> Address:
        return to_address(view.get(table, (field, account)) << HALF | view.get(table, (field + 1, account)))

    @staticmethod
    def _halves(table: str, field: int, account: Address, address: Address) -> list[Write]:
        value = int(address, 16)
        return [(table, (field, account), value >> HALF), (table, (field + 1, account), value & HALF_MASK)]
