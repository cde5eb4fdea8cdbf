"""What an account contract of ours is allowed: what its deals call, with every argument pinned that could lead money elsewhere, and how far
it may be leveraged, whoever trades.
"""

from __future__ import annotations

from keeper.adapters.perp_v2.calls import APPROVE, CANCEL, CLOSE_CALL, DEPOSIT_CALL, LIQUIDATE, TRADE, WITHDRAW_SOME
from keeper.adapters.perp_v2.cells import Deployment
from keeper.adapters.perp_v2.codec import call_data, selector
from keeper.types import Address, Guard, Permission

FREE_COLLATERAL = selector("getFreeCollateralByRatio(address,uint24)")

LEAST_MARGIN = 200_000
"""Millionths of the exposure: what the keeper allows itself is far less, so whoever comes near it is somebody else."""

ANY_MORE = 2**255 - 1


def permissions(deployment: Deployment) -> tuple[Permission, ...]:
    """The market's own contracts decide which base tokens there are, and pay out to the account alone."""
    vault, house, money = deployment.vault, deployment.clearing_house, deployment.settlement
    token, spender = ((0, int(money.token, 16)),), ((0, int(vault, 16)),)
    return (
        Permission(money.token, APPROVE, spender, meaning=f"approve {money.symbol} to the vault, nobody else"),
        Permission(vault, DEPOSIT_CALL, token, meaning=f"deposit {money.symbol} as its own margin"),
        Permission(vault, WITHDRAW_SOME, token, meaning=f"withdraw {money.symbol} into its own wallet"),
        Permission(house, CANCEL, meaning="cancel the orders of somebody who may be liquidated"),
        Permission(house, LIQUIDATE, meaning="take over a position of somebody who may be liquidated"),
        Permission(house, CLOSE_CALL, meaning="close a position"),
        Permission(house, TRADE, meaning="open a position, or close a part of one"),
    )


def limits(deployment: Deployment, account: Address) -> tuple[Guard, ...]:
    """At least so much margin for what is held."""
    asked = call_data(FREE_COLLATERAL, account, LEAST_MARGIN)
    return (Guard(deployment.vault, asked, word=0, below=ANY_MORE, meaning="its margin is at least 20 % of what it holds"),)
