"""Verdicts on prices: where each doubt begins, what is done about it, and who may testify."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.book.state import Tables
from keeper.ports import View
from keeper.risk.references import References
from keeper.risk.sanity import Check, Policy, PriceVerdict, Rules, Ruling, Traded, judge
from keeper.risk.witness import Pools, Worth
from keeper.types import Address, PoolKey, PoolPrice, PriceFeed

USD = 10**8
NOW_S = 1_000_000
RULES = Rules()
ETHER, STABLE, CENT, COIN = (Address("0x" + f"{n:02x}" * 20) for n in (1, 2, 3, 4))
FEED = PriceFeed(ETHER, "WETH", 18, "usd-8", 2000 * USD, 2000 * USD, 2000 * USD, 1, 10**16, NOW_S - 60)


def doubts(verdict: PriceVerdict) -> set[Check]:
    return {finding.check for finding in verdict.findings}


def judged(feed: PriceFeed = FEED, traded: Traded | None = None, second: int | None = None, rules: Rules = RULES) -> PriceVerdict:
    return judge(feed, traded, second, rules, NOW_S)


# --- where each doubt begins --------------------------------------------------------------------------------------


def test_a_price_nobody_contradicts_is_traded() -> None:
    verdict = judged(traded=Traded(2001 * USD, 1999 * USD), second=2000 * USD)
    assert (verdict.ruling, verdict.findings) == (Ruling.TRADE, ())


@pytest.mark.parametrize(("age_s", "stale"), [(90_000, False), (90_001, True)])
def test_a_price_older_than_its_heartbeat_is_stale(age_s: int, stale: bool) -> None:
    assert doubts(judged(replace(FEED, updated_at_s=NOW_S - age_s))) == ({Check.STALE} if stale else set())


@pytest.mark.parametrize(("answer", "clamped"), [(99, True), (100, True), (101, False), (899, False), (900, True), (901, True)])
def test_an_answer_at_or_beyond_a_limit_is_clamped(answer: int, clamped: bool) -> None:
    assert doubts(judged(replace(FEED, answer=answer, least=100, most=900))) == ({Check.CLAMP} if clamped else set())


def test_a_price_that_its_source_caps_is_clamped() -> None:
    assert doubts(judged(replace(FEED, capped=True))) == {Check.CLAMP}


def test_what_the_aggregator_does_not_tell_is_not_doubted() -> None:
    assert judged(PriceFeed(ETHER, "WETH", 18, "usd-8", 2000 * USD)).findings == ()


@pytest.mark.parametrize(("before", "jumped"), [(2500, False), (2501, True), (1667, False), (1666, True)])
def test_a_jump_of_more_than_a_fifth_is_one_in_either_direction(before: int, jumped: bool) -> None:
    assert doubts(judged(replace(FEED, before=before * USD))) == ({Check.JUMP} if jumped else set())


def test_a_limit_is_passed_by_the_smallest_unit() -> None:
    assert judged(replace(FEED, price=12 * USD, before=10 * USD)).findings == ()
    assert doubts(judged(replace(FEED, price=12 * USD + 1, before=10 * USD))) == {Check.JUMP}


@pytest.mark.parametrize(("now", "found"), [(2000, set()), (2200, set()), (2300, {Check.JUMP, Check.APART})])
def test_a_jump_is_none_where_the_pools_have_moved_along(now: int, found: set[Check]) -> None:
    assert doubts(judged(replace(FEED, before=2600 * USD), Traded(2600 * USD, now * USD))) == found


@pytest.mark.parametrize(("mean", "now", "apart"), [(2600, 2100, False), (2600, 1900, False), (2600, 2300, True), (1700, 1790, True)])
def test_a_price_between_the_pools_mean_and_where_they_stand_is_theirs(mean: int, now: int, apart: bool) -> None:
    assert doubts(judged(traded=Traded(mean * USD, now * USD))) == ({Check.APART} if apart else set())


def test_without_the_word_of_the_spot_only_the_mean_counts() -> None:
    strict = replace(RULES, spot_confirms=False)
    crash = judged(replace(FEED, before=2600 * USD), Traded(2600 * USD, 2000 * USD), rules=strict)
    assert doubts(crash) == {Check.JUMP, Check.APART}
    assert doubts(judged(traded=Traded(2000 * USD, 500 * USD), rules=strict)) == set()
    corrected = judged(replace(FEED, before=500 * USD), Traded(2000 * USD, 500 * USD), rules=strict)
    assert doubts(corrected) == set()


@pytest.mark.parametrize(("second", "disagree"), [(1905, False), (1904, True), (2105, False), (2106, True)])
def test_a_second_source_more_than_a_twentieth_away_disagrees(second: int, disagree: bool) -> None:
    assert doubts(judged(second=second * USD)) == ({Check.DISAGREE} if disagree else set())


@given(st.integers(1, 10**20), st.integers(1, 10**20), st.integers(1, 10**20), st.integers(1, 10**20), st.integers(1, 10**20))
def test_any_figures_are_judged_and_told(price: int, before: int, mean: int, now: int, second: int) -> None:
    verdict = judged(replace(FEED, price=price, before=before), Traded(mean, now), second)
    assert all("bps" in finding.detail for finding in verdict.findings)
    low, high = sorted((mean, now))
    assert (Check.APART in doubts(verdict)) == (price * 10 < low * 9 or price * 10 > high * 11)


# --- what is done about it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ruling", Ruling)
@pytest.mark.parametrize("check", Check)
def test_a_doubt_gets_the_ruling_of_its_own_check(check: Check, ruling: Ruling) -> None:
    others = dict.fromkeys((other.value for other in Check), Ruling.TRADE)
    everything = replace(FEED, answer=1, before=3000 * USD, updated_at_s=1)
    verdict = judged(everything, Traded(3000 * USD, 3000 * USD), 3000 * USD, Rules(**{**others, check.value: ruling}))  # type: ignore[arg-type]
    assert doubts(verdict) == set(Check)
    assert verdict.ruling is ruling


def test_the_strictest_ruling_counts() -> None:
    verdict = judged(replace(FEED, updated_at_s=1), Traded(3000 * USD, 3000 * USD))
    assert ([finding.ruling for finding in verdict.findings], verdict.ruling) == ([Ruling.ALERT, Ruling.HOLD], Ruling.HOLD)


# --- who may testify ----------------------------------------------------------------------------------------------


class Court:
    """Pools that say what they are told to."""

    def __init__(self) -> None:
        self.said: dict[PoolKey, PoolPrice | None] = {}

    def pool(
        self, token: Address, other: Address, ratio: tuple[int, int], depths: tuple[int, int], later: tuple[int, int] | None = None
    ) -> None:
        """`ratio`: smallest units of `other` for those of `token`; `later`: the same, now."""
        token0, token1 = sorted((token, other))
        number = len(self.said) + 1
        means = [(n << 192) // d if token == token0 else (d << 192) // n for n, d in (ratio, later or ratio)]
        depth0, depth1 = depths if token == token0 else depths[::-1]
        self.said[PoolKey("paper", Address(f"0x{number:040x}"), token0, token1, 500)] = PoolPrice(means[0], means[1], depth0, depth1)

    def pools(self, view: View) -> tuple[PoolKey, ...]:
        return tuple(self.said)

    def testimony(self, view: View, pool: PoolKey, at_s: int, window_s: int) -> PoolPrice | None:
        return self.said[pool]

    def worth(self, token: Address, *anchors: Address) -> Traded | None:
        feeds = {
            ETHER: FEED,
            STABLE: PriceFeed(STABLE, "USDC", 6, "usd-8", USD),
            CENT: PriceFeed(CENT, "CENT", 2, "usd-8", USD // 100),
            COIN: PriceFeed(COIN, "COIN", 18, "usd-8", 5 * USD),
        }
        policy = Policy(anchors=anchors)
        return Worth(Pools([self], Tables(), NOW_S, policy.twap_window_s), feeds, policy, ETHER)(token)


DEEP = 10**6 * 10**18, 10**6 * 10**6


def near(found: Traded | None, mean: int, now: int) -> bool:
    """Truncations aside."""
    return found is not None and abs(found.mean - mean) <= 1 and abs(found.now - now) <= 1


@pytest.mark.parametrize("flip", [False, True])
def test_a_pool_against_an_anchor_gives_the_price_in_the_markets_unit(flip: bool) -> None:
    court = Court()
    if flip:  # the anchor as the pool's first word
        court.pool(STABLE, ETHER, (10**18, 2100 * 10**6), DEEP[::-1], (10**18, 2050 * 10**6))
    else:
        court.pool(ETHER, STABLE, (2100 * 10**6, 10**18), DEEP, (2050 * 10**6, 10**18))
    assert near(court.worth(ETHER, STABLE), 2100 * USD, 2050 * USD)


def test_a_token_without_such_a_pool_is_priced_through_the_native_token_by_the_natives_own_pools() -> None:
    court = Court()
    court.pool(ETHER, STABLE, (2500 * 10**6, 10**18), DEEP)
    court.pool(COIN, ETHER, (2, 1000), (10**24, 10**24))
    assert near(court.worth(COIN, STABLE), 5 * USD, 5 * USD)
    assert FEED.price == 2000 * USD  # the oracle's word for the native token was not asked


def test_without_anchors_the_native_token_is_believed_and_cannot_be_judged() -> None:
    court = Court()
    court.pool(ETHER, STABLE, (2500 * 10**6, 10**18), DEEP)
    court.pool(COIN, ETHER, (2, 1000), (10**24, 10**24))
    assert near(court.worth(COIN), 4 * USD, 4 * USD)
    assert court.worth(ETHER) is None


def test_an_anchor_is_judged_by_the_other_anchors_only() -> None:
    court = Court()
    court.pool(STABLE, CENT, (95 * 10**2, 10**6), (10**12, 10**10))
    assert near(court.worth(STABLE, STABLE, CENT), 95 * USD // 100, 95 * USD // 100)
    assert court.worth(STABLE, STABLE) is None


@pytest.mark.parametrize(("side", "heard"), [(9_999, False), (10_001, True)])
def test_a_pool_that_is_thin_on_either_side_is_no_witness(side: int, heard: bool) -> None:
    court, sold = Court(), Court()
    court.pool(ETHER, STABLE, (2000 * 10**6, 10**18), (DEEP[0], side * 10**6))
    sold.pool(ETHER, STABLE, (2000 * 10**6, 10**18), (side * 10**18 // 2000, DEEP[1]))
    assert (court.worth(ETHER, STABLE) is not None) == (sold.worth(ETHER, STABLE) is not None) == heard


def test_a_pool_that_does_not_remember_the_window_is_no_witness() -> None:
    court = Court()
    court.pool(ETHER, STABLE, (2000 * 10**6, 10**18), DEEP)
    court.said = dict.fromkeys(court.said)
    assert court.worth(ETHER, STABLE) is None


def test_no_pool_with_less_than_half_of_the_depth_decides() -> None:
    court = Court()
    for price, depth in ((1900, 30_000), (2000, 41_000), (9000, 29_000)):
        court.pool(ETHER, STABLE, (price * 10**6, 10**18), (DEEP[0], depth * 10**6))
    assert near(court.worth(ETHER, STABLE), 2000 * USD, 2000 * USD)


# --- second sources -----------------------------------------------------------------------------------------------


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(32, signed=True) for value in values)


def test_a_second_source_is_read_and_scaled_to_the_markets_unit() -> None:
    references, view = References([COIN, ETHER, COIN]), Tables()
    assert [read.target for read in references.reads(view)] == [ETHER, ETHER, COIN, COIN]
    view.write(references.absorb([words(1, 7 * 10**18, 0, 500, 1), words(18), words(2, 3, 0, 600, 2), words(0)], view))
    assert (references.price(view, ETHER, 8, 500), references.price(view, COIN, 8, 0)) == (7 * USD, 3 * USD)
    assert references.price(view, ETHER, 8, 501) is None


@pytest.mark.parametrize(
    ("latest", "decimals"), [(None, words(8)), (words(1, -5, 0, 9, 1), words(8)), (words(1), words(8)), (words(1, 5, 0, 9, 1), None)]
)
def test_a_second_source_that_gives_no_price_has_none(latest: bytes | None, decimals: bytes | None) -> None:
    references, view = References([COIN]), Tables()
    view.write(references.absorb([latest, decimals], view))
    assert references.price(view, COIN, 8, 0) is None
