"""Tiny bank with one thing wrong each, so that for every check of the suite there is somebody who fails it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tiny_bank import TinyBank, rows
from tiny_bank.cells import Deployment
from tiny_bank.devnet import CUSTOMERS
from tiny_bank.events import EVENTS
from tiny_bank.market import TinyBankMarket

from keeper.book.state import Overlay
from keeper.chain.codec import topic
from keeper.errors import ConfigError, Skip, Transient
from keeper.options import NO_OPTIONS, Options
from keeper.ports import Apply, ColumnView, Market, Reader, View
from keeper.types import (
    Action,
    Address,
    Cell,
    Deal,
    Factor,
    Fill,
    Guard,
    Health,
    Log,
    LogFilter,
    Pair,
    Quote,
    Row,
    RowBlock,
    Write,
)

MOVED, LIQUIDATED = (topic(event) for event in ("Moved(address,address,uint256)", "Liquidated(address,address,uint256,uint256,uint256)"))
NUMBERS = count()


class Mutant:
    """The adapter, but for the market it opens."""

    name = TinyBank.name

    def __init__(self, kind: type[TinyBankMarket]) -> None:
        self._kind = kind

    async def open(self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS) -> Market:
        market = await TinyBank().open(reader, name, address, first_block, options)
        assert isinstance(market, TinyBankMarket)
        return self._kind(market.deployment)


# --- opening ------------------------------------------------------------------------------------------------------


class Careless(TinyBank):
    """`right`: where there is a bank."""

    def __init__(self, right: Address) -> None:
        self._right = right


class TakesAnyAddress(Careless):
    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> TinyBankMarket:
        return await super().open(reader, name, self._right, first_block, options)


class TakesAnyOption(Careless):
    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> TinyBankMarket:
        return await super().open(reader, name, address, first_block)


class BlamesTheAddress(Careless):
    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> TinyBankMarket:
        try:
            return await super().open(reader, name, address, first_block, options)
        except Transient:
            raise ConfigError(f"{address} is no bank") from None


class CallsItselfSomethingElse(TinyBankMarket):
    adapter = "bank"


class ReadsAFile(TinyBankMarket):
    def margin(self, view: View) -> float:
        Path(__file__).read_text()
        return super().margin(view)


class SharesACounter(TinyBankMarket):
    def bearer(self, view: View) -> str:
        return f"suppliers {next(NUMBERS)}"


# --- indexing -----------------------------------------------------------------------------------------------------


class ForgetsMoves(TinyBankMarket):
    def apply(self, log: Log, view: View) -> list[Write]:
        return [] if log.topics[:1] == (MOVED,) else super().apply(log, view)


class AppliesToWhatItSawFirst(TinyBankMarket):
    """An applier that keeps the balances from when it was made."""

    def applier(self, view: View) -> Apply:
        seen = [(table, (customer,), view.get(table, (customer,))) for table in self.columns for customer in CUSTOMERS]
        return lambda log, state: self.apply(log, Overlay(state, seen))


class Remembers(TinyBankMarket):
    """Prices live in the market object."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        self._prices: dict[Cell, int] = {}

    def apply(self, log: Log, view: View) -> list[Write]:
        writes = super().apply(log, view)
        self._prices |= {(table, key): value for table, key, value in writes if key == ("price",)}
        return [write for write in writes if write[1] != ("price",)]

    def health(self, view: View, account: Address, at_s: int) -> Health:
        return super().health(Overlay(view, [(table, key, value) for (table, key), value in self._prices.items()]), account, at_s)


class FollowsMoreInSilence(TinyBankMarket):
    """Whoever moved collateral is followed from then on, and nobody is told."""

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        more = sorted(view.accounts(self.cells.collateral))[:1]
        return (*super().filters(view), *(LogFilter(account, frozenset(EVENTS), 0) for account in more))


class WritesToAnothersTable(TinyBankMarket):
    def apply(self, log: Log, view: View) -> list[Write]:
        return [*super().apply(log, view), ("elsewhere", ("last",), log.log_index + 1)]


# --- accounts -----------------------------------------------------------------------------------------------------


class ASecondEarly(TinyBankMarket):
    def _index(self, view: View, at_s: int) -> int:
        return super()._index(view, at_s - 1)


class GuardsTooLate(TinyBankMarket):
    def guard(self, deal: Deal) -> Guard:
        return replace(super().guard(deal), below=8 * 10**17)


class GuardsTooEarly(TinyBankMarket):
    def guard(self, deal: Deal) -> Guard:
        return replace(super().guard(deal), below=10**20)


class ListsAllButOne(TinyBankMarket):
    def accounts(self, view: View) -> Iterator[Address]:
        return iter(sorted(super().accounts(view))[1:])


class TouchesNobody(TinyBankMarket):
    def touched(self, writes: Iterable[Write]) -> set[Address]:
        return set()


class HasNoSides(TinyBankMarket):
    def health(self, view: View, account: Address, at_s: int) -> Health:
        health = super().health(view, account, at_s)
        return replace(health, legs=tuple(replace(leg, side="asset") for leg in health.legs))


# --- rows ---------------------------------------------------------------------------------------------------------


class Optimist(TinyBankMarket):
    def rows(self, view: View, account: Address) -> tuple[Row, ...]:
        first, second = rows.collateral_factor(self.name), rows.debt_factor(self.name)
        found = super().rows(view, account)
        return tuple(replace(row, weights={first: 1.05 * row.weights[first], second: row.weights[second]}) for row in found)


class Pessimist(TinyBankMarket):
    def rows(self, view: View, account: Address) -> tuple[Row, ...]:
        return tuple(replace(row, constant=row.constant - 10**9, slack=row.slack + 10**6) for row in super().rows(view, account))


class RowsForAll(TinyBankMarket):
    def rows(self, view: View, account: Address) -> tuple[Row, ...]:
        return super().rows(view, account) or (Row({rows.collateral_factor(self.name): 1.0}, 0.0),)


class CompilesOthers(TinyBankMarket):
    def compiled(self, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
        return (block._replace(constant=block.constant - 1) for block in super().compiled(state, slots))


class AnswersUnasked(TinyBankMarket):
    def factors(self, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
        return super().factors(view, at_s, [rows.collateral_factor(self.name), rows.debt_factor(self.name)])


class HidesItsDrivers(TinyBankMarket):
    def drivers(self, view: View, factor: Factor) -> tuple[Cell, ...]:
        return ()


class RepricesAlmost(TinyBankMarket):
    def repriced(self, view: View, prices: Mapping[Address, int]) -> list[Write]:
        return [(table, key, value + 1) for table, key, value in super().repriced(view, prices)]


# --- liquidations -------------------------------------------------------------------------------------------------


class SeizesOneMore(TinyBankMarket):
    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        fill = super().fill(view, deal, cover, at_s)
        return replace(fill, seized=fill.seized + 1)


class LeavesTheDebt(TinyBankMarket):
    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        fill = super().fill(view, deal, cover, at_s)
        return replace(fill, writes=fill.writes[:1])


class NeverHealthy(TinyBankMarket):
    """Offers, and fills, whatever the health."""

    def pairs(self, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        return super().pairs(view, account, at_s) or (
            Pair(account, self.deployment.debt.address, self.deployment.collateral.address, (1,)),
        )

    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        try:
            return super().fill(view, deal, cover, at_s)
        except Skip:
            return Fill(deal.account, deal.debt_token, deal.collateral_token, cover, cover, cover, 0, 0, False, (), cover)


class OverlooksPauses(TinyBankMarket):
    def _require_open(self, view: View) -> None:
        return


class KnowsNoCloseFactor(TinyBankMarket):
    def __init__(self, deployment: Deployment) -> None:
        super().__init__(replace(deployment, terms=replace(deployment.terms, close_bps=10_000)))


class SeesNoBadDebt(TinyBankMarket):
    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        return replace(super().fill(view, deal, cover, at_s), bad_debt=cover % 2 == 0)


class NamesAnother(TinyBankMarket):
    def encode(self, fill: Fill, executor: Address) -> tuple[Action, ...]:
        return super().encode(replace(fill, account=CUSTOMERS[CUSTOMERS[0] == fill.account]), executor)


class BlamesTheFirst(TinyBankMarket):
    """A liquidation takes from somebody else, too."""

    def apply(self, log: Log, view: View) -> list[Write]:
        found = super().apply(log, view)
        if not found or log.topics[0] != LIQUIDATED:
            return found
        return [*found, *(self.cells.add(view, self.cells.shares, customer, 1) for customer in CUSTOMERS if customer not in found[0][1])]


class Frugal(TinyBankMarket):
    def gas(self, fill: Fill) -> int:
        return super().gas(fill) // 10


class ShoutsItsKind(TinyBankMarket):
    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        return replace(super().fill(view, deal, cover, at_s), kind="Liquidate!")


class EarnsNothing(TinyBankMarket):
    def margin(self, view: View) -> float:
        return 0.0


# --- hostility ----------------------------------------------------------------------------------------------------


class ListensToAnybody(TinyBankMarket):
    def apply(self, log: Log, view: View) -> list[Write]:
        return super().apply(replace(log, address=self.address), view)


class TakesAllForDeposits(TinyBankMarket):
    def apply(self, log: Log, view: View) -> list[Write]:
        known = bool(log.topics) and log.topics[0] in EVENTS
        return super().apply(log, view) if known else [self.cells.add(view, self.cells.collateral, CUSTOMERS[0], 1)]


class PadsWithZeros(TinyBankMarket):
    def apply(self, log: Log, view: View) -> list[Write]:
        known = EVENTS.get(log.topics[0]) if log.topics else None
        return super().apply(replace(log, data=log.data.ljust(32 * known[2], b"\0")) if known else log, view)


class TrustsNumbers(TinyBankMarket):
    """So large a price must be an error, and everybody is to have collateral for it."""

    def apply(self, log: Log, view: View) -> list[Write]:
        found = super().apply(log, view)
        absurd = any(value >= 2**255 for _, _, value in found)
        return [*found, *((self.cells.collateral, (customer,), 1) for customer in CUSTOMERS if absurd)]


class CountsItsLogs(TinyBankMarket):
    def apply(self, log: Log, view: View) -> list[Write]:
        return [*super().apply(log, view), (self.cells.bank, ("logs",), next(NUMBERS) + 1)]


class NamesNothing(TinyBankMarket):
    def decode_error(self, data: bytes) -> str | None:
        return data[68:].decode("ascii", errors="ignore")


MUTANTS: Mapping[str, Sequence[type[TinyBankMarket]]] = {
    "one_address_is_enough_to_open_a_market": [CallsItselfSomethingElse],
    "nothing_but_opening_does_input_or_output": [ReadsAFile],
    "two_markets_share_nothing": [SharesACounter],
    "the_index_equals_the_chain_after_every_block": [ForgetsMoves],
    "the_index_is_the_same_however_its_way_is_cut": [AppliesToWhatItSawFirst],
    "many_logs_at_once_are_logs_one_by_one": [AppliesToWhatItSawFirst],
    "a_stored_state_goes_on_like_one_that_was_never_stored": [CountsItsLogs],
    "whatever_changes_what_is_followed_is_said_to_reshape": [FollowsMoreInSilence],
    "a_market_writes_only_integers_and_only_to_tables_of_its_name": [WritesToAnothersTable],
    "undone_blocks_leave_nothing_behind": [Remembers],
    "the_other_branch_of_a_reorg_is_as_if_there_were_no_other": [CountsItsLogs],
    "health_equals_the_chain_at_any_later_time": [ASecondEarly],
    "the_guard_stops_whoever_is_healthy": [GuardsTooEarly],
    "the_guard_lets_pass_whatever_is_offered": [GuardsTooLate],
    "everybody_who_owes_is_among_the_accounts_once": [ListsAllButOne],
    "touched_names_every_account_whose_rows_have_changed": [TouchesNobody],
    "what_an_account_holds_adds_up_to_its_health": [HasNoSides],
    "rows_bound_what_the_integers_say": [Optimist, Pessimist],
    "bounds_are_close_to_the_contracts_own_surplus": [Pessimist],
    "who_owes_has_rows_and_nobody_else": [RowsForAll],
    "compiled_rows_are_the_rows": [CompilesOthers],
    "every_factor_of_a_row_has_a_value_and_others_have_none": [AnswersUnasked],
    "factors_move_only_with_their_drivers_or_time": [HidesItsDrivers],
    "repriced_makes_the_oracle_say_these_prices": [RepricesAlmost],
    "every_liquidation_offered_moves_exactly_what_it_says": [SeizesOneMore, KnowsNoCloseFactor],
    "a_fills_writes_are_the_state_it_leaves": [LeavesTheDebt],
    "a_mined_liquidation_is_indexed_as_it_was_foretold": [LeavesTheDebt],
    "nothing_is_offered_for_a_healthy_account": [NeverHealthy],
    "a_deal_is_refused_once_its_account_is_healthy": [NeverHealthy],
    "nothing_is_offered_while_the_chain_refuses_everything": [OverlooksPauses],
    "one_unit_over_the_most_is_capped_or_refused_but_never_exceeded": [KnowsNoCloseFactor],
    "bad_debt_is_flagged_exactly_where_it_remains": [SeesNoBadDebt],
    "the_steps_name_the_account_and_no_other": [NamesAnother],
    "only_the_account_that_is_liquidated_changes": [BlamesTheFirst],
    "gas_is_estimated_within_a_factor_of_three": [Frugal],
    "a_fill_says_what_it_was_asked_for": [ShoutsItsKind],
    "no_liquidation_earns_more_than_the_margin": [EarnsNothing],
    "a_stranger_moves_nobodys_position": [ListensToAnybody],
    "a_topic_nobody_knows_changes_nothing": [TakesAllForDeposits],
    "a_log_that_is_cut_short_is_ignored_or_refused": [PadsWithZeros],
    "absurd_numbers_stay_where_they_were_put": [TrustsNumbers],
    "the_same_log_is_the_same_writes_and_leaves_the_state_alone": [CountsItsLogs],
    "any_revert_data_can_be_decoded": [NamesNothing],
}
"""Check → who fails it. Beside those there are the adapters that open wrongly: `OPENERS`."""

OPENERS: Mapping[str, type[Careless]] = {
    "a_wrong_address_is_refused_in_one_line_that_names_it": TakesAnyAddress,
    "an_option_nobody_knows_is_refused_by_its_name": TakesAnyOption,
    "a_node_that_is_away_is_not_taken_for_a_wrong_address": BlamesTheAddress,
}
