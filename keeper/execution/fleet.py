"""Several signers as one: transactions about different accounts go out by different ones, so that none waits for another's nonce.

One that lands late, or not at all, holds up only what its own signer sent after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

from keeper.execution.engine import TxEngine
from keeper.execution.submission import Intent, Resolved, Submission
from keeper.types import Address, Hash, Head


class Fleet:
    """The engines of all signers, behind the methods of one (see `TxEngine`)."""

    def __init__(self, engines: Sequence[TxEngine]) -> None:
        self._engines = tuple(engines)
        self.poor: Collection[Address] = ()
        """Signers too short of ether to send anything, while there are others."""

    def in_flight(self, market: str, account: Address) -> bool:
        return any(engine.in_flight(market, account) for engine in self._engines)

    def ahead(self) -> list[Submission]:
        """In the order in which they were made."""
        return sorted((s for engine in self._engines for s in engine.ahead()), key=lambda s: s.id)

    @property
    def signers(self) -> tuple[Address, ...]:
        return tuple(engine.signer for engine in self._engines)

    def idle(self) -> set[Address]:
        """Signers with nothing on its way."""
        return {engine.signer for engine in self._engines if not engine.pending()}

    async def transfer(self, giver: Address, intent: Intent) -> Submission:
        """By this signer."""
        [sent] = await next(engine for engine in self._engines if engine.signer == giver).submit([intent])
        return sent

    def pending(self) -> int:
        return sum(engine.pending() for engine in self._engines)

    async def recover(self, head: Head) -> list[Resolved]:
        return [news for engine in self._engines for news in await engine.recover(head)]

    async def submit(self, intents: Sequence[Intent]) -> list[Submission]:
        """Those about one account by the same signer, in their order; each account by the signer with the least on its way: one with ether,
        and with no transfer to wait behind, where there is one."""
        shares = self._shares(intents)
        sent = await asyncio.gather(*(engine.submit([intents[i] for i in places]) for engine, places in shares if places))
        places = [place for _, share in shares for place in share]
        found = dict(zip(places, (s for part in sent for s in part), strict=True))
        return [found[place] for place in range(len(intents))]

    async def on_head(self, head: Head, undone: Collection[Hash] = ()) -> list[Resolved]:
        return [news for part in await asyncio.gather(*(e.on_head(head, undone) for e in self._engines)) for news in part]

    async def outbid(self, tips: Mapping[int, int]) -> list[Submission]:
        return [s for part in await asyncio.gather(*(engine.outbid(tips) for engine in self._engines)) for s in part]

    def give_up(self) -> None:
        for engine in self._engines:
            engine.give_up()

    async def acknowledge(self, news: Iterable[Resolved]) -> None:
        known = list(news)
        for engine in self._engines:
            await engine.acknowledge([one for one in known if one.submission.signer == engine.signer])

    def _shares(self, intents: Sequence[Intent]) -> list[tuple[TxEngine, list[int]]]:
        shares: list[tuple[TxEngine, list[int]]] = [(engine, []) for engine in self._engines]
        loads = [engine.pending() for engine in self._engines]
        burdens = [(engine.signer in self.poor, any(top.is_payment for top in engine.ahead())) for engine in self._engines]
        whose: dict[tuple[str, Address], int] = {}
        for place, intent in enumerate(intents):
            least = min(range(len(loads)), key=lambda i: (burdens[i], loads[i]))
            chosen = whose.setdefault((intent.market, intent.account), least)
            loads[chosen] += 1
            shares[chosen][1].append(place)
        return shares
