"""Opening a market from its address: the adapter's only input and output."""

from __future__ import annotations

from keeper.chain.codec import selector, to_address, topic
from keeper.errors import ConfigError
from keeper.options import NO_OPTIONS, Options
from keeper.ports import Reader
from keeper.types import Address, LogFilter, Read
from tiny_bank.cells import Deployment, Terms, Token
from tiny_bank.market import ADAPTER, TinyBankMarket

OPENED = topic("Opened(address,address)")
QUESTIONS = ("collateral()", "debt()", "THRESHOLD_BPS()", "BONUS_BPS()", "CLOSE_BPS()", "CLOSE_ALL_BELOW()")
SYMBOL, DECIMALS = selector("symbol()"), selector("decimals()")


class TinyBank:
    """Tiny bank: one collateral, one debt. Its address is the bank's."""

    name = ADAPTER

    async def open(
        self, reader: Reader, name: str, address: Address, first_block: int | None, options: Options = NO_OPTIONS
    ) -> TinyBankMarket:
        """Raises ConfigError when there is no bank at `address`; Transient when the node is away."""
        options.finish()
        collateral, debt, *terms = await _answers(reader, address)
        held, owed = [await _token(reader, to_address(token)) for token in (collateral, debt)]
        start = await _birth(reader, address) if first_block is None else first_block
        return TinyBankMarket(Deployment(name, address, start, held, owed, Terms(*terms)))


async def _answers(reader: Reader, address: Address) -> list[int]:
    """What the contract says of itself; whatever is no bank does not know all of it."""
    if not await reader.code(address):
        raise ConfigError(f"no contract at {address}; expected a bank")
    replies = await reader.calls([Read(address, selector(question)) for question in QUESTIONS])
    for question, reply in zip(QUESTIONS, replies, strict=True):
        if reply is None or len(reply) != 32:
            raise ConfigError(f"{address} is no bank: {question} gives no answer")
    return [int.from_bytes(reply or b"") for reply in replies]


async def _token(reader: Reader, address: Address) -> Token:
    symbol, decimals = await reader.calls([Read(address, SYMBOL), Read(address, DECIMALS)])
    if decimals is None or len(decimals) != 32:
        raise ConfigError(f"the bank's token {address} does not tell its decimals")
    return Token(address, _text(symbol) or address[:10], int.from_bytes(decimals))


def _text(reply: bytes | None) -> str:
    return reply[64 : 64 + int.from_bytes(reply[32:64])].decode(errors="replace") if reply and len(reply) > 64 else ""


async def _birth(reader: Reader, address: Address) -> int:
    """The block it was deployed in."""
    head = await reader.head()
    logs = await reader.logs([LogFilter(address, frozenset({OPENED}), 0)], 0, head.number)
    if not logs:
        raise ConfigError(f"the node has no logs of {address}: set first_block to the block it was deployed in")
    return logs[0].block_number
