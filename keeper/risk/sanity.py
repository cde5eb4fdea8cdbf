"""Is a price to be believed? Every doubt is a check with a ruling of its own, as the config says: trade, alert or hold.

A price may be legal and yet wrong: liquidating on it is profit taken from an error, and often paid back in court or in reputation. So this
asks what else is known: when the aggregator last spoke, its limits, the price before, what deep pools trade at, and a second source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from keeper.fixedpoint import BPS
from keeper.types import Address, PriceFeed


class Ruling(StrEnum):
    """What is done about a doubt, from nothing to everything."""

    TRADE = "trade"
    ALERT = "alert"  # trade, and tell
    HOLD = "hold"  # plan nothing that depends on the price
    HALT = "halt"  # send nothing at all until somebody has looked

    @property
    def severity(self) -> int:
        return list(Ruling).index(self)


class Check(StrEnum):
    STALE = "stale"  # the aggregator has been silent for longer than its heartbeat
    CLAMP = "clamp"  # its answer is at a limit: the price may be beyond
    JUMP = "jump"  # one update moved the price far
    APART = "apart"  # deep pools trade elsewhere
    DISAGREE = "disagree"  # the second source says something else


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one token: a ruling per check, and where each begins. `second`: an AggregatorV3 in the market's currency."""

    stale: Ruling = Ruling.ALERT
    clamp: Ruling = Ruling.HOLD
    jump: Ruling = Ruling.HOLD
    apart: Ruling = Ruling.HOLD
    disagree: Ruling = Ruling.HOLD
    heartbeat_s: int = 90_000
    max_jump_bps: int = 2000
    max_apart_bps: int = 1000
    max_disagree_bps: int = 500
    spot_confirms: bool = True
    second: Address | None = None

    def ruling(self, check: Check) -> Ruling:
        return Ruling(getattr(self, check))


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules, those of single tokens, and who is a witness: pools against `anchors` (or, through it, the native token) whose depth is
    worth at least `min_depth` whole units of the market's currency. Their mean is over `twap_window_s`."""

    rules: Rules = field(default_factory=Rules)
    tokens: Mapping[Address, Rules] = field(default_factory=dict)
    anchors: tuple[Address, ...] = ()
    twap_window_s: int = 1800
    min_depth: int = 10_000

    def of(self, token: Address) -> Rules:
        return self.tokens.get(token, self.rules)


class Traded(NamedTuple):
    """What deep pools trade a whole token at, in the market's unit: the mean over the window, and now."""

    mean: int
    now: int


class Finding(NamedTuple):
    check: Check
    ruling: Ruling
    detail: str


@dataclass(frozen=True, slots=True)
class PriceVerdict:
    """All doubts about a price, and what comes of them: the strictest of their rulings. `traded`, `second`: None when nobody can say."""

    feed: PriceFeed
    findings: tuple[Finding, ...]
    traded: Traded | None
    second: int | None

    @property
    def ruling(self) -> Ruling:
        return max((finding.ruling for finding in self.findings), key=lambda ruling: ruling.severity, default=Ruling.TRADE)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that is known of a price."""

    feed: PriceFeed
    traded: Traded | None
    second: int | None
    rules: Rules
    at_s: int


def judge(feed: PriceFeed, traded: Traded | None, second: int | None, rules: Rules, at_s: int) -> PriceVerdict:
    """`second`: the other source's price, in the market's unit. `at_s`: when a transaction sent now would land."""
    case = _Case(feed, traded, second, rules, at_s)
    found = [Finding(check, rules.ruling(check), figures) for check, doubt in _DOUBTS.items() if (figures := doubt(case))]
    return PriceVerdict(feed, tuple(found), traded, second)


def halting(verdicts: Iterable[PriceVerdict]) -> str:
    """The first doubt that is to stop everything, with its figures; "": none."""
    found = ((v.feed.symbol, f) for v in verdicts for f in v.findings if f.ruling is Ruling.HALT)
    return next((f"price of {symbol}, {finding.check}: {finding.detail}" for symbol, finding in found), "")


# --- the doubts: the figures, "" when there is none ---------------------------------------------------------------


def _stale(case: _Case) -> str:
    age_s, heartbeat_s = case.at_s - case.feed.updated_at_s, case.rules.heartbeat_s
    return f"{age_s} s old, heartbeat {heartbeat_s} s" if case.feed.updated_at_s and age_s > heartbeat_s else ""


def _clamped(case: _Case) -> str:
    feed = case.feed
    if feed.least and 0 < feed.answer <= feed.least:
        return f"the answer {feed.answer} is at the aggregator's least, {feed.least}"
    if feed.most and feed.answer >= feed.most:
        return f"the answer {feed.answer} is at the aggregator's most, {feed.most}"
    return f"{_shown(feed, feed.price)} is as high as its source lets it be" if feed.capped else ""


def _jumped(case: _Case) -> str:
    """Where the pools have moved along it is a crash, not an error."""
    feed, rules = case.feed, case.rules
    if case.traded and _apart_bps(feed.price, case.traded, rules) <= rules.max_apart_bps:
        return ""
    return _excess(case, feed.before, rules.max_jump_bps, f"was {_shown(feed, feed.before)} before") if feed.before else ""


def _apart(case: _Case) -> str:
    if case.traded is None:
        return ""
    mean, now = (_shown(case.feed, price) for price in case.traded)
    theirs = _theirs(case.feed.price, case.traded, case.rules)
    return _excess(case, theirs, case.rules.max_apart_bps, f"pools say {mean} on average and {now} now")


def _disagreeing(case: _Case) -> str:
    if not case.second:
        return ""
    return _excess(case, case.second, case.rules.max_disagree_bps, f"the second source says {_shown(case.feed, case.second)}")


_DOUBTS: Mapping[Check, Callable[[_Case], str]] = {
    Check.STALE: _stale,
    Check.CLAMP: _clamped,
    Check.JUMP: _jumped,
    Check.APART: _apart,
    Check.DISAGREE: _disagreeing,
}


def _excess(case: _Case, reference: int, limit_bps: int, words: str) -> str:
    """The price against a reference, if it is further off than allowed."""
    found_bps = _gap_bps(case.feed.price, reference)
    return f"{_shown(case.feed, case.feed.price)}, {words}: {found_bps} bps, {limit_bps} allowed" if found_bps > limit_bps else ""


def _apart_bps(price: int, traded: Traded, rules: Rules) -> int:
    return _gap_bps(price, _theirs(price, traded, rules))


def _theirs(price: int, traded: Traded, rules: Rules) -> int:
    """The nearest price that is the pools' own. A mean lags behind a crash, so all between it and where they stand now is theirs."""
    low, high = sorted(traded) if rules.spot_confirms else (traded.mean, traded.mean)
    return min(max(price, low), high)


def _gap_bps(price: int, reference: int) -> int:
    """Rounded up: what is over a limit by a hair is over it."""
    return -(-abs(price - reference) * BPS // max(reference, 1))


def same_currency(one: PriceFeed, other: PriceFeed) -> bool:
    """Whether their units differ in decimals at most."""
    return one.unit.rpartition("-")[0] == other.unit.rpartition("-")[0]


def in_unit(price: int, of: PriceFeed, wanted: PriceFeed) -> int:
    """A price with the decimals of another one's."""
    has, wants = (int(feed.unit.rpartition("-")[2]) for feed in (of, wanted))
    return int(price * 10**wants // 10**has)


def _shown(feed: PriceFeed, price: int) -> str:
    """With ten digits, and all before the point."""
    currency, _, decimals = feed.unit.rpartition("-")
    whole, rest = divmod(price, 10 ** int(decimals))
    fraction = f"{rest:0{decimals}}"[: max(10 - len(str(whole)), 0)].rstrip("0")
    shown = f"{whole}.{fraction}" if fraction else str(whole)
    return shown if currency.startswith("0x") else f"{shown} {currency}"
