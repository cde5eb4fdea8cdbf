"""A vault as the Cauldron and the Witch judge it at one timestamp. Pure, to the wei."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.adapters.yield_v2 import rules
from keeper.adapters.yield_v2.cells import Auction, Cells, Deployment, Vault
from keeper.fixedpoint import MAX_UINT256, WAD
from keeper.ports import View
from keeper.types import Address, Write

PPM = 10**6
NEVER_S = 2**32


@dataclass(frozen=True, slots=True)
class Growth:
    """What debts of a series have grown by since it matured. `accrual_wad` None: not matured yet. `writes`: what asking for it leaves."""

    accrual_wad: int | None = None
    known: bool = True
    writes: tuple[Write, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two assets: `price` in USD with 8 decimals, 0 for none."""

    asset: int
    token: Address
    price: int
    decimals: int

    def worth(self, amount: int) -> int:
        return amount * self.price // int(10**self.decimals)


@dataclass(frozen=True, slots=True)
class Lot:
    """What is for sale: `ink` for `art`, of which `share_wad` is given now. Of that the starter gets `reward_wad`. `grows`: more will be
    given later."""

    auction: Auction
    share_wad: int
    reward_wad: int
    grows: bool = False

    def split(self, art: int) -> tuple[int, int]:
        """(the buyer's, the starter's) collateral for so much of the debt."""
        given = rules.payout(self.auction.ink, self.auction.art, art, self.share_wad)
        cut = rules.wmul(given, self.reward_wad)
        return given - cut, cut


@dataclass(frozen=True, slots=True)
class Position:
    """A vault at a timestamp. `judged`: everything the level hangs on is known. `lot`: while it is on auction."""

    account: Address
    at_s: int
    vault: Vault
    ilk: Side
    base: Side
    ratio_ppm: int
    growth: Growth
    judged: bool
    lot: Lot | None

    @property
    def ink_value(self) -> int:
        """Of the collateral, in units of the base."""
        return rules.through_usd(self.vault.ink, self.ilk.price, self.ilk.decimals, self.base.price, self.base.decimals)

    @property
    def required(self) -> int:
        return rules.required(self.vault.art, self.growth.accrual_wad, self.ratio_ppm)

    @property
    def level(self) -> int:
        """Of a judged one. Below 0 it may be put up for auction."""
        return self.ink_value - self.required

    @property
    def owed(self) -> int:
        """In units of the base."""
        return rules.to_base(self.vault.art, self.growth.accrual_wad)

    @property
    def asked(self) -> int:
        """In units of the base, for the whole lot."""
        return rules.to_base(self.lot.auction.art, self.growth.accrual_wad) if self.lot else 0

    @property
    def offered(self) -> int:
        """Collateral the buyer of the whole lot gets."""
        return self.lot.split(self.lot.auction.art)[0] if self.lot and self.lot.auction.art else 0

    @property
    def health_factor_wad(self) -> int:
        """Below one exactly where the level is below 0; of an auction, where what is offered is worth more than what is asked."""
        if not self.judged:
            return MAX_UINT256
        have, need = (self.ink_value, self.required) if self.lot is None else self._bargain()
        return have * WAD // need if need else MAX_UINT256

    def _bargain(self) -> tuple[int, int]:
        """Both exact, over one denominator."""
        units = int(10**self.base.decimals), int(10**self.ilk.decimals)
        return self.asked * self.base.price * units[1], self.offered * self.ilk.price * units[0]


def evaluate(deployment: Deployment, cells: Cells, view: View, account: Address, at_s: int) -> Position | None:
    """None for a vault that does not exist, or of assets nobody has announced."""
    vault = cells.vault_of(view, account)
    if vault is None:
        return None
    oracle = f"0x{view.get(cells.spot, (vault.base, vault.ilk, 'oracle')):040x}"
    ilk, base = side(cells, view, oracle, vault.ilk), side(cells, view, oracle, vault.base)
    if ilk is None or base is None:
        return None
    grown = growth(cells, view, vault.series, at_s)
    judged = bool(ilk.price and base.price and grown.known and view.get(cells.series, (vault.series, "matures")))
    ratio_ppm = view.get(cells.spot, (vault.base, vault.ilk, "ratio"))
    return Position(account, at_s, vault, ilk, base, ratio_ppm, grown, judged, _lot(cells, view, account, at_s))


def side(cells: Cells, view: View, oracle: str, asset: int) -> Side | None:
    token = cells.token_of(view, asset)
    decimals = cells.decimals(view, token) if token else None
    return None if token is None or decimals is None else Side(asset, token, cells.price_at(view, oracle, asset), decimals)


def growth(cells: Cells, view: View, series: int, at_s: int) -> Growth:
    """Who asks first after maturity has the rate noted: until then it counts from there."""
    if at_s < (view.get(cells.series, (series, "matures")) or NEVER_S):
        return Growth()
    base, noted = view.get(cells.series, (series, "base")), view.get(cells.series, (series, "rate"))
    per_second, stored, last_s = (view.get(cells.rate, (base, field)) for field in ("per_second", "stored", "at"))
    if not stored:
        return Growth(known=False)
    rate = rules.accumulated(stored, per_second, at_s - last_s)
    asked: tuple[Write, ...] = ((cells.rate, (base, "stored"), rate), (cells.rate, (base, "at"), max(at_s, last_s)))
    if not noted:
        return Growth(WAD, writes=(*asked, (cells.series, (series, "rate"), rate)))
    return Growth(rules.accrual(rate, noted), writes=asked)


def reward_wad(cells: Cells, view: View) -> int:
    return max(view.get(cells.market, ("reward",)) - 1, 0)


def _lot(cells: Cells, view: View, account: Address, at_s: int) -> Lot | None:
    auction = cells.auction_of(view, account)
    if auction is None:
        return None
    start_wad, duration_s = (view.get(cells.line, (auction.ilk, auction.base, field)) for field in ("start", "duration"))
    share_wad = rules.offered_wad(start_wad, duration_s, max(at_s - auction.start_s, 0))
    return Lot(auction, share_wad, reward_wad(cells, view), rules.grows(share_wad, duration_s))
