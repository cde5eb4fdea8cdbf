"""The pool as a flash lender: `flashLoanSimple`, its premium and what its repayment leaves."""

from __future__ import annotations

from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.codec import WORD, call_data, selector
from keeper.adapters.aave_v3.interest import accrue, income
from keeper.adapters.aave_v3.rules import index_with_premium
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.fixedpoint import percent_mul_half_up, ray_div_half_up, ray_mul_half_up
from keeper.ports import View
from keeper.types import Address, Funding, FundingKind, Write

FLASH_LOAN_SIMPLE = selector("flashLoanSimple(address,address,uint256,bytes,uint16)")
NO_REFERRAL = 0


def quote(deployment: Deployment, cells: Cells, view: View, token: Address, amount: int, at_s: int) -> Funding:
    """Raises Skip with the rule that forbids it."""
    reserve = cells.reserve_id(view, token)
    if reserve is None:
        raise Skip("flash_unlisted", token)
    for field, wanted, reason in (("active", 1, "flash_inactive"), ("paused", 0, "flash_paused"), ("flash", 1, "flash_disabled")):
        if cells.of(view, reserve, field) != wanted:
            raise Skip(reason, token)
    supply = deployment.rules.tokens.supply_balance(view.get(cells.total, (reserve, "supply")), income(cells.index_of(view, reserve), at_s))
    most = min(cells.of_asset(view, token, "cash"), supply)
    if amount > most:
        raise Skip("flash_cash", f"{amount} of {token} wanted, {most} there")
    fee = deployment.rules.flash_premium(amount, cells.of_market(view, "premium_bps"))
    return Funding(FundingKind.FLASH_LOAN, deployment.pool, token, amount, fee)


def after(deployment: Deployment, cells: Cells, view: View, funding: Funding, at_s: int) -> list[Write]:
    """On the state the borrower's own calls left: the premium as cash, and up to 3.3 as a jump of the suppliers' index."""
    reserve = cells.reserve_id(view, funding.token)
    if reserve is None:
        raise Skip("flash_unlisted", funding.token)
    state = Overlay(view)
    state.write(accrue(cells, deployment.rules, state, reserve, at_s))
    if deployment.rules.flash_to_suppliers:
        _share(deployment, cells, state, reserve, funding.fee)
    state.write([(cells.asset, (funding.token, "cash"), cells.of_asset(view, funding.token, "cash") + funding.fee)])
    return state.writes()


def encode(funding: Funding, executor: Address) -> bytes:
    """`flashLoanSimple(receiver, asset, amount, params, referral)` up to the params, which are its last bytes."""
    return call_data(FLASH_LOAN_SIMPLE, executor, funding.token, funding.amount, 5 * WORD, NO_REFERRAL)


def _share(deployment: Deployment, cells: Cells, state: Overlay, reserve: int, premium: int) -> None:
    protocol = percent_mul_half_up(premium, cells.of_market(state, "to_protocol_bps"))
    li, accrued = cells.index_of(state, reserve).li, cells.of(state, reserve, "accrued")
    supply = deployment.rules.tokens.supply_balance(state.get(cells.total, (reserve, "supply")), li)
    raised = index_with_premium(li, supply + ray_mul_half_up(accrued, li), premium - protocol)
    state.write([(cells.index, (reserve, "li"), raised)])
    state.write([(cells.reserve, (reserve, "accrued"), accrued + ray_div_half_up(protocol, raised))])
