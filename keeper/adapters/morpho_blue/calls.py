"""What is said to the contract: the liquidation, plain or with a callback, the flash loan, and the audit of a position."""

from __future__ import annotations

from keeper.adapters.morpho_blue.cells import Params
from keeper.adapters.morpho_blue.codec import WORD, call_data, hashed, selector
from keeper.adapters.morpho_blue.liquidation import SEIZE
from keeper.adapters.morpho_blue.position import Position
from keeper.types import Address, Audit, Fill, Funding, Guard, Read, Step

LIQUIDATE_CALL = selector("liquidate((address,address,address,address,uint256),address,uint256,uint256,bytes)")
FLASH_LOAN = selector("flashLoan(address,uint256,bytes)")
APPROVE = selector("approve(address,uint256)")
POSITION = selector("position(bytes32,address)")
SHARES_WORD = 1
EXT_SLOADS = selector("extSloads(bytes32[])")
LIQUIDATE_WORDS, FLASH_WORDS = 9, 3
"""Words before the bytes of each call, their offset included."""

POSITION_SLOT, MARKET_SLOT = 2, 3
"""Of the contract's storage (`MorphoStorageLib.sol`)."""

HALF = 128


def steps(singleton: Address, fill: Fill, params: Params) -> tuple[Step, ...]:
    """Approve, liquidate, withdraw what is left of the approval: tokens like USDT refuse to change one that is not 0."""
    return (
        Step(fill.debt_token, call_data(APPROVE, singleton, fill.funds)),
        Step(singleton, liquidate_head(fill, params) + bytes(WORD)),
        Step(fill.debt_token, call_data(APPROVE, singleton, 0)),
    )


def liquidate_head(fill: Fill, params: Params) -> bytes:
    """Up to and with the offset of the bytes that are handed back."""
    seized, shares = (fill.cover, 0) if fill.kind == SEIZE else (0, fill.cover)
    return call_data(LIQUIDATE_CALL, *params.words(), fill.account, seized, shares, WORD * LIQUIDATE_WORDS)


def guard(singleton: Address, market: str, account: Address) -> Guard:
    """Something is still owed: no view tells a position's health, but a rival who was faster mostly leaves no debt at all."""
    return Guard(singleton, call_data(POSITION, market, account), SHARES_WORD, 1 << HALF, 1)


def flash_head(funding: Funding) -> bytes:
    """Up to and with the offset of the bytes that are handed back."""
    return call_data(FLASH_LOAN, funding.token, funding.amount, WORD * FLASH_WORDS)


def audit(singleton: Address, position: Position, before: tuple[int, ...], timed: bool) -> Audit:
    """The stored words of a position and its market, two numbers each. `before`: the market's sums as they are stored; `timed`: whether
    the contract keeps when they were."""
    supplied, supply_shares, borrowed, borrow_shares, at_s, fee = before
    market_id = int(position.params.id, 16)
    of_position = hashed(int(position.account, 16), hashed(market_id, POSITION_SLOT)) + 1
    of_market = hashed(market_id, MARKET_SLOT)
    slots = (of_position, of_market, of_market + 1, of_market + 2)
    values = [position.shares | position.collateral << HALF, supplied | supply_shares << HALF, borrowed | borrow_shares << HALF]
    values += [at_s | fee << HALF] * timed
    read = Read(singleton, call_data(EXT_SLOADS, WORD, len(slots), *slots))
    return Audit(read, {2 + place: value for place, value in enumerate(values)})


def audit_of_nothing(singleton: Address, account: Address, market: str) -> Audit:
    """Of an account that owes nothing anywhere, as far as one market tells."""
    return Audit(Read(singleton, call_data(POSITION, market, account)), {SHARES_WORD: 0})
