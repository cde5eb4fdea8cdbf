"""Run a recording again: no node, no store, no relay, the same plans."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from keeper.errors import Halt
from keeper.pipeline import Books, Parts, Pipeline, Planning, Watcher
from keeper.ports import BidPolicy
from keeper.recording.record import EXECUTOR, PLAN, UPDATE, WORK, Player, TapedSimulator, TapedSubmitter, planned
from keeper.recording.tape import plain, shaped
from keeper.types import ChainUpdate, Head, Landing, Outcome, Prediction


@dataclass(frozen=True, slots=True)
class Replayed:
    """The plans on the tape and those of the replay, in order."""

    recorded: list[dict[str, Any]]
    replayed: list[dict[str, Any]]


class _Nothing:
    """Stands where a replay has nobody: no new blocks, nothing settled, nothing kept."""

    async def updates(self) -> AsyncIterator[ChainUpdate]:
        return
        yield

    async def settle(self, update: ChainUpdate) -> list[Outcome]:
        return []

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        return None

    async def beside(self) -> None:
        return None


async def run_again(
    entries: Sequence[tuple[str, Any]],
    player: Player,
    books: Books,
    watcher: Watcher,
    planning: Planning,
    encode: Callable[[Prediction], bytes],
    policy: BidPolicy,
    landing: Callable[[Head], Landing],
) -> Replayed:
    """Drive the pure half of a pipeline by a tape's entries. Raises Halt when the replay asks what the run did not."""
    plans: list[dict[str, Any]] = []

    def encode_and_keep(prediction: Prediction) -> bytes:
        data = encode(prediction)
        plans.append(plain(planned(prediction, data)))
        return data

    async def consult() -> bool:
        again: bool = await player.reply("consult", None, bool, nothing.beside)
        return again

    nothing = _Nothing()
    parts = Parts(
        feed=nothing,
        books=books,
        watcher=watcher,
        planning=planning,
        encode=encode_and_keep,
        simulator=TapedSimulator(player, None),
        policy=policy,
        submitter=TapedSubmitter(player, None),
        settling=nothing,
        sink=nothing,
        landing=landing,
        report=lambda report: None,
        now_s=lambda: player.answer("clock", None, lambda: 0.0),
        audit=nothing.beside,
        foresee=nothing.beside,
        consult=consult,
    )
    await _drive(entries, books, Pipeline(parts))
    return Replayed([value for kind, value in entries if kind == PLAN], plans)


async def _drive(entries: Sequence[tuple[str, Any]], books: Books, pipeline: Pipeline) -> None:
    """Updates and work in the order in which they happened."""
    cut = _cut_short(entries)
    for index, (kind, value) in enumerate(entries):
        if kind == UPDATE:
            await books.advance(shaped(ChainUpdate, value))
        elif kind == WORK:
            with suppress(*([Halt] if index in cut else [])):
                await pipeline.on_newest()


def _cut_short(entries: Sequence[tuple[str, Any]]) -> set[int]:
    """The last work before each start of the chain and before the end: its replies may not be on the tape."""
    marks = [(index, kind) for index, (kind, _) in enumerate(entries) if kind in {WORK, EXECUTOR}]
    return {index for (index, kind), (_, after) in pairwise([*marks, (len(entries), EXECUTOR)]) if kind == WORK and after == EXECUTOR}
