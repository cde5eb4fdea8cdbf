# pragma version 0.4.3
"""
@notice The smallest lending protocol that has all an adapter must know: a price, interest, a threshold, a close factor and a bonus.
"""
from ethereum.ercs import IERC20

event Opened:
    collateral: indexed(address)
    debt: indexed(address)

event Deposited:
    account: indexed(address)
    amount: uint256

event Withdrawn:
    account: indexed(address)
    amount: uint256

event Borrowed:
    account: indexed(address)
    shares: uint256

event Repaid:
    account: indexed(address)
    shares: uint256

event Moved:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

event Liquidated:
    account: indexed(address)
    liquidator: indexed(address)
    repaid: uint256
    seized: uint256
    shares: uint256

event PriceSet:
    price: uint256

event RateSet:
    rate: uint256
    index: uint256

event PausedSet:
    paused: bool

WAD: constant(uint256) = 10**18
BPS: constant(uint256) = 10_000
THRESHOLD_BPS: public(constant(uint256)) = 8_000
BONUS_BPS: public(constant(uint256)) = 500
CLOSE_BPS: public(constant(uint256)) = 5_000
CLOSE_ALL_BELOW: public(constant(uint256)) = 95 * 10**16

owner: immutable(address)
unit: immutable(uint256)
collateral: public(immutable(address))
debt: public(immutable(address))

price: public(uint256)  # of a whole collateral token, in the debt token's smallest unit
rate: public(uint256)  # interest a second, in wads
index: public(uint256)  # debt of a share, in wads, as of `since`
since: public(uint256)
paused: public(bool)
collateral_of: public(HashMap[address, uint256])
shares_of: public(HashMap[address, uint256])


@deploy
def __init__(_collateral: address, _debt: address, decimals: uint8, _price: uint256, _rate: uint256):
    owner = msg.sender
    collateral = _collateral
    debt = _debt
    unit = 10 ** convert(decimals, uint256)
    log Opened(collateral=_collateral, debt=_debt)
    self.index = WAD
    self._set_rate(_rate)
    self._set_price(_price)


@external
@view
def health(account: address) -> (uint256, uint256, uint256):
    """
    @return Weighted collateral and debt, in the debt token's smallest unit, and their ratio in wads: below one, anybody may liquidate.
    """
    weighted: uint256 = self.collateral_of[account] * self.price // unit * THRESHOLD_BPS // BPS
    owed: uint256 = self._owed(self.shares_of[account])
    return weighted, owed, self._factor(weighted, owed)


@external
def deposit(amount: uint256):
    self.collateral_of[msg.sender] += amount
    extcall IERC20(collateral).transferFrom(msg.sender, self, amount)
    log Deposited(account=msg.sender, amount=amount)


@external
def withdraw(amount: uint256):
    self.collateral_of[msg.sender] -= amount
    self._require_healthy(msg.sender)
    extcall IERC20(collateral).transfer(msg.sender, amount)
    log Withdrawn(account=msg.sender, amount=amount)


@external
def move(receiver: address, amount: uint256):
    self.collateral_of[msg.sender] -= amount
    self.collateral_of[receiver] += amount
    self._require_healthy(msg.sender)
    log Moved(sender=msg.sender, receiver=receiver, amount=amount)


@external
def borrow(amount: uint256):
    index: uint256 = self._index()
    shares: uint256 = (amount * WAD + index - 1) // index
    self.shares_of[msg.sender] += shares
    self._require_healthy(msg.sender)
    extcall IERC20(debt).transfer(msg.sender, amount)
    log Borrowed(account=msg.sender, shares=shares)


@external
def repay(amount: uint256):
    shares: uint256 = self._burn(msg.sender, min(amount, self._owed(self.shares_of[msg.sender])))
    log Repaid(account=msg.sender, shares=shares)


@external
def liquidate(account: address, amount: uint256):
    """
    @notice Repay some of an unhealthy account's debt, and take its collateral for it, with a bonus.
    """
    assert not self.paused, "paused"
    weighted: uint256 = self.collateral_of[account] * self.price // unit * THRESHOLD_BPS // BPS
    owed: uint256 = self._owed(self.shares_of[account])
    factor: uint256 = self._factor(weighted, owed)
    assert factor < WAD, "healthy"
    most: uint256 = owed
    if factor >= CLOSE_ALL_BELOW:
        most = (owed * CLOSE_BPS + BPS - 1) // BPS
    repaid: uint256 = min(amount, most)
    seized: uint256 = repaid * unit * (BPS + BONUS_BPS) // (self.price * BPS)
    if seized > self.collateral_of[account]:
        seized = self.collateral_of[account]
        divisor: uint256 = unit * (BPS + BONUS_BPS)
        repaid = (seized * self.price * BPS + divisor - 1) // divisor
    assert repaid > 0 and seized > 0, "nothing"
    self.collateral_of[account] -= seized
    shares: uint256 = self._burn(account, repaid)
    extcall IERC20(collateral).transfer(msg.sender, seized)
    log Liquidated(account=account, liquidator=msg.sender, repaid=repaid, seized=seized, shares=shares)


@external
def set_price(_price: uint256):
    assert msg.sender == owner
    self._set_price(_price)


@external
def set_rate(_rate: uint256):
    assert msg.sender == owner
    self._set_rate(_rate)


@external
def set_paused(_paused: bool):
    assert msg.sender == owner
    self.paused = _paused
    log PausedSet(paused=_paused)


def _burn(account: address, amount: uint256) -> uint256:
    """
    @dev Paid by the caller. The last unit of a debt takes the last share.
    """
    shares: uint256 = amount * WAD // self._index()
    if amount == self._owed(self.shares_of[account]):
        shares = self.shares_of[account]
    self.shares_of[account] -= shares
    extcall IERC20(debt).transferFrom(msg.sender, self, amount)
    return shares


def _set_price(_price: uint256):
    assert _price > 0
    self.price = _price
    log PriceSet(price=_price)


def _set_rate(_rate: uint256):
    self.index = self._index()
    self.since = block.timestamp
    self.rate = _rate
    log RateSet(rate=_rate, index=self.index)


@view
def _index() -> uint256:
    return self.index + self.index * self.rate * (block.timestamp - self.since) // WAD


@view
def _owed(shares: uint256) -> uint256:
    return (shares * self._index() + WAD - 1) // WAD


@pure
def _factor(weighted: uint256, owed: uint256) -> uint256:
    return weighted * WAD // owed if owed > 0 else max_value(uint256)


@view
def _require_healthy(account: address):
    weighted: uint256 = self.collateral_of[account] * self.price // unit * THRESHOLD_BPS // BPS
    assert self._factor(weighted, self._owed(self.shares_of[account])) >= WAD, "unhealthy"
