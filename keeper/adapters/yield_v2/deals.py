"""What can be done with a vault, and what each call moves: put it up for auction, or buy of its lot. Mirrors the Witch; pure.

A start is paid by a share of whatever is bought later, by anybody. A purchase pays out before it takes the payment, but calls nobody back.
"""

from __future__ import annotations

from keeper.adapters.yield_v2 import rules
from keeper.adapters.yield_v2.cells import ART, INK, Auction, Cells, Deployment
from keeper.adapters.yield_v2.events import YES
from keeper.adapters.yield_v2.position import Lot, Position, growth, reward_wad
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Address, Fill, Pair, Write

START, BUY = "start", "buy"
WHOLE = (1,)
"""The covers of a start: there is one auction to start."""

HEADROOM_S = 3600
"""A purchase of everything is funded for debts as they will be by then: a unit less would leave dust, which the Witch refuses."""


# --- what is legal ------------------------------------------------------------------------------------------------


def pairs(deployment: Deployment, cells: Cells, view: View, found: Position) -> tuple[Pair, ...]:
    """The one deal of a vault that is due. Raises Skip where a rule forbids it."""
    if found.lot is None:
        check_start(deployment, cells, view, found)
        return (Pair(found.account, found.base.token, found.ilk.token, WHOLE, START),)
    join = check_buy(deployment, cells, view, found)
    amounts = _legal(deployment, cells, view, found, join)
    return (Pair(found.account, found.base.token, found.ilk.token, amounts, BUY, join),)


def _legal(deployment: Deployment, cells: Cells, view: View, found: Position, join: Address) -> tuple[int, ...]:
    """Of the covers those that are; raises the Skip of the largest where none is."""
    legal: list[int] = []
    why_not = Skip("no_auction")
    for cover in covers(cells, view, found):
        try:
            buy(deployment, cells, view, found, cover, join)
            legal.append(cover)
        except Skip as skip:
            why_not = skip
    if not legal:
        raise why_not
    return tuple(legal)


def covers(cells: Cells, view: View, found: Position) -> tuple[int, ...]:
    """The most that leaves enough debt for another purchase, if there is such an amount, and all there is."""
    if found.lot is None:
        return ()
    auction = found.lot.auction
    some = auction.art - view.get(cells.least, (auction.base, auction.ilk))
    everything = _everything(cells, view, found)
    part = _floor_base(some, found) if 0 < some < auction.art else 0
    return (part, everything) if 0 < part < everything else (everything,)


def cover_of(cells: Cells, view: View, found: Position, art: int) -> int:
    """That buys so much of the debt, or next to it."""
    lot = found.lot
    return _everything(cells, view, found) if lot is None or art >= lot.auction.art else _floor_base(art, found)


def _floor_base(art: int, found: Position) -> int:
    """The most base that does not count as more than `art`: the Witch rounds what it counts for up."""
    accrual_wad = found.growth.accrual_wad
    return art if accrual_wad is None else rules.wmul(art, accrual_wad)


def _everything(cells: Cells, view: View, found: Position) -> int:
    later = growth(cells, view, found.vault.series, found.at_s + HEADROOM_S)
    art = found.lot.auction.art if found.lot else 0
    return art if later.accrual_wad is None else rules.wmul(art, later.accrual_wad) + 1


def check_start(deployment: Deployment, cells: Cells, view: View, found: Position) -> None:
    """Raises Skip with the rule by which the Witch refuses, in its order."""
    vault = found.vault
    if found.lot is not None:
        raise Skip("on_auction")
    if view.get(cells.protected, (vault.owner,)):
        raise Skip("protected", f"of {vault.owner}")
    most, total = (view.get(cells.limit, (vault.ilk, vault.base, field)) for field in ("max", "sum"))
    if not most:
        raise Skip("not_auctioned", "no auctions of this collateral for this base")
    if total > most:
        raise Skip("auction_limit", f"{total} of {most} are on auction")
    if not found.judged:
        raise Skip("no_price")
    if found.level >= 0:
        raise Skip("healthy")
    if not view.get(cells.role, ("give",)):
        raise Skip("paused", "the Witch may not take vaults")
    if deployment.reward_to is None:
        raise Skip("no_reward_to", "the market's options name no receiver of the starter's share")


def check_buy(deployment: Deployment, cells: Cells, view: View, found: Position) -> Address:
    """Returns the join that takes the payment. Raises Skip."""
    if found.lot is None or not found.lot.auction.art:
        raise Skip("no_auction")
    if found.vault.owner != deployment.witch:
        raise Skip("no_auction", "the Witch no longer has the vault")
    if not found.growth.known:
        raise Skip("no_rate")
    for function in ("give", "slurp"):
        if not view.get(cells.role, (function,)):
            raise Skip("paused", f"the Witch may not {function}")
    _open_join(deployment, cells, view, found.lot.auction.ilk, "exit")
    return _open_join(deployment, cells, view, found.lot.auction.base, "join")


def _open_join(deployment: Deployment, cells: Cells, view: View, asset: int, function: str) -> Address:
    join = cells.join_of(view, deployment, asset)
    if join is None or view.get(cells.held, (join, function)) != YES:
        raise Skip("paused", f"the Witch may not {function}")
    return join


# --- starting -----------------------------------------------------------------------------------------------------


def start(deployment: Deployment, cells: Cells, view: View, found: Position, cover: int) -> Fill:
    """Nothing moves; what is promised is the starter's share of the whole lot at the least price. Raises Skip."""
    check_start(deployment, cells, view, found)
    vault, receiver = found.vault, deployment.reward_to or deployment.witch
    key = vault.ilk, vault.base
    least = view.get(cells.least, (vault.base, vault.ilk))
    ink, art = rules.lot(vault.ink, vault.art, least, view.get(cells.line, (*key, "vault")))
    auction = Auction(found.at_s, ink, art, vault.owner, receiver, vault.base, vault.ilk, vault.series)
    lot = Lot(auction, view.get(cells.line, (*key, "start")), reward_wad(cells, view))
    writes: list[Write] = [*found.growth.writes, *cells.auctioned(found.account, auction), cells.on_auction(view, auction, ink)]
    return Fill(
        account=found.account,
        debt_token=found.base.token,
        collateral_token=found.ilk.token,
        cover=cover,
        counted=cover,
        repaid=0,
        seized=0,
        protocol_fee=0,
        bad_debt=False,
        writes=(*writes, *cells.owned_by(found.account, deployment.witch)),
        funds=0,
        promised=((found.ilk.token, lot.split(art)[1] if art else 0),),
        kind=START,
    )


# --- buying -------------------------------------------------------------------------------------------------------


def buy(deployment: Deployment, cells: Cells, view: View, found: Position, cover: int, join: str) -> Fill:
    """Exactly what `payBase(…, cover)` moves. `join`: who was to take the payment. Raises Skip with the rule that forbids it."""
    takes, lot = check_buy(deployment, cells, view, found), found.lot
    if lot is None or takes != join:
        raise Skip("other_join", f"{takes} takes the payment now")
    art = min(rules.from_base(cover, found.growth.accrual_wad), lot.auction.art)
    paid = rules.to_base(art, found.growth.accrual_wad)
    seized, cut = lot.split(art)
    _check_amounts(deployment, cells, view, found, art, seized + cut)
    state = Overlay(view, found.growth.writes)
    pulled = _book(deployment, cells, state, lot.auction, paid, seized + cut)
    _take(cells, state, found, lot.auction, art, seized + cut)
    ink_left, art_left = (state.get(cells.vault, (field, found.account)) for field in (INK, ART))
    return Fill(
        account=found.account,
        debt_token=found.base.token,
        collateral_token=found.ilk.token,
        cover=cover,
        counted=min(cover, paid),
        repaid=pulled,
        seized=seized,
        protocol_fee=cut,
        bad_debt=not ink_left and art_left > 0,
        writes=tuple(state.writes()),
        funds=max(cover, paid),
        promised=((found.ilk.token, cut),) if cut and lot.auction.auctioneer == deployment.reward_to else (),
        kind=BUY,
        target=takes,
    )


def _check_amounts(deployment: Deployment, cells: Cells, view: View, found: Position, art: int, ink: int) -> None:
    """Raises Skip where the Witch, the Cauldron or the join reverts, or nothing is bought."""
    auction = found.lot.auction if found.lot else None
    if auction is None or not art or not ink:
        raise Skip("buys_nothing")
    least = view.get(cells.least, (auction.base, auction.ilk))
    left = found.vault.art - art
    if (art < auction.art and auction.art - art < least) or (left and left < least):
        raise Skip("leaves_dust", f"a vault must owe {least}")
    join = cells.join_of(view, deployment, auction.ilk)
    cash = view.get(cells.held, (join, "cash")) if join else 0
    if ink > cash:
        raise Skip("no_cash", f"the join holds {cash}, {ink} would be paid out")


def _book(deployment: Deployment, cells: Cells, state: Overlay, auction: Auction, paid: int, ink: int) -> int:
    """What the two joins hold afterwards, collateral first. A join takes what it has beyond its books before it pulls; returns the rest."""
    out, into = (cells.join_of(state, deployment, asset) for asset in (auction.ilk, auction.base))
    if out is None or into is None:
        raise Skip("paused", "there is no join")
    _change(cells, state, out, -ink, -ink)
    cash, has = (state.get(cells.held, (into, field)) for field in ("cash", "has"))
    pulled = max(paid - max(has - cash, 0), 0)
    _change(cells, state, into, paid, pulled)
    return pulled


def _change(cells: Cells, state: Overlay, join: Address, cash: int, has: int) -> None:
    changes = (("cash", cash), ("has", has))
    state.write([(cells.held, (join, field), state.get(cells.held, (join, field)) + change) for field, change in changes])


def _take(cells: Cells, state: Overlay, found: Position, auction: Auction, art: int, ink: int) -> None:
    """The auction shrinks, or ends and the vault goes back to its owner; the vault has less of both."""
    account = found.account
    if art == auction.art:
        state.write([*cells.ended(state, account), *cells.owned_by(account, auction.owner)])
    else:
        parties = auction.owner, auction.auctioneer, auction.base, auction.ilk, auction.series
        left = Auction(auction.start_s, auction.ink - ink, auction.art - art, *parties)
        state.write([*cells.auctioned(account, left), cells.on_auction(state, auction, -ink)])
    state.write([(cells.vault, (INK, account), found.vault.ink - ink), (cells.vault, (ART, account), found.vault.art - art)])
