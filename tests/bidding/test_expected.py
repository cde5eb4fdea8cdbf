"""A bid is worth what it wins: close to the best share in hindsight, whoever the rivals are, and never beyond a cap."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.bidding.budget import Budget, Purse
from keeper.bidding.caps import Capped, Caps
from keeper.bidding.channels import Channel
from keeper.bidding.expected import ExpectedValue, Stakes, best_bid_wei
from keeper.bidding.odds import BUCKET_BITS, PRIOR_PPM, Odds, Race, bucket_of
from keeper.errors import Skip
from keeper.types import Bid, Landing, Prediction
from tests.bidding.races import BASE_FEE_WEI, GAS, Rival, best_constant, held, played
from tests.bidding.test_share import GWEI, kept, worth

ETHER = 10**18
CAPS = Caps(GWEI // 10, 5_000 * GWEI, 10_000 * GWEI, 0)
PURSE = Purse(10 * ETHER, 100 * ETHER, 1000 * ETHER)
RACES = 800

paid = st.floats(0, 1.2)
races = st.lists(st.tuples(st.integers(10**15, 10**19), paid, st.booleans()), max_size=60)
channels = st.sampled_from(Channel)
values = st.integers(1, 10**20)

RIVALS: dict[str, Rival] = {
    "nobody": lambda dice, value: None,
    "one who pays the least there is": lambda dice, value: GAS * GWEI // 10,
    "a fixed tip": lambda dice, value: 50 * GWEI * GAS,
    "a tip that varies a little": lambda dice, value: int(dice.uniform(2, 4) * GWEI * GAS),
    "half of the value": lambda dice, value: value // 2,
    "nine tenths": lambda dice, value: value * 9 // 10,
    "nine tenths, one time in ten": lambda dice, value: value * 9 // 10 if dice.random() < 0.1 else None,
    "eight tenths, every other time": lambda dice, value: value * 8 // 10 if dice.random() < 0.5 else None,
    "a share from a range": lambda dice, value: int(value * dice.uniform(0.3, 0.8)),
    "a tipper or a backrunner": lambda dice, value: int(value * 0.85) if dice.random() < 0.5 else 3 * GWEI * GAS,
}


def knowing(seen: list[tuple[int, float, bool]], channel: Channel) -> Odds:
    odds = Odds()
    for value_wei, share, ours in seen:
        odds.observe(Race("m", channel, value_wei, GAS, int(value_wei * share) // GAS, ours))
    return odds


def policy(odds: Odds, caps: Caps = CAPS, purse: Purse = PURSE, channel: Channel = Channel.TIP) -> Capped:
    return Capped(ExpectedValue(odds, caps, channel), caps, Budget(purse))


def bid_of(bidder: Capped, prediction: Prediction, base: int = BASE_FEE_WEI, block: int = 1) -> Bid | None:
    try:
        return bidder.bid(prediction, GAS, Landing(block, 12 * block, base))
    except Skip:
        return None


# --- against rivals who do not learn


@pytest.mark.parametrize("channel", [Channel.TIP, Channel.BUILDER])
@pytest.mark.parametrize("who", RIVALS)
def test_it_nets_nine_tenths_of_what_the_best_share_would_have_in_hindsight(who: str, channel: Channel) -> None:
    """From knowing nothing, over two seeds together."""
    ours = best = 0
    for seed in range(2):
        auctions = held(RIVALS[who], seed, RACES)
        ours += played(auctions, channel, Odds())
        best += best_constant(auctions, channel)
    assert ours >= 0.9 * best, f"{ours / best:.3f}"


def test_a_rival_who_leaves_is_not_outbid_for_ever() -> None:
    odds, half = Odds(), RACES // 2
    played(held(RIVALS["nine tenths"], 1, half), Channel.TIP, odds)
    auctions = held(RIVALS["nobody"], 2, RACES)
    played(auctions, Channel.TIP, odds)
    after = held(RIVALS["nobody"], 3, 100)
    assert played(after, Channel.TIP, odds) > 0.9 * sum(auction.value_wei for auction in after)


def test_a_rival_who_raises_his_share_is_met_there_within_some_races() -> None:
    odds = Odds()
    played(held(RIVALS["half of the value"], 1, 100), Channel.TIP, odds)
    played(held(RIVALS["nine tenths"], 2, 100), Channel.TIP, odds)
    after = held(RIVALS["nine tenths"], 3, 200)
    assert played(after, Channel.TIP, odds) > 0.75 * best_constant(after, Channel.TIP)


def test_who_has_seen_nothing_offers_a_moderate_share() -> None:
    curve = Odds().curve("m", Channel.TIP, ETHER)
    share = best_bid_wei(curve, Channel.TIP, Stakes(ETHER, GAS, BASE_FEE_WEI)) / ETHER
    assert min(PRIOR_PPM) / 1e6 < 0.15 < share < 0.65 < max(PRIOR_PPM) / 1e6


def test_a_market_a_size_and_a_channel_each_have_their_own_odds() -> None:
    odds = knowing([(ETHER, 0.9, False)] * 30, Channel.TIP)
    here = odds.curve("m", Channel.TIP, ETHER)
    assert odds.curve("other", Channel.TIP, ETHER) == Odds().curve("m", Channel.TIP, ETHER) != here
    assert odds.curve("m", Channel.BUILDER, ETHER) == Odds().curve("m", Channel.BUILDER, ETHER) != here
    stakes = Stakes(ETHER, GAS, BASE_FEE_WEI)
    assert best_bid_wei(here, Channel.TIP, stakes) > ETHER * 9 // 10
    assert best_bid_wei(odds.curve("other", Channel.TIP, ETHER), Channel.TIP, stakes) < ETHER * 7 // 10


def test_another_size_of_the_market_counts_until_the_size_has_races_of_its_own() -> None:
    odds = knowing([(ETHER, 0.6, False)] * 30, Channel.TIP)
    small = ETHER // 64
    assert bucket_of(small) != bucket_of(ETHER)
    assert best_bid_wei(odds.curve("m", Channel.TIP, small), Channel.TIP, Stakes(small, GAS, 0)) > small * 6 // 10
    for _ in range(40):
        odds.observe(Race("m", Channel.TIP, small, GAS, small * 3 // 10 // GAS))
    assert small * 3 // 10 < best_bid_wei(odds.curve("m", Channel.TIP, small), Channel.TIP, Stakes(small, GAS, 0)) < small * 4 // 10


def test_what_losing_costs_makes_a_bid_surer() -> None:
    """The same odds, with and without gas to lose."""
    seen = [(ETHER // 100, share, False) for share in (0.1, 0.3, 0.5, 0.7)] * 10
    curve = knowing(seen, Channel.TIP).curve("m", Channel.TIP, ETHER // 100)
    stakes = Stakes(ETHER // 100, GAS, 100 * GWEI)
    assert best_bid_wei(curve, Channel.TIP, stakes) > best_bid_wei(curve, Channel.BUILDER, stakes)


def test_where_the_first_to_come_is_the_first_to_go_nothing_is_offered() -> None:
    curve = knowing([(ETHER, 0.9, False)] * 30, Channel.FIRST_COME).curve("m", Channel.FIRST_COME, ETHER)
    assert best_bid_wei(curve, Channel.FIRST_COME, Stakes(ETHER, GAS, BASE_FEE_WEI)) == 0


# --- properties


@given(races, channels, values, st.integers(21_000, 3_000_000), st.integers(0, 500 * GWEI))
def test_no_bid_reaches_the_value(seen: list[tuple[int, float, bool]], channel: Channel, value: int, gas: int, base: int) -> None:
    bid_wei = best_bid_wei(knowing(seen, channel).curve("m", channel, value), channel, Stakes(value, gas, base))
    assert 0 <= bid_wei < value


@given(races, channels, st.integers(20, 64), st.data())
def test_a_larger_value_of_the_same_size_is_bid_no_less_for(
    seen: list[tuple[int, float, bool]], channel: Channel, bits: int, data: st.DataObject
) -> None:
    low = 1 << (bits // BUCKET_BITS * BUCKET_BITS)
    inside = st.integers(low // 2, 2 * low - 1)
    less, more = sorted((data.draw(inside), data.draw(inside)))
    odds = knowing(seen, channel)
    assert bucket_of(less) == bucket_of(more)
    bids = [best_bid_wei(odds.curve("m", channel, value), channel, Stakes(value, GAS, BASE_FEE_WEI)) for value in (less, more)]
    assert bids == sorted(bids)


@given(races, channels, values)
def test_a_higher_bid_never_has_a_smaller_chance(seen: list[tuple[int, float, bool]], channel: Channel, value: int) -> None:
    chances = knowing(seen, channel).curve("m", channel, value).chances
    assert [chance.amount for chance in chances] == sorted((chance.amount for chance in chances), reverse=True)
    assert [chance.wins for chance in chances] == sorted((chance.wins for chance in chances), reverse=True)
    assert all(0 <= chance.wins <= 1 for chance in chances)


@given(races, channels)
def test_what_was_seen_is_the_same_after_a_restart(seen: list[tuple[int, float, bool]], channel: Channel) -> None:
    odds, again = knowing(seen, channel), Odds()
    again.restore(odds.state())
    for value in (10**15, 10**17, 10**19):
        assert again.curve("m", channel, value) == odds.curve("m", channel, value)


@pytest.mark.parametrize("state", [[{}], [{"market": "m", "channel": "tip", "bucket": 1, "turn": 1, "seen": [[1]]}], [3], 7])
def test_a_state_that_was_never_made_is_refused_and_changes_nothing(state: object) -> None:
    odds = knowing([(ETHER, 0.9, False)] * 3, Channel.TIP)
    before = odds.state()
    with pytest.raises((TypeError, ValueError, LookupError)):
        odds.restore(state)  # type: ignore[arg-type]
    assert odds.state() == before


@settings(max_examples=60)
@given(races, st.integers(10**14, 10**19), st.integers(1, 300 * GWEI), st.integers(0, 10**16), st.integers(0, 10**18))
def test_the_policys_bid_leaves_the_least_profit_and_stays_below_every_cap(
    seen: list[tuple[int, float, bool]], value: int, base: int, least_profit: int, purse: int
) -> None:
    caps = Caps(GWEI // 10, 300 * GWEI, 500 * GWEI, least_profit)
    made = bid_of(policy(knowing(seen, Channel.TIP), caps, Purse(purse, purse, purse)), worth(value), base)
    if made is None:
        assert value <= GAS * (base + caps.min_priority_fee_wei) + least_profit or base > 199 * GWEI
        return
    assert value - GAS * (base + made.priority_fee_wei) >= least_profit
    assert value - GAS * made.max_fee_wei >= least_profit
    assert caps.min_priority_fee_wei <= made.priority_fee_wei <= caps.max_priority_fee_wei
    assert base + made.priority_fee_wei <= made.max_fee_wei <= caps.max_fee_wei
    assert (made.priority_fee_wei - caps.min_priority_fee_wei) * GAS <= purse


def test_what_nobody_else_can_have_gets_the_least() -> None:
    made = bid_of(policy(knowing([(ETHER, 0.9, False)] * 30, Channel.TIP)), kept(ETHER))
    assert made is not None
    assert made.priority_fee_wei == CAPS.min_priority_fee_wei
