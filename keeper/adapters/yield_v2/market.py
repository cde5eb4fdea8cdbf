"""The Market of one Yield v2 deployment, as its Witch sees it: ties its tables to the rules. Pure.

Accounts are vaults, by their ids. A vault that goes under is first put up for auction ("start"), then bought, whole or in parts ("buy").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.yield_v2 import deals, errors, events, feeds, position, reads, rows
from keeper.adapters.yield_v2.cells import UNIT, Cells, Deployment
from keeper.adapters.yield_v2.codec import call_data, selector, unsigned, vault_word
from keeper.adapters.yield_v2.position import PPM, Position, Side
from keeper.adapters.yield_v2.purchases import purchases
from keeper.errors import Skip
from keeper.fixedpoint import BPS, MAX_UINT256
from keeper.ports import Apply, ColumnView, View
from keeper.types import (
    Address,
    Audit,
    Cell,
    Deal,
    Factor,
    Fill,
    Guard,
    Health,
    Leg,
    Log,
    LogFilter,
    Pair,
    PriceFeed,
    Purchase,
    Quote,
    Read,
    Row,
    RowBlock,
    Step,
    Write,
)

ADAPTER = "yield-v2"
LEVEL, AUCTIONS = selector("level(bytes12)"), selector("auctions(bytes12)")
AUCTION, PAY_BASE = selector("auction(bytes12,address)"), selector("payBase(bytes12,address,uint128,uint128)")
APPROVE = selector("approve(address,uint256)")
START_WORD = 1
START_GAS, BUY_GAS = 190_000, 235_000


class YieldV2Market:
    """One deployment."""

    adapter = ADAPTER
    debt_decides = False

    def __init__(self, deployment: Deployment) -> None:
        self.name = deployment.name
        self.address = deployment.witch
        self.deployment = deployment
        self.cells = Cells(deployment.name)
        self.columns = self.cells.columns
        self._last: tuple[tuple[View, int, Address, int], Position | None] | None = None

    # --- LogSource

    @property
    def first_block(self) -> int:
        return self.deployment.first_block

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        return events.filters(self.deployment, self.cells, view)

    def apply(self, log: Log, view: View) -> list[Write]:
        return self.applier(view)(log, view)

    def applier(self, view: View) -> Apply:
        return events.Applier(self.deployment, self.cells, view)

    def reshapes(self, writes: Iterable[Write]) -> bool:
        return events.reshapes(self.cells, writes)

    def reads(self, view: View) -> tuple[Read, ...]:
        return reads.reads(self.deployment, self.cells, view)

    def absorb(self, replies: Sequence[bytes | None], view: View) -> list[Write]:
        return reads.absorb(self.deployment, self.cells, replies, view)

    # --- accounts

    def tokens(self, view: View) -> Mapping[Address, str]:
        return {token: feeds.symbol(self.cells, view, token) for token in self.cells.tokens(view)}

    def accounts(self, view: View) -> Iterator[Address]:
        return self.cells.borrowers(view)

    def touched(self, writes: Iterable[Write]) -> set[Address]:
        """Prices, rates and clocks are factors: only a vault's own cells, and those of its auction, change its row."""
        columns = self.columns
        return cast("set[Address]", {key[-1] for table, key, _ in writes if table in columns})

    def factors(self, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
        return rows.factors(self.cells, view, at_s, wanted)

    def drivers(self, view: View, factor: Factor) -> tuple[Cell, ...]:
        return rows.drivers(self.cells, view, factor)

    def token_of(self, view: View, factor: Factor) -> Address | None:
        return rows.token_of(self.cells, view, factor) if len(factor) > 2 else None

    def family(self, view: View, factor: Factor) -> str | None:
        return self.token_of(view, factor)

    def rows(self, view: View, account: Address) -> tuple[Row, ...]:
        found = rows.row(self.deployment, self.cells, view, account)
        return () if found is None else (found,)

    def compiled(self, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
        return rows.compiled(self.deployment, self.cells, state, slots)

    def next_change(self, view: View, at_s: int) -> int | None:
        """When a series matures, or an auction reaches its last price."""
        return rows.next_change(self.cells, view, at_s)

    def margin(self, view: View) -> float:
        return rows.margin(self.cells, view)

    def health(self, view: View, account: Address, at_s: int) -> Health:
        """The level over what it is measured by. Of a vault on auction: what is asked for the lot secures what is offered for it, so that
        the factor falls below one when it is a bargain."""
        found = self.position(view, account, at_s)
        if found is None:
            return Health(account, at_s, MAX_UINT256, 0, 0, UNIT)
        lot = found.lot
        if lot is None:
            threshold_bps = PPM * BPS // found.ratio_ppm if found.ratio_ppm else 0
            legs = self._leg(view, found.ilk, "collateral", found.vault.ink, threshold_bps), self._leg(view, found.base, "debt", found.owed)
            weighted = found.ilk.worth(found.vault.ink) * PPM // found.ratio_ppm if found.ratio_ppm else 0
        else:
            legs = self._leg(view, found.base, "collateral", found.asked, BPS), self._leg(view, found.ilk, "debt", found.offered)
            weighted = legs[0].value
        return Health(account, at_s, found.health_factor_wad, weighted, legs[1].value, UNIT, legs)

    def audit(self, view: View, account: Address, at_s: int) -> Audit:
        """The Cauldron's level, where we know what it hangs on."""
        found = self.position(view, account, at_s)
        words = {0: unsigned(found.level)} if found is not None and found.judged else {}
        return Audit(Read(self.deployment.cauldron, call_data(LEVEL, vault_word(account))), words)

    def position(self, view: View, account: Address, at_s: int) -> Position | None:
        """Asked again and again for one vault on one state while a plan is made, so the last answer is kept."""
        asked = view, view.version, account, at_s
        if self._last is None or self._last[0] != asked:
            self._last = asked, position.evaluate(self.deployment, self.cells, view, account, at_s)
        return self._last[1]

    # --- deals

    def pairs(self, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        """To start: one cover, 1. To buy: amounts of the base; that for everything has headroom for debts that grow."""
        found = self.position(view, account, at_s)
        if found is None or found.health_factor_wad >= 10**18:
            return ()
        return deals.pairs(self.deployment, self.cells, view, found)

    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        found = self.position(view, deal.account, at_s)
        if found is None:
            raise Skip("no_vault")
        if (deal.debt_token, deal.collateral_token) != (found.base.token, found.ilk.token):
            raise Skip("other_tokens", f"the vault has {found.ilk.token} for {found.base.token}")
        if deal.kind == deals.START:
            return deals.start(self.deployment, self.cells, view, found, cover)
        if deal.kind == deals.BUY:
            return deals.buy(self.deployment, self.cells, view, found, cover, deal.target)
        raise Skip("unknown_kind", deal.kind)

    def encode(self, fill: Fill, executor: Address) -> tuple[Step, ...]:
        """A purchase is approved to its target, the base's join, not to the Witch. No least amount: the executor has its floor."""
        witch, vault = self.deployment.witch, vault_word(fill.account)
        if fill.kind == deals.START:
            return (Step(witch, call_data(AUCTION, vault, self.deployment.reward_to or executor)),)
        return (
            Step(fill.debt_token, call_data(APPROVE, fill.target, fill.funds)),
            Step(witch, call_data(PAY_BASE, vault, executor, 0, fill.cover)),
            Step(fill.debt_token, call_data(APPROVE, fill.target, 0)),
        )

    def guard(self, deal: Deal) -> Guard:
        """To start, while nobody has; to buy, while there is something to buy."""
        data = call_data(AUCTIONS, vault_word(deal.account))
        least, below = (0, 1) if deal.kind == deals.START else (1, 2**32)
        return Guard(self.deployment.witch, data, START_WORD, below, least)

    def falls(self, view: View, deal: Deal, at_s: int) -> bool:
        """To start is worth the same at any time; a lot grows until its price is the least."""
        found = self.position(view, deal.account, at_s)
        return deal.kind == deals.BUY and found is not None and found.lot is not None and found.lot.grows

    def bought(self, logs: Sequence[Log], view: View) -> tuple[Purchase, ...]:
        return tuple(purchases(self.deployment, self.cells, logs, view))

    def gas(self, fill: Fill) -> int:
        return START_GAS if fill.kind == deals.START else BUY_GAS

    # --- prices

    def value(self, view: View, token: Address, amount: int) -> int | None:
        """In USD with 8 decimals, floored."""
        price, decimals = self.price(view, token), self.cells.decimals(view, token)
        return None if price is None or decimals is None else amount * price // int(10**decimals)

    def price(self, view: View, token: Address) -> int | None:
        found = feeds.source(self.cells, view, token)
        return view.get(self.cells.source, (found, "price")) if found else None

    def repriced(self, view: View, prices: Mapping[Address, int]) -> list[Write]:
        """At every source that an oracle has for the token."""
        return [
            (self.cells.source, (found, "price"), price) for token, price in prices.items() for found in self.cells.sources_of(view, token)
        ]

    def bearer(self, view: View) -> str:
        """Debt of a vault without collateral stays in it; who holds fyTokens cannot all be paid."""
        return "suppliers"

    def feeds(self, view: View) -> tuple[PriceFeed, ...]:
        return feeds.feeds(self.cells, view)

    def decode_error(self, data: bytes) -> str | None:
        return errors.decode(data)

    # --- parts

    def _leg(self, view: View, side: Side, kind: str, amount: int, threshold_bps: int = 0) -> Leg:
        symbol = feeds.symbol(self.cells, view, side.token)
        return Leg(side.token, symbol, kind, amount, side.worth(amount), threshold_bps, side.price, side.decimals)
