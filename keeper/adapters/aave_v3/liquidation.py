"""One liquidationCall in integers: how much is repaid and seized, whether the contract allows it, and the state it leaves.

Source: `LiquidationLogic.executeLiquidationCall` and `ValidationLogic.validateLiquidationCall` of each version, receiveAToken = false.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.adapters.aave_v3 import position as positions
from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.events import COLLATERAL_BIT, DEBT_BIT, flag
from keeper.adapters.aave_v3.interest import accrue
from keeper.adapters.aave_v3.position import Holding, Position
from keeper.adapters.aave_v3.rules import HALF_CLOSE_HF_WAD, MIN_LEFTOVER_BASE, Emptying, Exposure
from keeper.adapters.aave_v3.versions import RuleSet
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Fill, Write


@dataclass(frozen=True, slots=True)
class Terms:
    """A (debt, collateral) choice on one position. `bonus_bps` includes the 100 %; prices are those of the liquidation."""

    position: Position
    debt: Holding
    collateral: Holding
    debt_price: int
    collateral_price: int
    bonus_bps: int
    most: int  # the close factor's cap, token units


@dataclass(frozen=True, slots=True)
class Amounts:
    """Token units. `seized` goes to the liquidator, `fee` to the treasury as aTokens."""

    repaid: int
    seized: int
    fee: int

    @property
    def gross(self) -> int:
        return self.seized + self.fee


# --- what is allowed at all ---------------------------------------------------------------------------------------


def check_account(deployment: Deployment, cells: Cells, view: View, position: Position) -> None:
    """Raises Skip when no choice of this account can be liquidated."""
    if cells.of_market(view, "upgraded") > deployment.eras[-1].since[0]:
        raise Skip("market_upgraded", "the Pool has a new implementation; restart to rediscover its rules")
    if not position.liquidatable:
        raise Skip("healthy", f"health factor {position.health_factor_wad}")
    for holding in (*position.collaterals, *position.debts):
        if not cells.priced(view, holding.reserve.asset):
            raise Skip("no_price", holding.reserve.asset)
    source = emode_source(cells, deployment.rules, view, position)
    if source and not cells.priced(view, source):
        raise Skip("no_price", source)
    guarded = deployment.rules.sentinel and cells.of_market(view, "sentinel") and position.health_factor_wad >= HALF_CLOSE_HF_WAD
    if guarded and not cells.of_market(view, "liquidation_allowed"):
        raise Skip("sentinel")


def check_reserve(deployment: Deployment, cells: Cells, view: View, holding: Holding, at_s: int) -> None:
    reserve = holding.reserve
    if not cells.of(view, reserve.id, "active"):
        raise Skip("inactive", reserve.asset)
    if cells.of(view, reserve.id, "paused"):
        raise Skip("paused", reserve.asset)
    if deployment.rules.grace_period and cells.of(view, reserve.id, "grace") >= at_s:
        raise Skip("grace_period", reserve.asset)


def terms(deployment: Deployment, cells: Cells, view: View, position: Position, debt: Holding, collateral: Holding) -> Terms:
    """Raises Skip when this pair cannot be liquidated now."""
    rules = deployment.rules
    for holding in (debt, collateral):
        check_reserve(deployment, cells, view, holding, position.at_s)
    if not debt.balance:
        raise Skip("no_debt", debt.reserve.asset)
    eligible = positions.in_category(cells, rules, view, collateral.reserve, position.category)
    bonus = cells.of_emode(view, position.category, "bonus") if eligible else collateral.reserve.bonus
    debt_price = _debt_price(cells, rules, view, position, debt)
    exposure = Exposure(
        debt=debt.balance,
        debt_base=rules.tokens.debt_base(debt.balance, debt_price, debt.reserve.unit),
        collateral_base=collateral.balance * collateral.price // collateral.reserve.unit,
        total_debt_base=position.debt_base,
        debt_price=debt_price,
        debt_unit=debt.reserve.unit,
        health_factor_wad=position.health_factor_wad,
    )
    return Terms(position, debt, collateral, debt_price, collateral.price, bonus, rules.close_factor(exposure))


def _debt_price(cells: Cells, rules: RuleSet, view: View, position: Position, debt: Holding) -> int:
    """Up to 3.1 the eMode's price source prices every debt of its members, in the category or not."""
    special = emode_source(cells, rules, view, position)
    return cells.price(view, special) if special else debt.price


def emode_source(cells: Cells, rules: RuleSet, view: View, position: Position) -> str:
    source = cells.of_emode(view, position.category, "oracle") if rules.emode_has_oracle and position.category else 0
    return f"0x{source:040x}" if source else ""


# --- amounts ------------------------------------------------------------------------------------------------------


def amounts(rules: RuleSet, terms: Terms, cover: int) -> Amounts:
    """`_calculateAvailableCollateralToLiquidate` for `cover` token units of debt."""
    repaid, seize = min(cover, terms.most), rules.seizure
    price_c, price_d = terms.collateral_price, terms.debt_price
    unit_c, unit_d = terms.collateral.reserve.unit, terms.debt.reserve.unit
    gross = seize.with_bonus(price_d * repaid * unit_c // (price_c * unit_d), terms.bonus_bps)
    if gross > terms.collateral.balance:
        gross = terms.collateral.balance
        repaid = cover_for(rules, terms, gross)
    fee = seize.fee(gross - seize.without_bonus(gross, terms.bonus_bps), terms.collateral.reserve.fee)
    return Amounts(repaid, gross - fee, fee)


def cover_for(rules: RuleSet, terms: Terms, gross: int) -> int:
    """The debt that so much collateral is taken for."""
    base = terms.collateral_price * gross * terms.debt.reserve.unit
    return rules.seizure.needed(base // (terms.debt_price * terms.collateral.reserve.unit), terms.bonus_bps)


def closes(terms: Terms, moved: Amounts) -> bool:
    """All of the debt or all of the collateral is taken, so that no dust rule applies."""
    return moved.repaid >= terms.debt.balance or moved.gross >= terms.collateral.balance


def leaves_enough(rules: RuleSet, terms: Terms, moved: Amounts) -> bool:
    """Both leftovers are worth the minimum."""
    left_debt = rules.tokens.debt_base(max(terms.debt.balance - moved.repaid, 0), terms.debt_price, terms.debt.reserve.unit)
    left_collateral = (terms.collateral.balance - moved.gross) * terms.collateral_price // terms.collateral.reserve.unit
    return min(left_debt, left_collateral) >= MIN_LEFTOVER_BASE


def check_amounts(cells: Cells, rules: RuleSet, view: View, terms: Terms, cover: int, moved: Amounts) -> None:
    """Raises Skip where the contract, or a token it calls, reverts."""
    if rules.must_not_leave_dust and not closes(terms, moved) and not leaves_enough(rules, terms, moved):
        raise Skip("dust")
    if moved.repaid > min(cover, terms.debt.balance):
        raise Skip("rounding", "taking all collateral would repay more than the cover")
    if not rules.tokens.debt_burnt(moved.repaid, terms.debt.index) or not scaled_seized(rules, terms, moved):
        raise Skip("burns_nothing", f"repays {moved.repaid}, seizes {moved.seized}")
    # Also for one asset on both sides: the collateral leaves before the repayment arrives.
    cash = cells.of_asset(view, terms.collateral.reserve.asset, "cash")
    if moved.seized > cash:
        raise Skip("no_cash", f"the pool holds {cash} of {terms.collateral.reserve.asset}, {moved.seized} would be paid out")


def scaled_seized(rules: RuleSet, terms: Terms, moved: Amounts) -> int:
    return rules.tokens.supply_taken(moved.seized, terms.collateral.index)


# --- the state it leaves ------------------------------------------------------------------------------------------


def settle(deployment: Deployment, cells: Cells, view: View, terms: Terms, cover: int, moved: Amounts) -> Fill:
    """The call's fill. Rates are left as they were: within the timestamp no index moves by them, and the block's events bring the new."""
    rules, account, at_s = deployment.rules, terms.position.account, terms.position.at_s
    state = Overlay(view)
    for reserve in (terms.debt.reserve.id, terms.collateral.reserve.id):
        state.write(accrue(cells, rules, state, reserve, at_s))
    gone, all_gone = rules.emptied(_emptying(rules, terms, moved))
    written_off = all_gone and rules.burns_bad_debt
    _burn_debt(cells, rules, state, account, terms.debt, moved.repaid, written_off)
    if gone:
        state.write([flag(cells, state, account, terms.collateral.reserve.id, COLLATERAL_BIT, on=False)])
    _take_collateral(cells, rules, state, terms, moved)
    if written_off:
        _burn_bad_debt(deployment, cells, state, terms)
    _move_cash(cells, state, terms, moved)
    debt_left = sum(debt.balance for debt in terms.position.debts) > moved.repaid
    return Fill(
        account=account,
        debt_token=terms.debt.reserve.asset,
        collateral_token=terms.collateral.reserve.asset,
        cover=cover,
        counted=moved.repaid,
        repaid=moved.repaid,
        seized=moved.seized,
        protocol_fee=moved.fee,
        bad_debt=all_gone and debt_left,
        writes=tuple(state.writes()),
        funds=cover,
    )


def _emptying(rules: RuleSet, terms: Terms, moved: Amounts) -> Emptying:
    held = terms.collateral
    taken = scaled_seized(rules, terms, moved) + rules.tokens.supply_taken(moved.fee, held.index)
    return Emptying(
        gross=moved.gross,
        balance=held.balance,
        scaled_taken=min(taken, held.scaled),
        scaled=held.scaled,
        index=held.index,
        price=held.price,
        unit=held.reserve.unit,
        total_base=terms.position.collateral_base,
    )


def _burn_debt(cells: Cells, rules: RuleSet, state: Overlay, account: str, debt: Holding, repaid: int, written_off: bool) -> None:
    """Burns what is repaid, or everything when nothing is left to secure the rest, which becomes the reserve's deficit."""
    reserve = debt.reserve.id
    burnt = debt.balance if written_off else repaid
    left = debt.scaled - rules.tokens.debt_burnt(burnt, debt.index)
    state.write(cells.move(state, "debt", reserve, account, left))
    if written_off:
        deficit = cells.of(state, reserve, "deficit") + debt.balance - repaid
        state.write([(cells.reserve, (reserve, "deficit"), deficit)])
    if rules.debt_free(burnt, debt.balance, left):
        state.write([flag(cells, state, account, reserve, DEBT_BIT, on=False)])


def _take_collateral(cells: Cells, rules: RuleSet, state: Overlay, terms: Terms, moved: Amounts) -> None:
    held, account = terms.collateral, terms.position.account
    reserve = held.reserve.id
    left = held.scaled - scaled_seized(rules, terms, moved)
    fee = min(rules.tokens.supply_taken(moved.fee, held.index), left)
    treasury = f"0x{cells.of_asset(state, held.reserve.asset, 'treasury'):040x}"
    state.write(cells.move(state, "supply", reserve, account, left))
    state.write([(cells.supply, (reserve, account), left - fee)])
    state.write([(cells.supply, (reserve, treasury), state.get(cells.supply, (reserve, treasury)) + fee)])


def _burn_bad_debt(deployment: Deployment, cells: Cells, state: Overlay, terms: Terms) -> None:
    account = terms.position.account
    for debt in terms.position.debts:
        other = debt.reserve.id != terms.debt.reserve.id
        if other and debt.balance and cells.of(state, debt.reserve.id, "active"):
            state.write(accrue(cells, deployment.rules, state, debt.reserve.id, terms.position.at_s))
            _burn_debt(cells, deployment.rules, state, account, debt, 0, written_off=True)


def _move_cash(cells: Cells, state: Overlay, terms: Terms, moved: Amounts) -> None:
    for holding, change in ((terms.debt, moved.repaid), (terms.collateral, -moved.seized)):
        asset = holding.reserve.asset
        cash: Write = (cells.asset, (asset, "cash"), cells.of_asset(state, asset, "cash") + change)
        state.write([cash])
