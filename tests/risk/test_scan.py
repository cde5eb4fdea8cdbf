"""The scan nominates every account whose exact surplus is negative, whatever the order of edits."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from keeper.risk.scan import Scan
from keeper.types import Factor, Row

FACTORS: list[Factor] = [("f", str(i)) for i in range(6)]
weights = st.dictionaries(st.sampled_from(FACTORS), st.integers(-(10**6), 10**6).map(float), max_size=6)
rows = st.builds(Row, weights, st.integers(-(10**6), 10**6).map(float))
edits = st.lists(st.tuples(st.integers(0, 8), st.none() | rows), max_size=40)
values = st.fixed_dictionaries({factor: st.integers(0, 1000).map(float) for factor in FACTORS})


def exact(row: Row, factors: dict[Factor, float]) -> Fraction:
    return Fraction(row.constant) + sum((Fraction(w) * Fraction(factors[f]) for f, w in row.weights.items()), Fraction())


@given(edits, values)
def test_after_any_edits_the_nominees_are_the_owners_with_negative_surplus(
    edits: list[tuple[int, Row | None]], factors: dict[Factor, float]
) -> None:
    scan: Scan[int] = Scan()
    truth: dict[int, Row] = {}
    for owner, row in edits:
        if row is None:
            scan.drop(owner)
            truth.pop(owner, None)
        else:
            scan.put(owner, row)
            truth[owner] = row
    assert len(scan) == len(truth)
    nominees = scan.nominate(factors)
    assert set(nominees) == {owner for owner, row in truth.items() if exact(row, factors) < 0}
    surpluses = [exact(truth[owner], factors) for owner in nominees]
    assert surpluses == sorted(surpluses)


def test_a_factor_without_a_value_nominates_its_holders() -> None:
    scan: Scan[str] = Scan()
    scan.put("holder", Row({("f", "0"): 1.0}, 5.0))
    scan.put("other", Row({("f", "1"): 1.0}, 5.0))
    assert scan.nominate({("f", "1"): 1.0}) == ["holder"]
    assert scan.nominate({("f", "0"): float("nan"), ("f", "1"): 1.0}) == ["holder"]
