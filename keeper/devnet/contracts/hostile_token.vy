# pragma version 0.4.3
"""
@title A token that keeps a share of every transfer, or refuses to be transferred
@license MIT
"""

from ethereum.ercs import IERC20

implements: IERC20

BPS: constant(uint256) = 10**4

decimals: public(constant(uint8)) = 18
symbol: public(immutable(String[16]))
name: public(immutable(String[16]))
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
fee_bps: public(uint256)
frozen: public(bool)


@deploy
def __init__(symbol_: String[16], fee_bps_: uint256):
    symbol = symbol_
    name = symbol_
    self.fee_bps = fee_bps_


@external
def mint(to: address, amount: uint256):
    self.totalSupply += amount
    self.balanceOf[to] += amount


@external
def freeze(frozen_: bool):
    self.frozen = frozen_


@external
def transfer(to: address, amount: uint256) -> bool:
    self._move(msg.sender, to, amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self.allowance[owner][msg.sender] -= amount
    self._move(owner, to, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    log IERC20.Approval(owner=msg.sender, spender=spender, value=amount)
    return True


@internal
def _move(owner: address, to: address, amount: uint256):
    assert not self.frozen, "frozen"
    kept: uint256 = amount * self.fee_bps // BPS
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount - kept
    self.totalSupply -= kept
    log IERC20.Transfer(sender=owner, receiver=to, value=amount - kept)
