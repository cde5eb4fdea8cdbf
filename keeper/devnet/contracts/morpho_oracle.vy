# pragma version 0.4.3
"""
@title A price composed of feeds, with the outside of MorphoChainlinkOracleV2
@notice Collateral in units of the loan token, scaled by 1e36: base feeds over quote feeds. A feed at the zero address counts as 1.
@license MIT
"""

interface Feed:
    def decimals() -> uint8: view
    def latestRoundData() -> (uint80, int256, uint256, uint256, uint80): view

BASE_VAULT: public(constant(address)) = empty(address)
QUOTE_VAULT: public(constant(address)) = empty(address)
BASE_VAULT_CONVERSION_SAMPLE: public(constant(uint256)) = 1
QUOTE_VAULT_CONVERSION_SAMPLE: public(constant(uint256)) = 1
BASE_FEED_1: public(immutable(address))
BASE_FEED_2: public(immutable(address))
QUOTE_FEED_1: public(immutable(address))
QUOTE_FEED_2: public(immutable(address))
SCALE_FACTOR: public(immutable(uint256))


@deploy
def __init__(base_1: address, base_2: address, base_decimals: uint256, quote_1: address, quote_2: address, quote_decimals: uint256):
    BASE_FEED_1 = base_1
    BASE_FEED_2 = base_2
    QUOTE_FEED_1 = quote_1
    QUOTE_FEED_2 = quote_2
    up: uint256 = 36 + quote_decimals + self._decimals(quote_1) + self._decimals(quote_2)
    SCALE_FACTOR = 10 ** (up - base_decimals - self._decimals(base_1) - self._decimals(base_2))


@internal
@view
def _decimals(feed: address) -> uint256:
    if feed == empty(address):
        return 0
    return convert(staticcall Feed(feed).decimals(), uint256)


@internal
@view
def _answer(feed: address) -> uint256:
    if feed == empty(address):
        return 1
    round: uint80 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint80 = 0
    round, answer, started_at, updated_at, answered_in = staticcall Feed(feed).latestRoundData()
    assert answer >= 0, "negative answer"
    return convert(answer, uint256)


@external
@view
def price() -> uint256:
    base: uint256 = self._answer(BASE_FEED_1) * self._answer(BASE_FEED_2)
    return SCALE_FACTOR * base // (self._answer(QUOTE_FEED_1) * self._answer(QUOTE_FEED_2))
