"""The outbox on its own: what it keeps, and what it lets go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.execution.drafts import draft
from keeper.execution.outbox import Outbox
from keeper.execution.states import IllegalTransitionError, State
from keeper.execution.submission import Submission
from keeper.ledger.ledger import Ledger
from keeper.types import Address, Hash
from tests.execution.rig import SIGNER, account, intent

BLOCK = Hash("0x" + "bb" * 32)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(tmp_path / "ledger.sqlite", 1)
    yield opened
    await opened.close()


async def outbox_of(ledger: Ledger, signer: Address = SIGNER.address, keep_refused: int = 1000) -> Outbox:
    outbox = Outbox(ledger.database, 1, signer, keep_refused)
    await outbox.load(100, 1000)
    return outbox


def signed(i: int) -> Submission:
    return draft(SIGNER, 1, intent(i), i)


async def test_a_submission_is_read_back_exactly(ledger: Ledger) -> None:
    outbox = await outbox_of(ledger)
    drafts = [replace(signed(0), max_fee_wei=2**255, fee_cap_wei=2**200, plan_json='{"a": 1}'), replace(signed(1), replaces=7)]
    added = await outbox.add(drafts)
    assert [replace(s, id=0) for s in added] == drafts
    assert (await outbox_of(ledger)).live == added
    assert await outbox.history(account(1)) == added[1:]


async def test_a_batch_with_an_illegal_transition_changes_nothing(ledger: Ledger) -> None:
    outbox = await outbox_of(ledger)
    one, other = await outbox.add([signed(0), signed(1)])
    await outbox.change([replace(other, state=State.SENT)])
    with pytest.raises(IllegalTransitionError, match="cannot go from sent to unknown"):
        await outbox.change([replace(one, state=State.SENT), replace(other, state=State.UNKNOWN)])
    assert [s.state for s in outbox.live] == [s.state for s in (await outbox_of(ledger)).live] == [State.SIGNED, State.SENT]


async def test_an_account_is_in_flight_exactly_while_its_transaction_may_land(ledger: Ledger) -> None:
    outbox = await outbox_of(ledger)
    [it] = await outbox.add([signed(0)])
    for state, expected in [(State.SENT, True), (State.INCLUDED, False), (State.REORGED_OUT, True), (State.REPLACED, False)]:
        await outbox.change([replace(it, state=state)])
        assert outbox.in_flight("market", account(0)) is expected
        assert not outbox.in_flight("other market", account(0))


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"state": State.UNKNOWN}, True),
        ({"state": State.INCLUDED, "block_number": 50, "block_hash": BLOCK, "acknowledged": False}, True),
        ({"state": State.INCLUDED, "block_number": 50, "block_hash": BLOCK}, False),
        ({"state": State.INCLUDED, "block_number": 100, "block_hash": BLOCK}, True),
        ({"state": State.DROPPED}, False),
    ],
)
async def test_a_restart_remembers_what_may_still_change_and_nothing_else(ledger: Ledger, change: dict[str, object], kept: bool) -> None:
    outbox = await outbox_of(ledger)
    [it] = await outbox.add([signed(0)])
    await outbox.change([replace(it, **change)])  # type: ignore[arg-type]
    outbox.forget(100)
    assert bool(outbox.live) is kept
    assert bool((await outbox_of(ledger)).live) is kept


async def test_another_signers_transactions_are_not_ours(ledger: Ledger) -> None:
    await (await outbox_of(ledger)).add([signed(0)])
    other = await outbox_of(ledger, account(5))
    assert other.live == []
    [added] = await other.add([replace(signed(0), signer=account(5))])
    assert added.id == 2


async def test_old_refusals_are_let_go_and_whatever_left_is_kept(ledger: Ledger) -> None:
    outbox = await outbox_of(ledger, keep_refused=3)
    for i in range(10):
        [it] = await outbox.add([signed(i)])
        end = State.DROPPED if i else State.SENT
        await outbox.change([replace(it, state=end)])
    await outbox.add([signed(10)])
    rows = await ledger.database.read(lambda connection: connection.exec_driver_sql("SELECT nonce FROM outbox ORDER BY id"))
    assert [nonce for (nonce,) in rows.all()] == [0, 7, 8, 9, 10]
