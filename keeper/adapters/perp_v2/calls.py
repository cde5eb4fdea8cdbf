"""A fill as calls: in with the margin, take the position over, trade it away, out with what is left; or pay and get the collateral."""

from __future__ import annotations

from keeper.adapters.perp_v2.aid import given
from keeper.adapters.perp_v2.cells import Cells, Deployment, unzigzag
from keeper.adapters.perp_v2.codec import call_data, selector
from keeper.adapters.perp_v2.liquidation import COLLATERAL
from keeper.types import Action, Address, Fill, Guard, Step

APPROVE = selector("approve(address,uint256)")
DEPOSIT = selector("deposit(address,uint256)")
WITHDRAW_ALL = selector("withdrawAll(address)")
CANCEL = selector("cancelAllExcessOrders(address,address)")
LIQUIDATE = selector("liquidate(address,address,int256)")
POSITION_SIZE = selector("getTotalPositionSize(address,address)")
CLOSE = selector("closePosition((address,uint160,uint256,uint256,bytes32))")
LIQUIDATE_COLLATERAL = selector("liquidateCollateral(address,address,uint256,bool)")
NO_DEADLINE = 2**256 - 1

TAKE_OVER_GAS, CANCEL_GAS, COLLATERAL_GAS, BEFORE_GAS = 2_700_000, 700_000, 750_000, 100_000


def encode(deployment: Deployment, cells: Cells, fill: Fill, executor: Address) -> tuple[Action, ...]:
    """No allowance is left, nor a part of the position: the contract may close less than all of it without a word."""
    settlement, vault = deployment.settlement.token, deployment.vault
    deposited = fill.funds - given(fill)
    approve, forbid = (Step(settlement, call_data(APPROVE, vault, amount)) for amount in (deposited, 0))
    if fill.kind == COLLATERAL:
        bought = call_data(LIQUIDATE_COLLATERAL, fill.account, fill.collateral_token, fill.cover, 0)
        return *fill.before, approve, Step(vault, bought), forbid
    house = deployment.clearing_house
    cancels = [Step(house, call_data(CANCEL, fill.account, deployment.books[number].base)) for number in cancelled(cells, fill)]
    return (
        *fill.before,
        *cancels,
        approve,
        Step(vault, call_data(DEPOSIT, settlement, deposited)),
        Step(house, call_data(LIQUIDATE, fill.account, fill.target, _argument(deployment, cells, fill))),
        Step(house, call_data(CLOSE, fill.target, 0, 0, NO_DEADLINE, 0)),
        Guard(deployment.account_balance, call_data(POSITION_SIZE, executor, fill.target), word=0, below=1),
        Step(vault, call_data(WITHDRAW_ALL, settlement)),
        forbid,
    )


def cancelled(cells: Cells, fill: Fill) -> list[int]:
    """The books in which the account had orders."""
    return sorted({int(key[0]) for table, key, count in fill.writes if table == cells.orders and key[-1] == fill.account and not count})


def gas(cells: Cells, fill: Fill) -> int:
    made = COLLATERAL_GAS if fill.kind == COLLATERAL else TAKE_OVER_GAS + CANCEL_GAS * len(cancelled(cells, fill))
    return made + BEFORE_GAS * len(fill.before)


def _argument(deployment: Deployment, cells: Cells, fill: Fill) -> int:
    """Has the sign of the position, which is that of what is left of it; where nothing is, 0 asks for all that is allowed."""
    number = next(number for number, book in enumerate(deployment.books) if book.base == fill.target)
    left = next((size for table, key, size in fill.writes if (table, key) == (cells.size, (number, fill.account))), 0)
    return 0 if not left else fill.cover if unzigzag(left) > 0 else -fill.cover
