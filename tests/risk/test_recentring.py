"""What may happen between the beginning of a re-centring and its adoption, and when there is another."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.risk import engine as engines
from keeper.risk import recentring
from keeper.risk.engine import Engine
from keeper.risk.layer import Rows
from keeper.types import Factor, Quote, Row

PRICE, DEBT, FLOOR = Factor(("m", "c")), Factor(("m", "d")), Factor(("m", "floor"))
SAFE, DUE = Row({PRICE: 2.0, DEBT: -100.0}, 0.0), Row({PRICE: 0.5, DEBT: -100.0}, 0.0)


def engine_of(*rows: Row) -> Engine:
    """Prices 100 and 1, ticked."""
    engine = Engine()
    for row in rows:
        engine.put(None, row)
    price(engine, 100.0)
    return engine


def price(engine: Engine, value: float) -> None:
    engine.set([(PRICE, Quote(value)), (DEBT, Quote(1.0))])
    tick(engine)


def tick(engine: Engine) -> set[int]:
    engine.tick(undecided)
    return set(engine.inside().tolist())


def undecided(rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    raise AssertionError("these rows leave nothing to decide")


def recentre(engine: Engine) -> None:
    work = engine.work(everything=True)
    assert work
    engine.adopt(work.run())


def test_a_row_edited_before_the_work_began_still_enters_and_leaves() -> None:
    engine = engine_of(SAFE, DUE)
    (due,) = tick(engine)
    safe = 1 - due
    engine.put(safe, DUE)
    engine.put(due, SAFE)
    recentre(engine)
    assert tick(engine) == {safe}


def test_a_row_dropped_before_the_work_began_is_gone() -> None:
    engine = engine_of(SAFE, DUE)
    (due,) = tick(engine)
    engine.drop(due)
    recentre(engine)
    assert not tick(engine)


def test_rows_may_bring_new_factors_while_certificates_are_made() -> None:
    engine = engine_of(SAFE)
    work = engine.work(everything=True)
    assert work
    more = [Factor(("m", str(number))) for number in range(5)]
    new = engine.put(0, Row({more[4]: 1.0, PRICE: -1.0}, 0.0), FLOOR)
    engine.adopt(work.run())
    engine.set([(FLOOR, Quote(0.0)), (more[4], Quote(50.0))])
    assert tick(engine) == {new}


@pytest.mark.parametrize("everything", [True, False])
def test_the_certificate_of_a_row_edited_meanwhile_is_not_trusted(monkeypatch: pytest.MonkeyPatch, everything: bool) -> None:
    monkeypatch.setattr(engines, "WATCHED", 0)
    engine = engine_of(SAFE, SAFE)
    work = engine.work(everything)
    assert work
    work.run()
    engine.put(1, Row({PRICE: 1.01, DEBT: -100.0}, 0.0))
    engine.adopt(work)
    price(engine, 95.0)
    assert set(engine.inside().tolist()) == {1}


@pytest.mark.parametrize("everything", [True, False])
def test_a_row_whose_certificate_was_used_up_meanwhile_is_still_looked_at(monkeypatch: pytest.MonkeyPatch, everything: bool) -> None:
    monkeypatch.setattr(engines, "WATCHED", 0)
    engine = engine_of(*[SAFE] * 20)
    recentre(engine)
    engine.put(None, SAFE)
    tick(engine)
    work = engine.work(everything)
    assert work
    price(engine, 50.5)
    assert engine.watched == 21
    engine.adopt(work.run())
    price(engine, 49.0)
    assert set(engine.inside().tolist()) == {*range(21)}


def test_rows_whose_layer_is_merged_with_others_keep_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "WATCHED", 0)
    monkeypatch.setattr(engines, "LAYERS", 2)
    engine = engine_of(*[SAFE] * 20)
    recentre(engine)
    replaced = 0
    for _ in range(6):
        for _ in range(3):
            engine.put(None, SAFE)
        tick(engine)
        work = engine.work()
        assert work
        replaced = max(replaced, len(work.replaced))
        engine.adopt(work.run())
        assert engine.watched == 0
    assert replaced == 2
    price(engine, 49.0)
    assert len(engine.inside()) == 20 + 6 * 3


@pytest.mark.parametrize(
    ("constant", "then", "now"),
    [
        (50.0, Quote(1.0, slack=10.0), Quote(1.0, slack=100.0)),
        (85.0, Quote(1.0, slack=10.0), Quote(1.0, slack=20.0)),
        (50.0, Quote(1.0, width=0.1), Quote(1.0, width=0.6)),
        (50.0, Quote(1.0), Quote(0.4)),
    ],
)
def test_who_is_in_the_set_is_asked_again_when_it_may_not_be_any_more(constant: float, then: Quote, now: Quote) -> None:
    engine = engine_of(Row({DEBT: -100.0}, constant))
    engine.set([(DEBT, then)])
    recentre(engine)
    assert tick(engine) == {0}
    engine.set([(DEBT, now)])
    engine.tick(lambda rows: np.zeros(len(rows), np.bool_))
    assert not len(engine.inside())


def test_certificates_in_the_making_give_way_between_parts_and_ticks_say_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recentring, "PART", 4)
    engine = engine_of(*[SAFE] * 20)
    work = engine.work(everything=True)
    assert work
    seen: list[bool] = []
    work.run(lambda: seen.append(engine.ticking))
    assert seen == [False] * 5
    engine.put(0, Row({PRICE: 2.0, DEBT: -100.0}, -101.0, slack=2.0))
    engine.tick(lambda rows: np.array([engine.ticking] * len(rows)))
    assert set(engine.inside().tolist()) == {0}
    assert not engine.ticking


def test_the_work_of_another_engine_is_not_trusted() -> None:
    work = engine_of(SAFE, SAFE, SAFE).work(everything=True)
    assert work
    engine = engine_of(DUE, SAFE)
    watched = engine.watched
    engine.adopt(work.run())
    assert engine.watched == watched
    assert len(tick(engine)) == 1


def test_work_that_was_overtaken_is_not_trusted() -> None:
    engine = engine_of(SAFE)
    work = engine.work(everything=True)
    assert work
    engine.put(0, DUE)
    engine.recentre()
    engine.adopt(work.run())
    assert tick(engine) == {0}


def test_there_is_no_other_work_before_the_first_is_adopted() -> None:
    engine = engine_of(SAFE)
    work = engine.work(everything=True)
    assert work
    assert engine.work(everything=True) is None
    engine.adopt(work.run())
    assert engine.work(everything=True)


def test_who_holds_what_has_no_worth_is_certified_until_it_has() -> None:
    engine = engine_of(*[Row({PRICE: 2.0, DEBT: -100.0}, 500.0)] * 20)
    price(engine, 0.0)
    recentre(engine)
    assert engine.watched == 0
    price(engine, -1e-6)
    assert engine.watched == 20


def test_rows_that_could_not_be_certified_are_again_when_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "WATCHED", 4)
    monkeypatch.setattr(engines, "REST", 4)
    engine = engine_of(*[SAFE] * 40)
    engine.set([(PRICE, Quote(float("nan")))])
    engine.tick(lambda rows: np.zeros(len(rows), np.bool_))
    recentre(engine)
    assert engine.watched == 40
    for _ in range(20):
        price(engine, 100.0)
        if work := engine.work():
            engine.adopt(work.run())
    assert engine.watched == 0
