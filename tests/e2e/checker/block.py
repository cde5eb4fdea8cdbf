"""The block after another: what its contracts would say, and what calls in it would do. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from eth_utils.crypto import keccak

from keeper.devnet import Devnet
from keeper.devnet.basefee import next_base_fee
from keeper.devnet.genesis.builder import BLOCK_S
from keeper.types import Address
from tests.e2e.calls import Call

TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
CALL_GAS = 8_000_000

Request = dict[str, str]
Result = dict[str, Any]
Question = tuple[Any, ...]
"""A contract's name, its function, and the arguments."""


class Block:
    """Gas costs the base fee and `tip_wei`."""

    def __init__(self, net: Devnet, head: Result, tip_wei: int = 0) -> None:
        self.net = net
        self._head = head["number"]
        fee = next_base_fee(*(int(head[key], 16) for key in ("baseFeePerGas", "gasUsed", "gasLimit")))
        self._base_fee_wei, self._tip_wei = fee, tip_wei
        self.number, self._time_s = int(head["number"], 16) + 1, int(head["timestamp"], 16) + BLOCK_S

    @classmethod
    async def after(cls, net: Devnet, block: int | str = "latest", tip_wei: int = 0) -> Block:
        tag = hex(block) if isinstance(block, int) else block
        return cls(net, await net.request("eth_getBlockByNumber", tag, False), tip_wei)

    async def read(self, questions: Sequence[Question]) -> list[tuple[Any, ...]]:
        """Every answer. Raises RpcError when one reverts."""
        requests = [_request(self.net.addresses[name], self.net.encode(name, function, *args)) for name, function, *args in questions]
        overrides = [{}, {"time": hex(self._time_s), "number": hex(self.number)}]
        replies = await self.net.batch([("eth_call", [request, self._head, *overrides]) for request in requests])
        return [self._answer(question, reply) for question, reply in zip(questions, replies, strict=True)]

    async def logs(self, name: str, *events: str) -> list[Result]:
        """All there ever were of a contract, by the signatures of the events."""
        topics = ["0x" + keccak(text=event).hex() for event in events]
        wanted = {"address": self.net.addresses[name], "fromBlock": "0x0", "toBlock": self._head, "topics": [topics]}
        found: list[Result] = await self.net.request("eth_getLogs", wanted)
        return found

    async def run(self, sender: Address, groups: Sequence[Sequence[Call]]) -> list[list[Result]]:
        """Each group's calls one after another, every group on the state before."""
        full = [group for group in groups if group]
        blocks = [self._simulated([_request(call.to, call.data) | {"from": sender} for call in group]) for group in full]
        replies = iter(await self.net.batch([("eth_simulateV1", [block, self._head]) for block in blocks]))
        return [next(replies)[0]["calls"] if group else [] for group in groups]

    def cost_wei(self, result: Result) -> int:
        return int(result["gasUsed"], 16) * (self._base_fee_wei + self._tip_wei)

    def _answer(self, question: Question, reply: str) -> tuple[Any, ...]:
        name, function, *args = question
        return self.net.contract(name).decode(function, len(args), bytes.fromhex(reply[2:]))

    def _simulated(self, calls: list[Request]) -> Result:
        overrides = {
            "number": self.number,
            "time": self._time_s,
            "baseFeePerGas": self._base_fee_wei,
            "gasLimit": CALL_GAS * (len(calls) + 1),
        }
        return {
            "blockStateCalls": [{"blockOverrides": {k: hex(v) for k, v in overrides.items()}, "calls": calls}],
            "validation": False,
        }


def _request(to: Address, data: bytes) -> Request:
    return {"to": to, "gas": hex(CALL_GAS), "input": "0x" + data.hex()}


def ok(result: Result) -> bool:
    return int(result["status"], 16) == 1


def moved(logs: Iterable[Result], *, sender: Address | None = None, to: Address | None = None) -> dict[Address, int]:
    """Token → amount, from Transfer logs between these two."""
    moved: dict[Address, int] = {}
    for log in logs:
        if log["topics"][0] == TRANSFER and len(log["topics"]) == 3:
            ends = ["0x" + topic[-40:] for topic in log["topics"][1:]]
            if sender in {None, ends[0]} and to in {None, ends[1]}:
                token = Address(log["address"].lower())
                moved[token] = moved.get(token, 0) + int(log["data"], 16)
    return moved
