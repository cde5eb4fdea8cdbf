# pragma version 0.4.3
"""
@title An oracle that says what it is told to say, and claims to be composed of honest feeds
@notice A price of zero makes it revert.
@license MIT
"""

BASE_VAULT: public(constant(address)) = empty(address)
QUOTE_VAULT: public(constant(address)) = empty(address)
BASE_FEED_1: public(immutable(address))
BASE_FEED_2: public(constant(address)) = empty(address)
QUOTE_FEED_1: public(immutable(address))
QUOTE_FEED_2: public(constant(address)) = empty(address)
SCALE_FACTOR: public(immutable(uint256))

answer: uint256


@deploy
def __init__(base: address, quote: address, scale: uint256, price_: uint256):
    BASE_FEED_1 = base
    QUOTE_FEED_1 = quote
    SCALE_FACTOR = scale
    self.answer = price_


@external
def say(price_: uint256):
    self.answer = price_


@external
@view
def price() -> uint256:
    assert self.answer > 0, "no price"
    return self.answer
