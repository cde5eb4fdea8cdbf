# pragma version 0.4.3
"""
@title A rate model that says what it is told to say
@notice The highest rate there is makes it revert.
@license MIT
"""

struct Params:
    loanToken: address
    collateralToken: address
    oracle: address
    irm: address
    lltv: uint256

struct Totals:
    totalSupplyAssets: uint128
    totalSupplyShares: uint128
    totalBorrowAssets: uint128
    totalBorrowShares: uint128
    lastUpdate: uint128
    fee: uint128

rate: public(uint256)


@deploy
def __init__(rate_: uint256):
    self.rate = rate_


@external
def say(rate_: uint256):
    self.rate = rate_


@external
@view
def borrowRateView(params: Params, totals: Totals) -> uint256:
    return self._rate()


@external
def borrowRate(params: Params, totals: Totals) -> uint256:
    return self._rate()


@internal
@view
def _rate() -> uint256:
    assert self.rate < max_value(uint256), "no rate"
    return self.rate
