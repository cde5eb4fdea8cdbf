"""What it takes to win: how likely a bid is more than anybody else's, learned from what won. Pure.

A race that somebody else won tells what he paid; one that we won tells only that nobody paid more than we did. The chance of a bid is
estimated from both by the product-limit rule for values known to be at most something (Kaplan and Meier, turned around). What was seen
fades; what never fades is a small prior, drawn anew after each race: where it happens to say that less would do, and little that was seen
contradicts it, less is tried (Thompson's rule). Equal races, equal draws.

Rivals either offer a share of the profit, or a tip that has little to do with it. Whichever varied less in a bucket is what is believed
to repeat. Within a bucket the chance hangs on nothing else, so a bid never falls as the value rises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from keeper.bidding.channels import Channel

PPM = 10**6
"""A share of the value is kept in millionths."""

PRIOR_PPM = (0, 50_000, 200_000, 400_000, 600_000, 800_000, 900_000)
"""What the best of the others is believed to offer before anything was seen,"""

TIED_PPM = (0, 200_000, 400_000, 500_000, 700_000, 800_000, 950_000)
"""the same where losing costs nothing: there the others offer more,"""

PRIOR_WEIGHT = 0.3
"""together as much as so many races."""

OF_ALL_SIZES = 8.0
"""A bucket that has seen nothing believes in its market's other sizes as much as in so many races of its own; less with each it sees."""

KNOWN = 12
"""Before so many of its own, nothing is tried in a bucket but where that costs little."""

DEARER = 0.5
"""A race that we won counts half as much with each bucket that another is dearer."""

FADING_SEEN, FADING_WON = 0.99, 0.995
"""A race counts so much less with each later one in which a rival's offer was seen, or was not."""

RUN, UNLIKELY = 6, 1e-5
"""After so many offers in a row which, by what was seen before, were so unlikely to be so high, that is forgotten: others are at work."""

REMEMBERED = 512
STEADY = 4
"""From so few sightings on, what rivals hold steady is told apart."""

OUTBID_PPM = 1_000
"""A rival is outbid by a thousandth: his share is measured by our estimate of the value, which is off by more than a wei."""

BUCKET_BITS = 2
"""A bucket reaches from one value to four times that."""


class Key(NamedTuple):
    """Races that are alike. `bucket`: of the value; -1: of all sizes."""

    market: str
    channel: str
    bucket: int


@dataclass(frozen=True, slots=True)
class Race:
    """One liquidation that somebody made. `value_wei`: the most we could have paid for the place; `gas`: that we would have used;
    `tip_wei`: per gas, what the winner paid in priority fee and otherwise. `ours`: we won, so the others offered at most that."""

    market: str
    channel: str
    value_wei: int
    gas: int
    tip_wei: int
    ours: bool = False


class Sighting(NamedTuple):
    """What the best of the others offered, or at most did: as a share of our value and as a tip per gas. `bucket`: of the value."""

    share_ppm: int
    tip_wei: int
    exact: bool
    bucket: int = 0


class Chance(NamedTuple):
    """A bid, and how likely it is to win. `amount`: a share in millionths, or wei per gas."""

    amount: int
    wins: float


class Curve(NamedTuple):
    """Bids worth considering, the highest first, each with its chance. In between nothing is gained. `by_share`: amounts are shares of the
    value, not tips."""

    by_share: bool
    chances: tuple[Chance, ...]


def bucket_of(value_wei: int) -> int:
    return max(value_wei, 1).bit_length() // BUCKET_BITS


def middle_of(bucket: int) -> int:
    """A value in the middle of those in the bucket, in wei."""
    return 1 << max(bucket * BUCKET_BITS, 0)


PRIOR = tuple(Sighting(share_ppm, 0, True) for share_ppm in PRIOR_PPM)
TIED = tuple(Sighting(share_ppm, 0, True) for share_ppm in TIED_PPM)


class _Memory:
    """The races of one key, the newest last."""

    def __init__(self) -> None:
        self.seen: deque[Sighting] = deque(maxlen=REMEMBERED)
        self.turn = 0

    def add(self, sighting: Sighting) -> None:
        self.seen.append(sighting)
        self.turn += 1
        before, run = list(self.seen)[:-RUN], list(self.seen)[-RUN:]
        if len(before) >= RUN and all(known.exact for known in run):
            least = min(known.share_ppm for known in run)
            as_high = sum(known.share_ppm >= least for known in before) / len(before)
            if as_high**RUN < UNLIKELY:
                self.seen = deque(run, maxlen=REMEMBERED)

    def weighed(self, most: float | None = None) -> list[tuple[Sighting, float]]:
        """Each with its weight: together at most so much."""
        weight, found = 1.0, list[tuple[Sighting, float]]()
        for sighting in reversed(self.seen):
            found.append((sighting, weight))
            weight *= FADING_SEEN if sighting.exact else FADING_WON
        total = sum(weight for _, weight in found)
        scale = 1.0 if most is None or total <= most else most / total
        return [(sighting, weight * scale) for sighting, weight in found]


class Odds:
    """What won so far, by market, size and channel."""

    def __init__(self) -> None:
        self._memories: dict[Key, _Memory] = {}
        self._curves: dict[Key, Curve] = {}

    def observe(self, race: Race) -> None:
        """One that was worth nothing to us tells nothing."""
        if race.value_wei <= 0 or race.gas <= 0:
            return
        share_ppm = min(race.tip_wei * race.gas * PPM // race.value_wei, PPM)
        for bucket in (bucket_of(race.value_wei), -1):
            key = Key(race.market, race.channel, bucket)
            self._memories.setdefault(key, _Memory()).add(Sighting(share_ppm, race.tip_wei, not race.ours, bucket_of(race.value_wei)))
        self._curves.clear()

    def curve(self, market: str, channel: str, value_wei: int) -> Curve:
        key = Key(market, channel, bucket_of(value_wei))
        if key not in self._curves:
            self._curves[key] = self._learned(key)
        return self._curves[key]

    def _learned(self, key: Key) -> Curve:
        own, whole = self._memories.get(key, _Memory()), self._memories.get(key._replace(bucket=-1), _Memory())
        weighed = own.weighed()
        by_share = _by_share([sighting for sighting, _ in weighed if sighting.exact])
        if by_share:
            others = whole.weighed(OF_ALL_SIZES * OF_ALL_SIZES / (OF_ALL_SIZES + len(own.seen)))
            weighed += [(sighting, weight * _telling(sighting, key.bucket)) for sighting, weight in others]
            weighed += _drawn(key, own.turn if own.turn >= KNOWN or self._cheap(key) else 0)
            return Curve(True, tuple(_chances(weighed, lambda sighting: sighting.share_ppm)))
        return Curve(False, tuple(_chances([*weighed, (PRIOR[0], PRIOR_WEIGHT)], lambda sighting: sighting.tip_wei)))

    def _cheap(self, key: Key) -> bool:
        """Whether it is worth a quarter of most races of its kind, or less: to try something here costs little, and others learn of it."""
        alike = [(other.bucket, len(memory.seen)) for other, memory in self._memories.items() if other[:2] == key[:2] and other.bucket >= 0]
        return (key.bucket + 1) * sum(count for _, count in alike) <= sum(bucket * count for bucket, count in alike)

    # --- to be kept

    def state(self) -> list[dict[str, Any]]:
        """What was seen, for `restore`."""
        return [
            {**key._asdict(), "turn": memory.turn, "seen": [list(sighting) for sighting in memory.seen]}
            for key, memory in self._memories.items()
        ]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Raises TypeError, ValueError or LookupError, and changes nothing, for anything that `state` has not made."""
        memories: dict[Key, _Memory] = {}
        for item in state:
            memory = memories.setdefault(Key(str(item["market"]), str(item["channel"]), int(item["bucket"])), _Memory())
            memory.turn = int(item["turn"])
            memory.seen.extend(Sighting(int(share), int(tip), bool(exact), *map(int, of)) for share, tip, exact, *of in item["seen"])
        self._memories, self._curves = memories, {}


def _telling(sighting: Sighting, bucket: int) -> float:
    """How much it says about races of another size: the dearer, the more want it, so that what was had cheaply there tells little."""
    return 1.0 if sighting.exact else DEARER ** max(bucket - sighting.bucket, 0)


def _drawn(key: Key, turn: int) -> list[tuple[Sighting, float]]:
    """One of the worlds that the prior allows, each as often as it is likely; the prior itself, for who has seen nothing."""
    prior = PRIOR if Channel(key.channel).lost_gas else TIED
    weights = np.full(len(prior), PRIOR_WEIGHT / len(prior))
    if turn:
        weights = np.random.Generator(np.random.PCG64([crc32(repr(key).encode()), turn])).standard_gamma(weights)
    return [(sighting, float(weight)) for sighting, weight in zip(prior, weights, strict=True)]


def _by_share(exact: Sequence[Sighting]) -> bool:
    """Whether rivals rather repeat their share of the value than their tip."""
    if len(exact) < STEADY:
        return True
    return _spread(sighting.share_ppm for sighting in exact) <= _spread(sighting.tip_wei for sighting in exact)


def _spread(amounts: Iterable[int]) -> float:
    """Variance of the logarithm."""
    logs = [log(max(amount, 1)) for amount in amounts]
    mean = sum(logs) / len(logs)
    return sum((value - mean) ** 2 for value in logs) / len(logs)


def _chances(weighed: list[tuple[Sighting, float]], amount_of: Callable[[Sighting], int]) -> Iterator[Chance]:
    """The product-limit estimate at a step above each sighting, and at nothing at all."""
    ordered = sorted(weighed, key=lambda item: (-amount_of(item[0]), not item[0].exact))
    wins, left = 1.0, sum(weight for _, weight in ordered)
    for sighting, weight in ordered:
        amount = amount_of(sighting)
        if sighting.exact:
            if amount:
                yield Chance(amount + amount * OUTBID_PPM // PPM + 1, wins)
            wins *= max(1.0 - weight / left, 0.0) if amount and left > 0 else 1.0
        left -= weight
    yield Chance(0, wins)
