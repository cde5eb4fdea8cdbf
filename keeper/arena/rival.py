"""A rival in its own process: the keeper's book, watch, planner, executor and simulation; its own eyes and bids.

`python -m keeper.arena.rival CONFIG NAME SEED`. It reacts to the arena's steps until it is stopped.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keeper.app import ANSWER_UPDATED, Chain, chain_named, open_chain
from keeper.arena.tactics import Tactic, most_wei, tactics
from keeper.book.state import Overlay
from keeper.chain.rpc import RpcError
from keeper.chain.wire import block_overrides, hex_bytes, log_of
from keeper.config import load
from keeper.errors import Skip
from keeper.execution.calls import calldata
from keeper.execution.hand import Hand, open_hand
from keeper.execution.signer import Tx1559
from keeper.log import setup
from keeper.planning.planner import Planner
from keeper.ports import View
from keeper.risk.watch import Candidate
from keeper.types import Address, Hash, Landing, Prediction, Write

CALL_GAS = 8_000_000
HEADROOM_PERCENT = 150
"""Gas limit as a share of the simulated gas."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A transaction on its way, and what it may still offer."""

    tx: Tx1559
    account: Address
    most_wei: int


class Rival:
    """The first of its signers sends to the mempool, the others sign bundles, so that their nonces hang on nothing that waits there."""

    def __init__(self, chain: Chain, hand: Hand, tactic: Tactic) -> None:
        self._chain, self._hand, self._tactic = chain, hand, tactic
        self._rpc = chain.rpc
        self._shots: list[Shot] = []
        self._held: dict[int, Tx1559] = {}
        limits = chain.settings.limits.max_plans_per_block
        self._bold = Planner(chain.predictor, chain.settings.bidding.min_priority_fee_wei, limits, None, chain.patience)

    async def run(self) -> None:
        """Step after step, until it is stopped or the arena ends."""
        seen = -1
        while True:
            step = await self._rpc.request("arena_wait", seen)
            if step is None:
                continue
            if step["kind"] == "end":
                return
            seen = step["number"]
            await self._react(step["kind"])
            await self._rpc.request("arena_done", step["kind"], step["block"])

    async def _react(self, kind: str) -> None:
        if kind == "head":
            await self._chain.catch_up()
            await self._shoot()
        elif self._tactic.backruns:
            await self._backrun()
        elif self._tactic.escalates:
            await self._escalate()

    # --- on a head: everything that pays, to the mempool

    async def _shoot(self) -> None:
        chain, landing = self._chain, self._chain.landing(self._chain.head)
        candidates = chain.watch.candidates(chain.view, landing)
        plans, _ = chain.planner.block(candidates, chain.view, landing)
        calls = [(plan, data) for plan in plans if (data := self._encoded(plan)) is not None]
        ran = await self._rehearse([self._call(data) for _, data in calls], landing)
        nonce = int(await self._rpc.request("eth_getTransactionCount", self._hand.signer.address, "latest"), 16)
        shots = self._priced([(*call, result) for call, result in zip(calls, ran, strict=True)], landing, nonce)
        self._shots = [self._replacing(shot) for shot in shots]
        for shot in self._shots:
            await self._send(shot.tx)

    def _priced(self, ran: Sequence[tuple[Prediction, bytes, Mapping[str, Any]]], landing: Landing, nonce: int) -> list[Shot]:
        shots: list[Shot] = []
        for plan, data, result in ran:
            gas = int(result["gasUsed"], 16)
            tip = self._tactic.bid(plan.value_wei, gas, landing) if result["status"] == "0x1" else None
            if tip is not None:
                tx = self._tx(nonce + len(shots), tip, gas, data, landing)
                shots.append(Shot(tx, plan.plan.account, most_wei(plan.value_wei, gas, landing)))
        return shots

    def _replacing(self, shot: Shot) -> Shot:
        """What waits with its nonce is of an older head: it goes, if that pays."""
        held = self._held.get(shot.tx.nonce)
        if held is None or held.data == shot.tx.data:
            return shot
        tip = max(shot.tx.priority_fee_wei, held.priority_fee_wei * 9 // 8 + 1)
        fee = max(shot.tx.max_fee_wei, held.max_fee_wei * 9 // 8 + 1)
        return replace(shot, tx=replace(shot.tx, priority_fee_wei=tip, max_fee_wei=fee)) if tip <= shot.most_wei else shot

    # --- against others' bids

    async def _escalate(self) -> None:
        others = [tx for tx in await self._waiting() if tx["to"] != self._hand.executor]
        base_fee_wei = self._chain.landing(self._chain.head).base_fee_wei
        self._shots = [await self._answered(shot, others, base_fee_wei) for shot in self._shots]

    async def _answered(self, shot: Shot, others: Sequence[Mapping[str, Any]], base_fee_wei: int) -> Shot:
        theirs = [
            min(int(tx["maxPriorityFeePerGas"], 16), int(tx["maxFeePerGas"], 16) - base_fee_wei)
            for tx in others
            if shot.account[2:] in tx["input"]
        ]
        tip = self._tactic.answer(shot.tx.priority_fee_wei, max(theirs), shot.most_wei) if theirs else None
        if tip is None:
            return shot
        tx = replace(shot.tx, priority_fee_wei=tip, max_fee_wei=max(shot.tx.max_fee_wei * 9 // 8 + 1, 2 * base_fee_wei + tip))
        return replace(shot, tx=tx) if await self._send(tx) else shot

    # --- behind an oracle update that waits: in a bundle with it

    async def _backrun(self) -> None:
        landing = self._chain.landing(self._chain.head)
        public = [tx for tx in await self._waiting() if tx["to"] != self._hand.executor]
        news, writes = await self._news(public, landing)
        if not news:
            return
        view = Overlay(self._chain.view, writes)
        plans, _ = self._bold.block(self._due(view, landing.timestamp_s), view, landing)
        calls = [(plan, data) for plan in plans if (data := self._encoded(plan)) is not None]
        ran = await self._rehearse([*map(_call_of, news), *(self._call(data) for _, data in calls)], landing)
        shots = self._priced([(*call, result) for call, result in zip(calls, ran[len(news) :], strict=True)], landing, 0)
        await self._bundles([tx["hash"] for tx in news], shots, landing.number)

    async def _bundles(self, before: Sequence[str], shots: Sequence[Shot], block: int) -> None:
        """One for each, which must succeed; those about one account by the same key, one after another."""
        keys = self._hand.signers[1:]
        counts = await self._rpc.batch([("eth_getTransactionCount", [key.address, "latest"]) for key in keys])
        lanes: list[list[tuple[bytes, Hash]]] = [[] for _ in keys]
        whose: dict[Address, int] = {}
        for shot in shots:
            lane = whose.setdefault(shot.account, len(whose) % len(keys))
            lanes[lane].append(keys[lane].sign(replace(shot.tx, nonce=int(counts[lane], 16) + len(lanes[lane]))))
            bundle = {
                "txs": [*before, *(hex_bytes(raw) for raw, _ in lanes[lane])],
                "blockNumber": hex(block),
                "droppingTxHashes": [*before, *(tx for _, tx in lanes[lane][:-1])],
                "replacementUuid": f"{lane} {len(lanes[lane])}",
            }
            await self._rpc.request("eth_sendBundle", bundle)

    def _due(self, view: View, at_s: int) -> list[Candidate]:
        everyone = [Candidate(m, who, m.health(view, who, at_s)) for m in self._chain.markets for who in m.accounts(view)]
        return sorted((one for one in everyone if one.health.liquidatable), key=lambda one: one.health.debt, reverse=True)

    async def _news(self, public: Sequence[Mapping[str, Any]], landing: Landing) -> tuple[list[Mapping[str, Any]], list[Write]]:
        """The transactions with which oracles answer, and the cells that they change."""
        ran = await self._rehearse([_call_of(tx) for tx in public], landing)
        news, writes = [], list[Write]()
        for tx, result in zip(public, ran, strict=True):
            if not any(ANSWER_UPDATED in log["topics"] for log in result["logs"]):
                continue
            news.append(tx)
            for raw in result["logs"]:
                log = log_of({**raw, "transactionHash": tx["hash"], "blockHash": Hash("0x" + "0" * 64)}, landing.timestamp_s)
                for source in self._chain.book.sources:
                    writes += source.apply(log, self._seen(writes)) if _follows(source, log.address, self._chain.view) else []
        return news, writes

    def _seen(self, writes: Sequence[Write]) -> View:
        return Overlay(self._chain.view, writes)

    # --- both

    async def _waiting(self) -> list[Mapping[str, Any]]:
        pending = (await self._rpc.request("txpool_content"))["pending"]
        return [tx for of in pending.values() for tx in of.values()]

    async def _rehearse(self, calls: Sequence[Mapping[str, str]], landing: Landing) -> list[Mapping[str, Any]]:
        if not calls:
            return []
        block = {"blockOverrides": {**block_overrides(landing), "gasLimit": hex(10**10)}, "calls": list(calls)}
        reply = await self._rpc.request("eth_simulateV1", {"blockStateCalls": [block], "validation": False}, hex(landing.number - 1))
        return list(reply[0]["calls"])

    def _encoded(self, plan: Prediction) -> bytes | None:
        try:
            return calldata(plan, self._chain.predictor, self._hand.executor)
        except Skip:
            return None

    def _call(self, data: bytes) -> dict[str, str]:
        return {"from": self._hand.signer.address, "to": self._hand.executor, "gas": hex(CALL_GAS), "input": hex_bytes(data)}

    def _tx(self, nonce: int, tip: int, gas: int, data: bytes, landing: Landing) -> Tx1559:
        limit = gas * HEADROOM_PERCENT // 100
        fee = 2 * landing.base_fee_wei + tip
        return Tx1559(self._chain.settings.chain_id, nonce, tip, fee, limit, self._hand.executor, 0, data)

    async def _send(self, tx: Tx1559) -> bool:
        try:
            await self._rpc.request("eth_sendRawTransaction", hex_bytes(self._hand.signer.sign(tx)[0]))
        except RpcError:  # what waits there already offers more
            return False
        self._held[tx.nonce] = tx
        return True


def _follows(source: Any, address: Address, view: View) -> bool:
    return any(item.address == address for item in source.filters(view))


def _call_of(tx: Mapping[str, Any]) -> dict[str, str]:
    return {"from": tx["from"], "to": tx["to"], "gas": tx["gas"], "input": tx["input"]}


async def play(config: Path, name: str, seed: int) -> None:
    """Until the arena ends."""
    setup("error")
    settings = load(config, {})
    named = chain_named(settings).model_copy(update={"ws_url": None})
    async with open_chain(settings, named, lambda source, block, target: None, owned=True) as chain:
        hand = await open_hand(named, chain.rpc, chain.reader, live=True)
        await Rival(chain, hand, tactics(seed)[name]).run()


if __name__ == "__main__":
    asyncio.run(play(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
