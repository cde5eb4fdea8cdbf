"""A fill as calls: in with the margin, take the position over, trade it away, out with what is left; or pay and get the collateral."""

from __future__ import annotations

from keeper.adapters.perp_v2.aid import given
from keeper.adapters.perp_v2.cells import Cells, Deployment, unzigzag
from keeper.adapters.perp_v2.codec import call_data, selector
from keeper.adapters.perp_v2.liquidation import COLLATERAL
from keeper.types import CLOSE, DEPOSIT, OPEN, TAKE, WITHDRAW, Action, Address, Fill, Guard, Step

APPROVE = selector("approve(address,uint256)")
DEPOSIT_CALL = selector("deposit(address,uint256)")
WITHDRAW_ALL = selector("withdrawAll(address)")
CANCEL = selector("cancelAllExcessOrders(address,address)")
LIQUIDATE = selector("liquidate(address,address,int256)")
POSITION_SIZE = selector("getTotalPositionSize(address,address)")
CLOSE_CALL = selector("closePosition((address,uint160,uint256,uint256,bytes32))")
TRADE = selector("openPosition((address,bool,bool,uint256,uint256,uint256,uint160,bytes32))")
WITHDRAW_SOME = selector("withdraw(address,uint256)")
LIQUIDATE_COLLATERAL = selector("liquidateCollateral(address,address,uint256,bool)")
NO_DEADLINE = 2**256 - 1

TAKE_OVER_GAS, CANCEL_GAS, COLLATERAL_GAS, BEFORE_GAS = 2_700_000, 700_000, 750_000, 100_000
OWN_GAS = {TAKE: 1_700_000, CLOSE: 900_000, OPEN: 900_000, DEPOSIT: 200_000, WITHDRAW: 700_000}


def encode(deployment: Deployment, cells: Cells, fill: Fill, executor: Address) -> tuple[Action, ...]:
    """No allowance is left, nor a part of the position: the contract may close less than all of it without a word."""
    if fill.by:
        return _own(deployment, cells, fill)
    settlement, vault = deployment.settlement.token, deployment.vault
    deposited = fill.funds - given(fill)
    approve, forbid = (Step(settlement, call_data(APPROVE, vault, amount)) for amount in (deposited, 0))
    if fill.kind == COLLATERAL:
        bought = call_data(LIQUIDATE_COLLATERAL, fill.account, fill.collateral_token, fill.cover, 0)
        return *fill.before, approve, Step(vault, bought), forbid
    house = deployment.clearing_house
    return (
        *fill.before,
        *_cancels(deployment, cells, fill),
        approve,
        Step(vault, call_data(DEPOSIT_CALL, settlement, deposited)),
        Step(house, call_data(LIQUIDATE, fill.account, fill.target, _argument(deployment, cells, fill))),
        Step(house, call_data(CLOSE_CALL, fill.target, 0, 0, NO_DEADLINE, 0)),
        Guard(deployment.account_balance, call_data(POSITION_SIZE, executor, fill.target), word=0, below=1),
        Step(vault, call_data(WITHDRAW_ALL, settlement)),
        forbid,
    )


def _cancels(deployment: Deployment, cells: Cells, fill: Fill) -> list[Step]:
    books = deployment.books
    return [Step(deployment.clearing_house, call_data(CANCEL, fill.account, books[number].base)) for number in cancelled(cells, fill)]


def _own(deployment: Deployment, cells: Cells, fill: Fill) -> tuple[Action, ...]:
    """The calls of an account contract of ours, which keeps what comes of them."""
    house, vault, token = deployment.clearing_house, deployment.vault, deployment.settlement.token
    if fill.kind == TAKE:
        taken = call_data(LIQUIDATE, fill.account, fill.target, _argument(deployment, cells, fill))
        return *_cancels(deployment, cells, fill), Step(house, taken)
    if fill.kind == DEPOSIT:
        return Step(token, call_data(APPROVE, vault, fill.cover)), Step(vault, call_data(DEPOSIT_CALL, token, fill.cover))
    if fill.kind == WITHDRAW:
        return (Step(vault, call_data(WITHDRAW_SOME, token, fill.cover)),)
    return (Step(house, _trade(deployment, cells, fill)),)


def _trade(deployment: Deployment, cells: Cells, fill: Fill) -> bytes:
    """Base is what is named exactly, whichever way."""
    left = _left(deployment, cells, fill, Address(fill.by))
    if fill.kind == CLOSE and not left:
        return call_data(CLOSE_CALL, fill.target, 0, fill.bound, NO_DEADLINE, 0)
    sell = fill.cover < 0 if fill.kind == OPEN else left > 0
    return call_data(TRADE, fill.target, sell, sell, fill.counted, fill.bound, NO_DEADLINE, 0, 0)


def _left(deployment: Deployment, cells: Cells, fill: Fill, account: Address) -> int:
    """The size that the fill leaves an account in its book."""
    number = next(number for number, book in enumerate(deployment.books) if book.base == fill.target)
    return unzigzag(next((size for table, key, size in fill.writes if (table, key) == (cells.size, (number, account))), 0))


def cancelled(cells: Cells, fill: Fill) -> list[int]:
    """The books in which the account had orders."""
    return sorted({int(key[0]) for table, key, count in fill.writes if table == cells.orders and key[-1] == fill.account and not count})


def gas(cells: Cells, fill: Fill) -> int:
    if fill.by:
        made = OWN_GAS[fill.kind] + CANCEL_GAS * len(cancelled(cells, fill))
    else:
        made = COLLATERAL_GAS if fill.kind == COLLATERAL else TAKE_OVER_GAS + CANCEL_GAS * len(cancelled(cells, fill))
    return made + BEFORE_GAS * len(fill.before)


def _argument(deployment: Deployment, cells: Cells, fill: Fill) -> int:
    """Has the sign of the position, which is that of what is left of it; where nothing is, 0 asks for all that is allowed."""
    left = _left(deployment, cells, fill, fill.account)
    return 0 if not left else fill.cover if left > 0 else -fill.cover
