# pragma version 0.4.3
"""
@title A price aggregator with the outside of Chainlink's OCR2Aggregator
@notice Reports arrive through `transmit` with OCR2's selector, report layout, checks and events; signatures are not checked.
@license MIT
"""

event NewTransmission:
    aggregatorRoundId: indexed(uint32)
    answer: int192
    transmitter: address
    observationsTimestamp: uint32
    observations: DynArray[int192, 31]
    observers: Bytes[32]
    juelsPerFeeCoin: int192
    configDigest: bytes32
    epochAndRound: uint40

event NewRound:
    roundId: indexed(uint256)
    startedBy: indexed(address)
    startedAt: uint256

event AnswerUpdated:
    current: indexed(int256)
    roundId: indexed(uint256)
    updatedAt: uint256

struct Transmission:
    answer: int192
    observationsTimestamp: uint32
    transmissionTimestamp: uint32

struct RoundData:
    roundId: uint80
    answer: int256
    startedAt: uint256
    updatedAt: uint256
    answeredInRound: uint80

decimals: public(immutable(uint8))
minAnswer: public(immutable(int192))
maxAnswer: public(immutable(int192))
transmitter: public(immutable(address))
description: public(String[32])

latest_round: uint32
latest_epoch_and_round: uint40
transmissions: HashMap[uint32, Transmission]


@deploy
def __init__(decimals_: uint8, description_: String[32], min_answer: int192, max_answer: int192, transmitter_: address):
    decimals = decimals_
    minAnswer = min_answer
    maxAnswer = max_answer
    transmitter = transmitter_
    self.description = description_


@external
def transmit(
    report_context: bytes32[3],
    report: Bytes[1216],
    rs: DynArray[bytes32, 31],
    ss: DynArray[bytes32, 31],
    raw_vs: bytes32,
):
    assert msg.sender == transmitter, "unauthorized transmitter"
    epoch_and_round: uint40 = convert(convert(report_context[1], uint256) & (2**40 - 1), uint40)
    assert self.latest_epoch_and_round < epoch_and_round, "stale report"

    timestamp: uint32 = 0
    observers: bytes32 = empty(bytes32)
    observations: DynArray[int192, 31] = []
    juels: int192 = 0
    timestamp, observers, observations, juels = abi_decode(report, (uint32, bytes32, DynArray[int192, 31], int192))
    assert len(observations) > 0, "too few values to trust median"
    median: int192 = observations[len(observations) // 2]
    assert minAnswer <= median and median <= maxAnswer, "median is out of min-max range"

    self.latest_epoch_and_round = epoch_and_round
    self.latest_round += 1
    round: uint32 = self.latest_round
    self.transmissions[round] = Transmission(
        answer=median,
        observationsTimestamp=timestamp,
        transmissionTimestamp=convert(block.timestamp, uint32),
    )
    log NewTransmission(
        aggregatorRoundId=round,
        answer=median,
        transmitter=msg.sender,
        observationsTimestamp=timestamp,
        observations=observations,
        observers=slice(observers, 0, len(observations)),
        juelsPerFeeCoin=juels,
        configDigest=report_context[0],
        epochAndRound=epoch_and_round,
    )
    log NewRound(roundId=convert(round, uint256), startedBy=empty(address), startedAt=convert(timestamp, uint256))
    log AnswerUpdated(current=convert(median, int256), roundId=convert(round, uint256), updatedAt=block.timestamp)


@internal
@view
def _round(round: uint32) -> RoundData:
    t: Transmission = self.transmissions[round]
    assert t.transmissionTimestamp > 0, "No data present"
    return RoundData(
        roundId=convert(round, uint80),
        answer=convert(t.answer, int256),
        startedAt=convert(t.observationsTimestamp, uint256),
        updatedAt=convert(t.transmissionTimestamp, uint256),
        answeredInRound=convert(round, uint80),
    )


@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    r: RoundData = self._round(self.latest_round)
    return r.roundId, r.answer, r.startedAt, r.updatedAt, r.answeredInRound


@external
@view
def getRoundData(round: uint80) -> (uint80, int256, uint256, uint256, uint80):
    r: RoundData = self._round(convert(round, uint32))
    return r.roundId, r.answer, r.startedAt, r.updatedAt, r.answeredInRound


@external
@view
def latestAnswer() -> int256:
    return convert(self.transmissions[self.latest_round].answer, int256)


@external
@view
def latestTimestamp() -> uint256:
    return convert(self.transmissions[self.latest_round].transmissionTimestamp, uint256)


@external
@view
def latestRound() -> uint256:
    return convert(self.latest_round, uint256)


@external
@view
def latestEpochAndRound() -> uint40:
    return self.latest_epoch_and_round
