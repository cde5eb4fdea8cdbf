# pragma version 0.4.3
"""
@title A feed with the outside of Chainlink's EACAggregatorProxy
@notice Forwards to the aggregator of the current phase. The owner may move to another aggregator; no event tells.
@license MIT
"""

interface Aggregator:
    def latestAnswer() -> int256: view
    def latestTimestamp() -> uint256: view
    def latestRound() -> uint256: view
    def latestRoundData() -> (uint80, int256, uint256, uint256, uint80): view
    def getRoundData(round: uint80) -> (uint80, int256, uint256, uint256, uint80): view
    def decimals() -> uint8: view
    def description() -> String[32]: view

owner: public(immutable(address))
aggregator: public(address)
phaseId: public(uint16)
phaseAggregators: public(HashMap[uint16, address])
proposedAggregator: public(address)

PHASE: constant(uint256) = 2**64


@deploy
def __init__(aggregator_: address):
    owner = msg.sender
    self._set(aggregator_)


@internal
def _set(aggregator_: address):
    self.phaseId += 1
    self.aggregator = aggregator_
    self.phaseAggregators[self.phaseId] = aggregator_


@external
def proposeAggregator(aggregator_: address):
    assert msg.sender == owner, "Only callable by owner"
    self.proposedAggregator = aggregator_


@external
def confirmAggregator(aggregator_: address):
    assert msg.sender == owner, "Only callable by owner"
    assert aggregator_ == self.proposedAggregator, "Invalid proposed aggregator"
    self.proposedAggregator = empty(address)
    self._set(aggregator_)


@internal
@view
def _phased(phase: uint16, round: uint80) -> uint80:
    return convert(convert(phase, uint256) * PHASE + convert(round, uint256), uint80)


@external
@view
def latestAnswer() -> int256:
    return staticcall Aggregator(self.aggregator).latestAnswer()


@external
@view
def latestTimestamp() -> uint256:
    return staticcall Aggregator(self.aggregator).latestTimestamp()


@external
@view
def latestRound() -> uint256:
    return convert(self.phaseId, uint256) * PHASE + staticcall Aggregator(self.aggregator).latestRound()


@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    round: uint80 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint80 = 0
    round, answer, started_at, updated_at, answered_in = staticcall Aggregator(self.aggregator).latestRoundData()
    return self._phased(self.phaseId, round), answer, started_at, updated_at, self._phased(self.phaseId, answered_in)


@external
@view
def getRoundData(phased: uint80) -> (uint80, int256, uint256, uint256, uint80):
    phase: uint16 = convert(convert(phased, uint256) // PHASE, uint16)
    round: uint80 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint80 = 0
    round, answer, started_at, updated_at, answered_in = staticcall Aggregator(self.phaseAggregators[phase]).getRoundData(
        convert(convert(phased, uint256) % PHASE, uint80)
    )
    return self._phased(phase, round), answer, started_at, updated_at, self._phased(phase, answered_in)


@external
@view
def decimals() -> uint8:
    return staticcall Aggregator(self.aggregator).decimals()


@external
@view
def description() -> String[32]:
    return staticcall Aggregator(self.aggregator).description()
