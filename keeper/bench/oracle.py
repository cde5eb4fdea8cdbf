"""Measures of the way that wins or loses a race: from an oracle's log, as its bytes come out of the socket, to a signed transaction.

The book is a devnet's own, its markets and pools real, with a hundred thousand more accounts in one market: copies of borrowers who stay
safe, with less debt. The log is the devnet's too: the smallest step down of a price that makes a liquidation worth sending. Timed are
decoding, the book, the rows, the tick, the plan, calldata, bid and signature; in the daemon the node's simulation lies between the plan
and the bid, and SQLite beside. Each time the block is taken back, untimed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import orjson

from keeper.app import ANSWER_UPDATED, Chain, open_chain
from keeper.bench.bed import Bed
from keeper.bench.cells import Tables, account
from keeper.bench.clones import Copy, cells
from keeper.bench.measure import Measure, Trial
from keeper.bench.signing import KEY
from keeper.bidding.budget import Budget
from keeper.bidding.caps import Capped
from keeper.bidding.odds import Odds
from keeper.book.state import Overlay
from keeper.chain.wire import log_of
from keeper.config import load
from keeper.devnet import Devnet
from keeper.errors import Halt
from keeper.execution.calls import calldata
from keeper.execution.signer import Signer, Tx1559
from keeper.fixedpoint import BPS
from keeper.ports import Market, View
from keeper.risk.watch import Candidate
from keeper.secret import Secret
from keeper.terms import bid_policy, caps, purse
from keeper.types import Address, Bid, Block, Head, Prediction, Write

ACCOUNTS = 100_000
SYMBOL = "WETH"
SAFE_WAD = 13 * 10**17
"""Health from which on a borrower is copied."""

STEP_BPS, MOST_BPS = 10, 1000
PLANNED = 64
"""Accounts next to liquidation whose plans are made beforehand: as many as the daemon keeps."""

EXECUTOR = Address("0x" + "ee" * 20)
WARM_ROUNDS, COLD_ROUNDS = 1000, 300
SCAN_EVERY = 100


class Race:
    """A keeper that stands a block before the oracle's, and returns there to see it again. `message`: the log's; `head`: its block."""

    def __init__(self, chain: Chain, message: bytes, head: Head) -> None:
        self.chain, self.message, self._head = chain, message, head
        self._before, self._landing = chain.landing(chain.head), chain.landing(head)
        self._signer = Signer(Secret(KEY))
        bidding = chain.settings.bidding
        self._policy = Capped(bid_policy(bidding, Odds()), caps(bidding), Budget(purse(bidding)))
        chain.watch.rebuild(chain.view)
        self._rest()

    def warm(self) -> None:
        """As the daemon between two heads."""
        chain = self.chain
        chain.planner.warmth = chain.prewarmer
        for candidate in chain.watch.nearest(chain.view, self._before.timestamp_s, PLANNED):
            chain.prewarmer.warm(candidate, chain.view, self._before)

    def mark(self, round_: int = 0) -> None:
        """To where the log has not come yet."""
        if self.chain.head.hash == self._head.hash:
            self.chain.watch.update(self.chain.book.undo(self._head), self.chain.view)
            self._rest()

    def _rest(self) -> None:
        watch = self.chain.watch
        watch.tick(self.chain.view, self._before)
        while work := watch.work():
            watch.adopt(work.run())

    def run(self, round_: int = 0) -> list[bytes]:
        """The log comes; returns the transactions to send."""
        return self._signed(self.plans(), round_)

    def run_plainly(self, round_: int = 0) -> list[bytes]:
        """The same, but everybody is looked at."""
        self._follow()
        everybody = ((market, account) for market in self.chain.markets for account in market.accounts(self.chain.view))
        return self._signed(self.planned(due(everybody, self.chain.view, self._landing.timestamp_s)), round_)

    def plans(self) -> list[Prediction]:
        """The log comes; returns what there is to send."""
        self._follow()
        return self.planned(self.scan())

    def _follow(self) -> None:
        self.take(self.decode())

    def decode(self) -> Block:
        """What the socket brings, as the log of a block."""
        return Block(self._head, (log_of(orjson.loads(self.message)["params"]["result"], self._head.timestamp_s),))

    def take(self, block: Block) -> None:
        """Into the book, and into the rows of whom it touches."""
        chain = self.chain
        changed = chain.book.commit(chain.book.stage(block))
        chain.watch.update(changed, chain.view)
        chain.prewarmer.observe(changed)

    def scan(self) -> list[Candidate]:
        """Who is due."""
        return self.chain.watch.candidates(self.chain.view, self._landing)

    def planned(self, candidates: list[Candidate]) -> list[Prediction]:
        return self.chain.planner.block(candidates, self.chain.view, self._landing)[0]

    def encode(self, plan: Prediction) -> bytes:
        """The call of the executor."""
        return calldata(plan, self.chain.predictor, EXECUTOR)

    def bid(self, plan: Prediction) -> Bid:
        return self._policy.bid(plan, plan.gas, self._landing)

    def sign(self, data: bytes, bid: Bid, nonce: int) -> bytes:
        fees = bid.priority_fee_wei, bid.max_fee_wei, bid.gas_limit
        return self._signer.sign(Tx1559(self.chain.settings.chain_id, nonce, *fees, EXECUTOR, 0, data))[0]

    def _signed(self, plans: list[Prediction], round_: int) -> list[bytes]:
        return [self.sign(self.encode(plan), self.bid(plan), round_ + place) for place, plan in enumerate(plans)]


def due(accounts: Iterable[tuple[Market, Address]], view: View, at_s: int) -> list[Candidate]:
    """Who of them is liquidatable, by looking at everybody's integers."""
    looked = (Candidate(market, account, market.health(view, account, at_s)) for market, account in accounts)
    return [candidate for candidate in looked if candidate.health.liquidatable]


async def races(bed: Bed, count: int) -> list[Race]:
    """Keepers of one devnet whose oracle has spoken in its newest block, each with the crowd in its book."""
    bed.tell("starting a devnet")
    net = await bed.enter(Devnet.start(report=bed.tell))
    settings = load(net.config, {})
    chains = [
        await bed.enter(open_chain(settings, settings.chains[0], lambda source, block, target: None, owned=False)) for _ in range(count)
    ]
    for _ in range(2):  # what was read at the first head made contracts known, whose logs come with the second
        await net.mine()
        for chain in chains:
            await chain.catch_up()
    message, head = await spoken(net, chains[0], telling(chains[0]))
    bed.tell(f"adding {bed.accounts:,} accounts")
    for chain in chains:
        chain.book.tables.write(crowd(chain, bed.accounts, bed.rng()))
    return [Race(chain, message, head) for chain in chains]


def telling(chain: Chain) -> int:
    """The price nearest to where it stands that makes a liquidation in the first market worth sending. Raises Halt."""
    landing, view, market = chain.landing(chain.head), chain.view, chain.markets[0]
    everybody = [(market, account) for account in market.accounts(view)]
    token = next(token for token, symbol in market.tokens(view).items() if symbol == SYMBOL)
    now = market.price(view, token) or 0
    for bps in range(STEP_BPS, MOST_BPS, STEP_BPS):
        price = now * (BPS - bps) // BPS
        state = Overlay(view, market.repriced(view, {token: price}))
        if chain.planner.block(due(everybody, state, landing.timestamp_s), state, landing)[0]:
            return price
    raise Halt(f"no borrower of the devnet is worth liquidating within {MOST_BPS} bps of {SYMBOL}'s price")


async def spoken(net: Devnet, chain: Chain, price: int) -> tuple[bytes, Head]:
    """The oracle says so in a block: its log as a WebSocket brings it, and that block."""
    await net.set_answers({SYMBOL: price})
    block = hex(await net.mine())
    emitter = net.addresses[f"aggregator.{SYMBOL}"]
    (log,) = await net.request("eth_getLogs", {"fromBlock": block, "toBlock": block, "address": emitter, "topics": [[ANSWER_UPDATED]]})
    notice = {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": log}}
    return orjson.dumps(notice), await chain.reader.head()


def crowd(chain: Chain, count: int, rng: np.random.Generator) -> list[Write]:
    """More accounts for the first market: its safe borrowers again, each owing between half and all of what they do."""
    market, view = chain.markets[0], chain.view
    names: Tables = cast("Any", market).cells
    borrowers = (market.health(view, account, chain.head.timestamp_s) for account in market.accounts(view))
    safe = [health.account for health in borrowers if health.health_factor_wad >= SAFE_WAD]
    if not safe:
        raise Halt("no borrower of the devnet is safe enough to be copied")
    share = {account(number): int(part) for number, part in enumerate(rng.integers(BPS // 2, BPS, count))}
    copies = [Copy(safe[number % len(safe)], address) for number, address in enumerate(share)]
    return [
        (table, key, value * share[Address(str(key[-1]))] // BPS if table == names.debt else value)
        for table, key, value in cells(copies, market.columns, view)
    ]


async def _warm(bed: Bed) -> Trial:
    warm, cold = await races(bed, 2)
    warm.warm()
    if not all(plan.warm for plan in warm.plans()):
        raise Halt("an account that became due was not planned beforehand")
    return Trial(warm.run, cold.run, before=lambda round_: marked(warm, cold))


async def _cold(bed: Bed) -> Trial:
    ours, theirs = await races(bed, 2)
    return Trial(ours.run, theirs.run_plainly, before=lambda round_: marked(ours, theirs), every=SCAN_EVERY)


def marked(*runners: Race) -> None:
    for race in runners:
        race.mark()


WHAT = "oracle log on the socket to signed bytes, without node and disk"
MEASURES = (
    Measure("oracle-warm", f"{WHAT}, planned beforehand", "planned from scratch", _warm, WARM_ROUNDS, 60.0, at=(ACCOUNTS,), devnet=True),
    Measure(
        "oracle-cold",
        f"{WHAT}, planned from scratch",
        "every account's health by integers",
        _cold,
        COLD_ROUNDS,
        120.0,
        at=(ACCOUNTS,),
        devnet=True,
    ),
)
