"""An offered liquidation, tried: its steps run on the node, on the state it was offered on, by a liquidator who has every token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from keeper.book.book import Routes
from keeper.book.state import Overlay, Tables
from keeper.chain.codec import address_word, decode_revert, selector
from keeper.chain.wire import log_of
from keeper.errors import Skip
from keeper.ports import Market, View
from keeper.testing.adapter.expect import Nonconformity
from keeper.testing.adapter.life import LIQUIDATOR, Life
from keeper.types import ZERO_ADDRESS, Address, Fill, Head, Log, Pair, Read, Step

A_STATE = 4
"""Accounts tried at one state, at most."""

GAS = 8_000_000
CALL_GAS = 21_000
BALANCE_OF = selector("balanceOf(address)")


@dataclass(frozen=True)
class Attempt:
    """`moved`: what the liquidator got of each token, less what it paid. `after`: the state that the logs of the steps, and the reads after
    them, leave. `error`: why the chain refused, "" when it did not."""

    market: Market
    view: Tables
    head: Head
    at_s: int
    pair: Pair
    fill: Fill
    steps: tuple[Step, ...]
    error: str
    moved: dict[Address, int]
    gas: int
    after: Overlay

    @property
    def what(self) -> str:
        fill = self.fill
        return f"{fill.kind} {fill.account} at block {self.head.number}: {fill.cover} of {fill.debt_token} for {fill.collateral_token}"


def offered(market: Market, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
    """Nothing where a rule forbids everything."""
    try:
        return market.pairs(view, account, at_s)
    except Skip:
        return ()


async def attempts_on(life: Life, market: Market, view: Tables, head: Head, at_s: int, rng: Random) -> list[Attempt]:
    """Some accounts' pairs, each at every amount offered and at one in between."""
    due = [account for account in sorted(market.accounts(view)) if market.health(view, account, at_s).liquidatable]
    pairs = [pair for account in rng.sample(due, min(A_STATE, len(due))) for pair in offered(market, view, account, at_s)]
    return [await attempt(life, market, view, head, at_s, pair, fill) for pair in pairs for fill in _fills(market, view, pair, at_s, rng)]


def _fills(market: Market, view: View, pair: Pair, at_s: int, rng: Random) -> list[Fill]:
    """Raises Nonconformity where an amount of the market's own is refused."""
    fills = []
    for cover in pair.amounts:
        try:
            fills.append(market.fill(view, pair, cover, at_s))
        except Skip as skip:
            raise Nonconformity(f"pairs offers {cover} of {pair.debt_token} for {pair.account}, and fill refuses it: {skip}") from None
    try:
        between = rng.randint(1, max(pair.amounts[-1], 1))
        fills.append(market.fill(view, pair, between, at_s))
    except Skip:
        pass
    return fills


async def attempt(life: Life, market: Market, view: Tables, head: Head, at_s: int, pair: Pair, fill: Fill) -> Attempt:
    """Run the fill's steps in the block after `head`, at `at_s`."""
    run = _Run(life, market, head, at_s)
    steps = await run.patched(market.encode(fill))
    tokens = tuple(dict.fromkeys((fill.debt_token, fill.collateral_token)))
    reads = market.reads(view)
    results, after = await run.whole(steps, tokens, reads), Overlay(view)
    error = next((_reason(market, result) for result in results.steps if result["status"] != "0x1"), "")
    if not error:
        logs = run.logs(results.steps)
        Routes([market], after).apply(logs, after)
        wanted = market.reads(after)
        replies = results.replies if wanted == reads else (await run.whole(steps, tokens, wanted)).replies
        after.write(market.absorb(replies, Overlay(after)))
    gas = sum(int(result["gasUsed"], 16) - CALL_GAS for result in results.steps)
    return Attempt(market, view, head, at_s, pair, fill, steps, error, results.moved, gas, after)


@dataclass(frozen=True)
class _Results:
    steps: Sequence[dict[str, Any]]
    moved: dict[Address, int]
    replies: list[bytes | None]


class _Run:
    """Calls one after another in the block after a head; nothing of it stays."""

    def __init__(self, life: Life, market: Market, head: Head, at_s: int) -> None:
        self._life, self._market, self._head, self._at_s = life, market, head, at_s

    async def patched(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """With the liquidator's balance where a step wants the executor's own."""
        done: list[Step] = []
        for step in steps:
            done.append(step if step.amount_token == ZERO_ADDRESS else await self._patched(done, step))
        return tuple(done)

    async def _patched(self, done: Sequence[Step], step: Step) -> Step:
        balance = (await self._calls([*map(_sent, done), _read(_balance(step.amount_token))]))[-1]
        data = step.data[: step.amount_offset] + _reply(balance) + step.data[step.amount_offset + 32 :]
        return replace(step, data=data, amount_token=ZERO_ADDRESS)

    async def whole(self, steps: Sequence[Step], tokens: Sequence[Address], reads: Sequence[Read]) -> _Results:
        """The steps, what they moved, and the replies to reads after them."""
        balances = [_read(_balance(token)) for token in tokens]
        results = await self._calls([*balances, *map(_sent, steps), *balances, *map(_read, reads)])
        before, rest = results[: len(tokens)], results[len(tokens) :]
        ran, rest = rest[: len(steps)], rest[len(steps) :]
        moved = Counter(dict.fromkeys(tokens, 0))
        for token, old, new in zip(tokens, before, rest, strict=False):
            moved[token] = int.from_bytes(_reply(new)) - int.from_bytes(_reply(old))
        return _Results(ran, dict(moved), [_reply_or_none(result) for result in rest[len(tokens) :]])

    async def _calls(self, calls: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
        block = {
            "blockOverrides": {"number": hex(self._head.number + 1), "time": hex(self._at_s), "gasLimit": hex(GAS * (len(calls) + 1))},
            "calls": list(calls),
        }
        request = {"blockStateCalls": [block], "validation": False}
        blocks = await self._life.node.request("eth_simulateV1", request, hex(self._head.number))
        results: list[dict[str, Any]] = blocks[0]["calls"]
        return results

    def logs(self, results: Sequence[dict[str, Any]]) -> list[Log]:
        return [replace(log_of(raw, self._at_s), block_number=self._head.number + 1) for result in results for raw in result["logs"]]


def _balance(token: Address) -> Read:
    return Read(token, BALANCE_OF + address_word(LIQUIDATOR))


def _sent(step: Step) -> dict[str, str]:
    return {"from": LIQUIDATOR, "to": step.target, "gas": hex(GAS), "input": "0x" + step.data.hex()}


def _read(read: Read) -> dict[str, str]:
    return {"from": LIQUIDATOR, "to": read.target, "gas": hex(GAS), "input": "0x" + read.data.hex()}


def _reply(result: dict[str, Any]) -> bytes:
    reply = _reply_or_none(result)
    if reply is None:
        raise Nonconformity(f"a token does not tell the liquidator's balance: {result.get('error')}")
    return reply


def _reply_or_none(result: dict[str, Any]) -> bytes | None:
    return bytes.fromhex(result["returnData"][2:]) if result["status"] == "0x1" else None


def _reason(market: Market, result: dict[str, Any]) -> str:
    error = result.get("error") or {}
    told: str = error.get("data") or result.get("returnData") or "0x"
    data = bytes.fromhex(told[2:])
    return market.decode_error(data) or decode_revert(data) or f"{error.get('message') or 'reverted'} {told[:74]}"
