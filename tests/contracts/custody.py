"""What the tests of the account contract share: the owner's word, money in it, and calls of an operator."""

from __future__ import annotations

from keeper.execution import account as codec
from keeper.types import Address, Guard, Permission, Step
from tests.contracts.chain import OWNER, Chain, abi_call, selector

APPROVE, TRANSFER, TAKE = (
    selector(name) for name in ("approve(address,uint256)", "transfer(address,uint256)", "transferFrom(address,address,uint256)")
)


def number(address: Address) -> int:
    return int(address, 16)


def approval(token: Address, spender: Address) -> Permission:
    return Permission(token, APPROVE, ((0, number(spender)),))


async def allow(chain: Chain, account: Address, *permissions: Permission) -> None:
    assert (await chain.send(OWNER, account, codec.permit_data(permissions))).ok


async def limit(chain: Chain, account: Address, *limits: Guard) -> None:
    assert (await chain.send(OWNER, account, codec.limits_data(limits))).ok


async def fund(chain: Chain, token: Address, account: Address, amount: int) -> None:
    assert (await chain.send(OWNER, token, abi_call("mint(address,uint256)", account, amount))).ok


def operate(*steps: Step) -> bytes:
    return codec.operate_data(steps)
