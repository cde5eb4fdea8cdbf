"""`keeper why TX`: which liquidations a transaction made, ours or not, what its place in the block was worth and what was paid for it, and
why it was not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keeper.app import Chain, ledger_path, open_chain
from keeper.chain.rpc import RpcError
from keeper.commands.output import decimal
from keeper.commands.progress import backfill_progress
from keeper.config import Settings
from keeper.config.settings import ChainSettings
from keeper.errors import ConfigError, Transient
from keeper.fixedpoint import BPS
from keeper.ledger.reading import reading
from keeper.ledger.winners import Winner, winners
from keeper.nodes import open_node
from keeper.planning.races import SINCE_BEFORE, Liquidated, Referee
from keeper.ports import View
from keeper.types import ZERO_ADDRESS, Hash, Head, Outcome, Verdict

Row = dict[str, Any]

AROUND = 8
"""Decisions so many blocks before and after it have to do with it."""


@dataclass(frozen=True, slots=True)
class _Case:
    """The transaction, who sent it, what it liquidated, and the transactions of its block that made somebody due."""

    tx: Hash
    index: int
    succeeded: bool
    head: Head
    winner: Winner
    found: tuple[Liquidated, ...]


async def why_transaction(settings: Settings, tx: Hash) -> AsyncIterator[Row]:
    """Rows of kind "transaction", "liquidation", "decision" and "verdict". Raises ConfigError when no chain of the config has it, Transient
    when the node no longer has the state it met."""
    return _rows(settings, tx)


async def _rows(settings: Settings, tx: Hash) -> AsyncIterator[Row]:
    known = False
    for named in settings.chains:
        if landed := await _landed(named, tx):
            known = True
            try:
                case = await _case(settings, named, tx, *landed)
            except Transient as away:
                raise Transient(f"{away}: only an archive node, or a keeper that ran at the time, knows what it met") from None
            yield _transaction(case)
            for race in case.found:
                async for row in _liquidation(settings, named, case, race):
                    yield row
    if not known:
        raise ConfigError(f"{tx} is in no block of {', '.join(named.name for named in settings.chains)}")


# --- what happened ------------------------------------------------------------------------------------------------


async def _landed(named: ChainSettings, tx: Hash) -> tuple[Any, Head] | None:
    """Its receipt, and its block."""
    async with open_node(named) as (rpc, reader):
        try:
            receipt = await rpc.request("eth_getTransactionReceipt", tx)
        except RpcError:
            return None
        head = await reader.header(Hash(receipt["blockHash"])) if receipt else None
        return (receipt, head) if head else None


async def _case(settings: Settings, named: ChainSettings, tx: Hash, receipt: Any, head: Head) -> _Case:
    """On the state just before its block: of the daemon's book, or where that does not reach so far back, of one that is made for it."""
    with backfill_progress() as progress:
        async with open_chain(settings, named, progress, owned=False) as chain:
            if before := chain.book.before(head.hash):
                return await _judged(chain, before, tx, receipt, head)
            parent = await chain.reader.header(head.parent_hash)
        async with open_chain(settings, named, progress, owned=False, until=parent) as chain:
            await chain.catch_up()
            return await _judged(chain, chain.view, tx, receipt, head)


async def _judged(chain: Chain, before: View, tx: Hash, receipt: Any, head: Head) -> _Case:
    executor = chain.settings.executor
    ours = [executor.address] if executor and executor.address else []
    referee = Referee(chain.book.sources, chain.predictor, chain.settings.bidding.min_profit_wei)
    found = list(referee.liquidated(await chain.bookkeeper.block(head), before))
    mine = tuple(race for race in found if race.tx == tx)
    index = int(receipt["transactionIndex"], 16)
    asked = found if mine else [Liquidated("", ZERO_ADDRESS, tx, index, SINCE_BEFORE, 0, 0)]
    winner = (await winners(chain.rpc, head, asked, ours))[tx]
    return _Case(tx, index, receipt["status"] == "0x1", head, winner, mine)


# --- what is said of it -------------------------------------------------------------------------------------------


def _transaction(case: _Case) -> Row:
    winner, paid_wei = case.winner, case.winner.tip_wei * case.winner.gas_used
    whose = "ours" if winner.ours else f"{winner.sender} by {winner.to}"
    end = "" if case.succeeded else ", and reverted"
    nothing = "" if case.found else "; it liquidated nobody in a market of this config"
    figures = {"ours": winner.ours, "sender": winner.sender, "to": winner.to, "index": case.index, "tip_wei": winner.tip_wei}
    text = f"{whose}, place {case.index} of its block{end}; {decimal(paid_wei, 18, 6)} eth for that place{nothing}"
    return {"kind": "transaction", "market": "", "block": case.head.number, "tx": case.tx, **figures, "paid_wei": paid_wei, "text": text}


async def _liquidation(settings: Settings, named: ChainSettings, case: _Case, race: Liquidated) -> AsyncIterator[Row]:
    base = {"market": race.market, "account": race.account, "block": case.head.number}
    yield {"kind": "liquidation", **base, "due_index": race.due_index, "worth_wei": race.value_wei, "text": _worth(case, race)}
    async with reading(ledger_path(settings, named), named.chain_id) as ledger:
        said = await ledger.outcomes_of(race.account, limit=10**6) if ledger else []
    near = sorted((o for o in said if o.market == race.market and abs(o.block - case.head.number) <= AROUND), key=lambda o: o.block)
    for outcome in near:
        yield {"kind": "decision", **base, "block": outcome.block, **_decision(outcome)}
    ours = next((o.tx for o in near if o.tx and o.block == case.head.number and o.verdict is not Verdict.WON), None)
    reason, text = next(_reasons(case, race, near, await _offered_wei(named, ours) if ours else None))
    yield {"kind": "verdict", **base, "reason": reason, "text": f"{reason}: {text}"}


async def _offered_wei(named: ChainSettings, tx: Hash) -> int | None:
    """What a transaction of ours paid per gas, if it landed."""
    landed = await _landed(named, tx)
    return int(landed[0]["effectiveGasPrice"], 16) - landed[1].base_fee_wei if landed else None


def _worth(case: _Case, race: Liquidated) -> str:
    since = "due before the block" if race.due_index == SINCE_BEFORE else f"due since place {race.due_index} of the same block"
    if not race.value_wei:
        return f"{race.account}, {since}: no plan of ours would have earned its gas"
    share = case.winner.tip_wei * case.winner.gas_used * BPS // race.value_wei
    return f"{race.account}, {since}: the place was worth {decimal(race.value_wei, 18, 6)} eth to us, {share / 100:.2f} % of which was paid"


def _decision(outcome: Outcome) -> Row:
    text = " ".join(part for part in (str(outcome.verdict), outcome.reason, outcome.detail) if part)
    return {"decision": str(outcome.verdict), "reason": outcome.reason, "tx": outcome.tx, "text": text}


def _reasons(case: _Case, race: Liquidated, near: Sequence[Outcome], offered_wei: int | None) -> Iterator[tuple[str, str]]:
    """The first is the one. `offered_wei`: by a transaction of ours for the same block, per gas."""
    if case.winner.ours:
        yield "won", "it is ours"
    if offered_wei is not None:
        figures = f"ours offered {decimal(offered_wei, 9, 3)} gwei a gas, they paid {decimal(case.winner.tip_wei, 9, 3)}"
        yield ("outbid", figures) if offered_wei <= case.winner.tip_wei else ("behind", f"{figures}: it came later, or where we do not see")
    for outcome in near:
        if outcome.block == case.head.number:
            said = outcome.reason, outcome.detail or str(outcome.verdict)
            yield ("not_included", f"ours, {outcome.tx}, did not land") if outcome.tx else said
    if race.due_index != SINCE_BEFORE:
        yield "oracle_backrun", "at the head before it there was nothing to liquidate yet"
    if not race.value_wei:
        yield "unprofitable", "no plan of ours would have earned its gas"
    yield "not_running", "no keeper on this data_dir decided anything about that block"
