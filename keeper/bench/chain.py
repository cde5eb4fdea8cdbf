"""Measures against a node: what it takes to learn everybody's health by asking the chain, beside our own following of the same accounts.

A devnet has some twenty borrowers a market, each different. Ten thousand come of them by copying what the node stores of each under other
addresses; the node then reads every account by its own, and its answers are compared with the originals' integers before anything is timed.
The chain is asked in the leanest way we know: one contract call for many accounts, packed addresses in, the raw words out (leaner than
Multicall3, which passes calldata and replies in structures), over one kept connection, in the batch size that is fastest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http.client import HTTPConnection
from time import perf_counter_ns

import orjson

from keeper.app import Chain, open_chain
from keeper.bench.bed import Bed
from keeper.bench.clones import cells, clone
from keeper.bench.measure import Measure, Trial
from keeper.config import load
from keeper.devnet import Devnet
from keeper.errors import Halt
from keeper.ports import Market
from keeper.risk.watch import Candidate, Watch
from keeper.types import Address, Audit, Read

ACCOUNTS, BLOCK_S = 10_000, 12
EVERY = 25
BATCHES = (50, 100, 250, 500, 1000, 2000)
GAS = 1 << 40
HERE = Address("0x" + "00" * 18 + "bea7")
WORDS = 6
"""Of every account's reply."""

WORD = 32

# calldata: target, selector, accounts; each a word. Replies, 192 bytes each, one behind the other.
MANY = bytes.fromhex(
    "602035" + "5f52"  # the selector stays at 0
    "6040" + "6040"  # calldata and reply positions, both from 64
    "5b" + "36" + "82" + "10" + "15" + "602f" + "57"  # until the calldata ends
    "81" + "35" + "6004" + "52"  # the account behind the selector
    "60c0" + "81" + "6024" + "5f" + "5f35" + "5a" + "fa" + "15" + "6037" + "57"  # the reply goes where it will be returned
    "60c0" + "01" + "90" + "6020" + "01" + "90"  # next
    "6009" + "56"
    "5b" + "6040" + "80" + "91" + "03" + "90" + "f3"  # done
    "5b" + "5f5ffd"  # a call failed
)


class Asking:
    """Reads many accounts of one market from the node, `batch` at a time."""

    def __init__(self, url: str, read: Read, accounts: Sequence[Address], batch: int) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.batch = batch
        self._connection = HTTPConnection(host, int(port))
        self._head = _word(read.target) + read.data[:4].hex().ljust(2 * WORD, "0")
        self._parts = [accounts[start : start + batch] for start in range(0, len(accounts), batch)]

    def __call__(self, round_: int = 0) -> list[tuple[int, ...]]:
        """Everybody's words."""
        return [words for part in self._parts for words in self._ask(part)]

    def _ask(self, part: Sequence[Address]) -> list[tuple[int, ...]]:
        call = {"to": HERE, "data": "0x" + self._head + "".join(map(_word, part)), "gas": hex(GAS)}
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}
        self._connection.request("POST", "/", orjson.dumps(request), {"Content-Type": "application/json"})
        reply = orjson.loads(self._connection.getresponse().read())
        if "result" not in reply:
            raise Halt("the devnet refused to read that many accounts at once")
        return _replies(bytes.fromhex(reply["result"][2:]))

    def close(self) -> None:
        self._connection.close()


class Looking:
    """Our own way: every new block's factors, the rows they may have changed, integers for those too close to call."""

    def __init__(self, chain: Chain, market: Market) -> None:
        settings = chain.settings
        self._state, self._landing = chain.view, chain.landing(chain.head)
        self._watch = Watch([market], settings.native_token, settings.bidding.min_priority_fee_wei)
        self._watch.rebuild(chain.view)

    def __call__(self, round_: int = 0) -> list[Candidate]:
        """Who is liquidatable, `round_` blocks from now."""
        now = self._landing
        return self._watch.candidates(self._state, replace(now, number=now.number + round_, timestamp_s=now.timestamp_s + BLOCK_S * round_))

    def recentre(self, round_: int = 0) -> None:
        """What the keeper does between blocks."""
        while work := self._watch.work():
            self._watch.adopt(work.run())


async def compared(bed: Bed) -> tuple[Looking, Asking]:
    """Both ways over the same accounts, after both gave the same answers."""
    bed.tell("starting a devnet")
    net = await bed.enter(Devnet.start(report=bed.tell))
    settings = load(net.config, {})
    chain = await bed.enter(open_chain(settings, settings.chains[0], lambda source, block, target: None, owned=False))
    await chain.catch_up()
    market = chain.markets[0]
    audits = {account: market.audit(chain.view, account, chain.head.timestamp_s) for account in market.accounts(chain.view)}
    bed.tell(f"copying {len(audits)} borrowers to {bed.accounts:,}")
    copies = await clone(net, {account: audit.read for account, audit in audits.items()}, bed.accounts)
    asking = await _asking(net, next(iter(audits.values())).read, [copy.address for copy in copies])
    bed.tell(f"asking the chain for {asking.batch} accounts a call")
    agree(asking(), [audits[copy.original] for copy in copies])
    chain.book.tables.write(cells(copies, market.columns, chain.view))
    return Looking(chain, market), asking


async def _asking(net: Devnet, read: Read, accounts: Sequence[Address]) -> Asking:
    await net.request("anvil_setCode", HERE, "0x" + MANY.hex())
    return quickest(net.rpc, read, accounts)


def agree(replies: Sequence[Sequence[int]], audits: Sequence[Audit]) -> None:
    """Raises Halt unless the node says of every account what the book does."""
    for words, audit in zip(replies, audits, strict=True):
        if any(words[place] != expected for place, expected in audit.words.items()):
            raise Halt("the node and the book differ about an account: nothing to compare")


def quickest(url: str, read: Read, accounts: Sequence[Address]) -> Asking:
    """With the batch size that takes the least for each account."""
    sample = accounts[: 2 * BATCHES[-1]]
    batch = min(BATCHES, key=lambda size: _taken_ns(Asking(url, read, sample, size)))
    return Asking(url, read, accounts, batch)


def _taken_ns(asking: Asking) -> int:
    asking()
    start = perf_counter_ns()
    asking()
    asking.close()
    return perf_counter_ns() - start


def _replies(data: bytes) -> list[tuple[int, ...]]:
    words = [int.from_bytes(data[start : start + WORD], "big") for start in range(0, len(data), WORD)]
    return [tuple(words[start : start + WORDS]) for start in range(0, len(words), WORDS)]


def _word(address: Address) -> str:
    return address[2:].rjust(2 * WORD, "0")


async def _scan(bed: Bed) -> Trial:
    looking, asking = await compared(bed)
    return Trial(looking, asking, units=bed.accounts, before=looking.recentre, every=EVERY)


MEASURES = (
    Measure(
        "scan-per-account",
        "a new block: who of a devnet's accounts is liquidatable in it, by account",
        "the same read from the chain, many accounts a call",
        _scan,
        rounds=300,
        budget_s=30.0,
        at=(ACCOUNTS,),
        devnet=True,
    ),
)
