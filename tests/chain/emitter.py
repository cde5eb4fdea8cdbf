"""Contracts whose only act is to log: calldata is topic 0 and then the data."""

from __future__ import annotations

from keeper.chain.codec import to_address, topic, word
from keeper.devnet import Devnet
from keeper.types import Address, LogFilter

CODE = "0x602036038060205f375f35905fa100"
"""calldatacopy(0, 32, calldatasize - 32); log1(0, calldatasize - 32, calldataload(0))"""

PING = topic("Ping(uint256)")
PONG = topic("Pong(uint256)")
FIRST = 0xE0000000000000


class Emitter:
    def __init__(self, net: Devnet) -> None:
        self._net = net

    async def place(self, index: int = 0) -> Address:
        """A new emitter at an address of its own."""
        address = to_address(FIRST + index)
        await self._net.request("anvil_setCode", address, CODE)
        return address

    async def emit(self, address: Address, value: int, topic0: str = PING) -> None:
        """Into the mempool; the next block has it."""
        await self._net.send(self._net.borrowers[0], address, bytes.fromhex(topic0[2:]) + word(value), gas=200_000)


def pings(address: Address, since_block: int = 0) -> LogFilter:
    return LogFilter(address, frozenset({PING}), since_block)
