"""The measures themselves do what they say they time."""

from __future__ import annotations

from eth_account import Account

from keeper.bench.bed import Bed
from keeper.bench.catalogue import MEASURES
from keeper.bench.logs import Intake
from keeper.bench.measure import Result, Trial, run
from keeper.bench.memory import held_mb
from keeper.bench.signing import CALLDATA_BYTES, KEY, as_library, transaction
from keeper.execution.signer import Signer
from keeper.secret import Secret
from keeper.testing.traffic import Traffic

NAMES = {measure.name: measure for measure in MEASURES}


async def measured(name: str, accounts: int) -> Result:
    return await run(NAMES[name], Bed(accounts))


def test_measures_have_names_of_their_own_that_can_be_typed() -> None:
    assert len(NAMES) == len(MEASURES) >= 5
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in NAMES)
    assert all(measure.what for measure in MEASURES)


def test_both_signers_sign_the_same_bytes() -> None:
    tx = transaction(3)
    assert len(tx.data) == CALLDATA_BYTES
    assert Signer(Secret(KEY)).sign(tx)[0] == bytes(Account.from_key(KEY).sign_transaction(as_library(tx)).raw_transaction)


def test_every_block_taken_in_is_another_and_becomes_the_head() -> None:
    traffic = Traffic(accounts=100, seed=1)
    book = traffic.book()
    intake = Intake(book, traffic.blocks(3 * 50, 50))
    for round_ in range(3):
        intake.next(round_)
        intake.take(round_)
        intake.decode(round_)
        assert book.head is not None
        assert book.head.number == round_ + 1


async def test_the_pass_is_measured_beside_the_textbooks() -> None:
    result = await measured("full-pass", 1000)
    assert len(result.subject) == len(result.baseline) > 0
    assert result.named == "textbook numpy"


async def test_rows_as_arrays_weigh_at_least_their_bytes_and_objects_more() -> None:
    bed = Bed(20_000)
    least = sum(array.nbytes for array in bed.rows[1:]) / 1e6
    rows, objects = await held_mb("rows", 20_000, 1), await held_mb("objects", 20_000, 1)
    assert 0.9 * least < rows < 2 * least
    assert objects > 2 * rows


def test_a_bed_makes_its_book_once_and_its_random_numbers_anew() -> None:
    bed = Bed(500, seed=4)
    assert bed.rows is bed.rows
    assert bed.full_pass is bed.full_pass
    assert bed.rng().random() == bed.rng().random() != Bed(500, seed=5).rng().random()


def test_a_trial_needs_no_more_than_what_is_timed() -> None:
    trial = Trial(lambda round_: None)
    trial.before(0)
    assert (trial.baseline, trial.units, trial.every) == (None, 1, 1)
