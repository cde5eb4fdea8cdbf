"""The singleton as a flash lender: of every token it holds, for nothing."""

from __future__ import annotations

from keeper.adapters.morpho_blue.cells import Cells, Deployment
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Address, Funding, FundingKind


def quote(deployment: Deployment, cells: Cells, view: View, token: Address, amount: int) -> Funding:
    """Raises Skip when there is not that much of it."""
    there = cells.of_token(view, token, "cash")
    if amount > there or not amount:
        raise Skip("flash_cash", f"{amount} of {token} wanted, {there} there")
    return Funding(FundingKind.FLASH_LOAN, deployment.address, token, amount, 0)
