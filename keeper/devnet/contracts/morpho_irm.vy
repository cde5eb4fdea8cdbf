# pragma version 0.4.3
"""
@title A rate model with the outside and the formulas of Morpho's AdaptiveCurveIrm
@notice The rate at 90 % utilisation adapts exponentially, the rate around it follows a curve. Only the market may ask and so move it.
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

event BorrowRateUpdate:
    id: indexed(bytes32)
    avgBorrowRate: uint256
    rateAtTarget: uint256

WAD: constant(int256) = 10**18
YEAR: constant(int256) = 365 * 24 * 3600
STEEPNESS: constant(int256) = 4 * 10**18
SPEED: constant(int256) = 50 * 10**18 // YEAR
TARGET: constant(int256) = 9 * 10**17
INITIAL: constant(int256) = 4 * 10**16 // YEAR
LEAST: constant(int256) = 10**15 // YEAR
MOST: constant(int256) = 2 * 10**18 // YEAR
LN_2: constant(int256) = 693147180559945309
LN_WEI: constant(int256) = -41446531673892822312
EXP_BOUND: constant(int256) = 93859467695000404319
EXP_MOST: constant(int256) = 57716089161558943949701069502944508345128422502756744429568

MORPHO: public(immutable(address))
rateAtTarget: public(HashMap[bytes32, int256])


@deploy
def __init__(morpho: address):
    MORPHO = morpho


@internal
@pure
def _exp(x: int256) -> int256:
    if x < LN_WEI:
        return 0
    if x >= EXP_BOUND:
        return EXP_MOST
    half: int256 = LN_2 // 2
    if x < 0:
        half = -half
    twos: int256 = (x + half) // LN_2
    rest: int256 = x - twos * LN_2
    power: int256 = WAD + rest + rest * rest // WAD // 2
    if twos >= 0:
        return power << convert(twos, uint256)
    return power >> convert(-twos, uint256)


@internal
@pure
def _moved(start: int256, adaptation: int256) -> int256:
    return min(max(start * self._exp(adaptation) // WAD, LEAST), MOST)


@internal
@view
def _rates(id: bytes32, totals: Totals) -> (uint256, int256):
    used: int256 = 0
    if totals.totalSupplyAssets > 0:
        used = convert(convert(totals.totalBorrowAssets, uint256) * 10**18 // convert(totals.totalSupplyAssets, uint256), int256)
    span: int256 = TARGET
    if used > TARGET:
        span = WAD - TARGET
    err: int256 = (used - TARGET) * WAD // span
    start: int256 = self.rateAtTarget[id]
    mean: int256 = INITIAL
    end: int256 = INITIAL
    if start != 0:
        elapsed: int256 = convert(block.timestamp - convert(totals.lastUpdate, uint256), int256)
        adaptation: int256 = (SPEED * err // WAD) * elapsed
        mean = start
        end = start
        if adaptation != 0:
            end = self._moved(start, adaptation)
            mean = (start + end + 2 * self._moved(start, adaptation // 2)) // 4
    steep: int256 = STEEPNESS - WAD
    if err < 0:
        steep = WAD - WAD * WAD // STEEPNESS
    return convert((steep * err // WAD + WAD) * mean // WAD, uint256), end


@external
@view
def borrowRateView(params: Params, totals: Totals) -> uint256:
    mean: uint256 = 0
    end: int256 = 0
    mean, end = self._rates(keccak256(abi_encode(params)), totals)
    return mean


@external
def borrowRate(params: Params, totals: Totals) -> uint256:
    assert msg.sender == MORPHO, "not Morpho"
    id: bytes32 = keccak256(abi_encode(params))
    mean: uint256 = 0
    end: int256 = 0
    mean, end = self._rates(id, totals)
    self.rateAtTarget[id] = end
    log BorrowRateUpdate(id=id, avgBorrowRate=mean, rateAtTarget=convert(end, uint256))
    return mean
