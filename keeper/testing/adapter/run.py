"""Calls run on the node, one after another in one block after a head, at a time of our choice. Nothing of it stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from keeper.chain.codec import address_word, decode_revert, selector
from keeper.chain.wire import log_of
from keeper.ports import Market
from keeper.testing.adapter.expect import Nonconformity
from keeper.testing.adapter.life import LIQUIDATOR, Life
from keeper.types import ZERO_ADDRESS, Action, Address, Guard, Head, Log, Read, Step

GAS = 8_000_000
CALL_GAS = 21_000
BALANCE_OF = selector("balanceOf(address)")

Result = dict[str, Any]
"""The node's own words about one call."""


@dataclass(frozen=True)
class Results:
    """`steps`: of each. `moved`: what the liquidator got of each token, less what it paid. `gas`: of the steps alone, without what any
    transaction costs. `replies`: to the reads after them."""

    steps: Sequence[Result]
    moved: dict[Address, int]
    gas: int
    replies: list[bytes | None]


class Run:
    """By the liquidator."""

    def __init__(self, life: Life, head: Head, at_s: int) -> None:
        self._life, self._head, self._at_s = life, head, at_s

    async def patched(self, steps: Sequence[Action]) -> tuple[Action, ...]:
        """With the liquidator's balance where a step wants the executor's own."""
        done: list[Action] = []
        for step in steps:
            whole = isinstance(step, Step) and step.amount_token != ZERO_ADDRESS
            done.append(await self._patched(done, step) if isinstance(step, Step) and whole else step)
        return tuple(done)

    async def _patched(self, done: Sequence[Action], step: Step) -> Step:
        balance = (await self._calls([*map(_call, done), _read(_balance(step.amount_token))]))[-1]
        data = step.data[: step.amount_offset] + _told(balance) + step.data[step.amount_offset + 32 :]
        return replace(step, data=data, amount_token=ZERO_ADDRESS)

    async def whole(self, steps: Sequence[Action], tokens: Sequence[Address], reads: Sequence[Read]) -> Results:
        """The steps, what they moved of these tokens, and the replies to reads after them."""
        balances = [_read(_balance(token)) for token in tokens]
        results = await self._calls([*balances, *map(_call, steps), *balances, *map(_read, reads)])
        before, ran, after, rest = _parted(results, len(tokens), len(steps), len(tokens))
        moved = {
            token: int.from_bytes(_told(new)) - int.from_bytes(_told(old)) for token, old, new in zip(tokens, before, after, strict=True)
        }
        gas = sum(int(result["gasUsed"], 16) - CALL_GAS for result in ran)
        return Results(ran, moved, gas, [reply_of(result) for result in rest])

    async def _calls(self, calls: Sequence[dict[str, str]]) -> list[Result]:
        overrides = {"number": hex(self._head.number + 1), "time": hex(self._at_s), "gasLimit": hex(GAS * (len(calls) + 1))}
        request = {"blockStateCalls": [{"blockOverrides": overrides, "calls": list(calls)}], "validation": False}
        blocks = await self._life.node.request("eth_simulateV1", request, hex(self._head.number))
        results: list[Result] = blocks[0]["calls"]
        return results

    def logs(self, results: Sequence[Result]) -> list[Log]:
        return [replace(log_of(raw, self._at_s), block_number=self._head.number + 1) for result in results for raw in result["logs"]]


def refusal(market: Market, steps: Sequence[Action], results: Sequence[Result]) -> str:
    """Why the steps as a whole would be undone; "" when they are not."""
    for step, result in zip(steps, results, strict=True):
        if isinstance(step, Guard) and not admits(step, reply_of(result)):
            return f"the check of word {step.word} of {step.target} fails"
        if isinstance(step, Step) and not step.optional and result["status"] != "0x1":
            return _reason(market, result)
    return ""


def admits(guard: Guard, reply: bytes | None) -> bool:
    """A guard of nothing lets everything pass."""
    if guard.target == ZERO_ADDRESS:
        return True
    if reply is None or len(reply) < 32 * guard.word + 32:
        return False
    signed = min(guard.least, guard.below) < 0
    return guard.least <= int.from_bytes(reply[32 * guard.word : 32 * guard.word + 32], signed=signed) < guard.below


def reply_of(result: Result) -> bytes | None:
    """None where it reverted."""
    return bytes.fromhex(result["returnData"][2:]) if result["status"] == "0x1" else None


def _parted(results: Sequence[Result], *sizes: int) -> list[Sequence[Result]]:
    parts = []
    for size in sizes:
        part, results = results[:size], results[size:]
        parts.append(part)
    return [*parts, results]


def _balance(token: Address) -> Read:
    return Read(token, BALANCE_OF + address_word(LIQUIDATOR))


def _call(step: Action) -> dict[str, str]:
    return _read(Read(step.target, step.data))


def _read(read: Read) -> dict[str, str]:
    return {"from": LIQUIDATOR, "to": read.target, "gas": hex(GAS), "input": "0x" + read.data.hex()}


def _told(result: Result) -> bytes:
    reply = reply_of(result)
    if reply is None:
        raise Nonconformity(f"a token does not tell the liquidator's balance: {result.get('error')}")
    return reply


def _reason(market: Market, result: Result) -> str:
    error = result.get("error") or {}
    told: str = error.get("data") or result.get("returnData") or "0x"
    data = bytes.fromhex(told[2:])
    return market.decode_error(data) or decode_revert(data) or f"{error.get('message') or 'reverted'} {told[:74]}"
