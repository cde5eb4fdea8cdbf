"""Prices composed of feeds, as MorphoChainlinkOracleV2 composes them, and what they make tokens worth in US dollars.

An oracle's own word, read at every head, is its price. What its feeds say between heads is passed on as long as the two agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from keeper.adapters.morpho_blue.cells import Cells, Deployment, Params
from keeper.adapters.morpho_blue.codec import to_address
from keeper.book.state import Overlay
from keeper.ports import View
from keeper.types import Address, Write

BASE, QUOTE = ("base1", "base2"), ("quote1", "quote2")
SIDES = (*BASE, *QUOTE)
MADE_OF = frozenset({*SIDES, "scale", "opaque"})
VALUED_BY = frozenset({"valued", "feed1", "feed2"})
DOLLAR = 10**8


def oracles(cells: Cells, view: View) -> dict[Address, list[Params]]:
    """Every oracle of a market that is followed, with its markets."""
    found: dict[Address, list[Params]] = {}
    for number in cells.numbers(view):
        params = cells.params(view, cells.id_of(view, number))
        found.setdefault(params.oracle, []).append(params)
    return found


def tokens(deployment: Deployment, cells: Cells, view: View) -> dict[Address, None]:
    """The trusted ones, and those of listed markets, each once: also before there is a market, for venues look for their pools."""
    policy = deployment.policy
    followed = [cells.id_of(view, number) for number in cells.numbers(view)]
    listed = [market for market in cells.waiting_ids(view) if market in policy.markets]
    of_markets = (cells.params(view, market) for market in (*followed, *listed))
    return dict.fromkeys((*sorted(policy.tokens), *(token for params in of_markets for token in (params.loan, params.collateral))))


def feeds_of(cells: Cells, view: View, oracle: str, sides: Iterable[str] = SIDES) -> list[Address]:
    """Those it is composed of; none for one that is opaque."""
    found = [cells.of_oracle(view, oracle, side) for side in sides]
    return [to_address(feed) for feed in found if feed]


def all_feeds(deployment: Deployment, cells: Cells, view: View) -> dict[Address, None]:
    """The trusted ones, and those of listed markets."""
    used = (feed for oracle in oracles(cells, view) for feed in feeds_of(cells, view, oracle))
    return dict.fromkeys((*sorted({feed for known in deployment.policy.feeds.values() for feed in known}), *used))


class Fed(NamedTuple):
    """What hangs on one aggregator: the feeds that pass its answers on, the oracles composed of them, the tokens they value."""

    feeds: tuple[Address, ...]
    oracles: tuple[Address, ...]
    tokens: tuple[Address, ...]


def fed(deployment: Deployment, cells: Cells, view: View) -> Mapping[Address, Fed]:
    """By aggregator."""
    emitters: dict[Address, list[Address]] = defaultdict(list)
    for feed in all_feeds(deployment, cells, view):
        aggregator = cells.of_feed(view, feed, "aggregator")
        if aggregator:
            emitters[to_address(aggregator)].append(feed)
    composed_of = {oracle: set(feeds_of(cells, view, oracle)) for oracle in oracles(cells, view)}
    valued_by = {token: set(feeds_valuing(cells, view, token)) for token in tokens(deployment, cells, view)}
    return {
        aggregator: Fed(
            tuple(feeds), *(tuple(who for who, of in users.items() if of.intersection(feeds)) for users in (composed_of, valued_by))
        )
        for aggregator, feeds in emitters.items()
    }


def feeds_valuing(cells: Cells, view: View, token: str) -> list[Address]:
    return [to_address(feed) for field in ("feed1", "feed2") if (feed := cells.of_token(view, token, field))]


# --- what feeds say -----------------------------------------------------------------------------------------------


def composed(cells: Cells, view: View, oracle: str) -> int | None:
    """The price its feeds make; None when one has no answer, or it is opaque."""
    return made(cells, view, [cells.of_oracle(view, oracle, field) for field in (*SIDES, "scale")])


def sides(composition: Sequence[int]) -> tuple[list[Address], list[Address]]:
    """(the feeds that price the collateral, those that price the loan token)"""
    base, quote = ([to_address(feed) for feed in side if feed] for side in (composition[:2], composition[2:4]))
    return base, quote


def made(cells: Cells, view: View, composition: Sequence[int]) -> int | None:
    """The price of four feeds (0 for none) and a scale; None when a feed has no answer."""
    base, quote = (product(cells, view, side) for side in sides(composition))
    scale = composition[4]
    return scale * base // quote if scale and base and quote else None


def worth(cells: Cells, view: View, token: str) -> int | None:
    """Of a whole token in US dollars with 8 decimals, by its feeds; None when it has none, or one has no answer."""
    if not cells.of_token(view, token, "valued"):
        return None
    feeds = feeds_valuing(cells, view, token)
    decimals = sum(max(cells.of_feed(view, feed, "decimals") - 1, 0) for feed in feeds)
    return DOLLAR * product(cells, view, feeds) // 10**decimals or None


def product(cells: Cells, view: View, feeds: Iterable[Address]) -> int:
    product = 1
    for feed in feeds:
        product *= cells.of_feed(view, feed, "answer")
    return product


# --- when they speak ----------------------------------------------------------------------------------------------


def answered(cells: Cells, view: View, fed: Fed, answer: int, at_s: int) -> list[Write]:
    """An answer, and all that follows from it."""
    state = Overlay(view)
    for feed in fed.feeds:
        state.write([(cells.feed, (feed, "answer"), answer), (cells.feed, (feed, "at"), at_s)])
    for oracle in fed.oracles:
        price = composed(cells, state, oracle)
        if price and not cells.of_oracle(state, oracle, "distrusted"):
            state.write([(cells.oracle, (oracle, "price"), price)])
    for token in fed.tokens:
        state.write(valued(cells, state, token, worth(cells, state, token)))
    return state.writes()


def valued(cells: Cells, view: View, token: str, price: int | None) -> list[Write]:
    """A token's worth, and the one before if it moved."""
    last = cells.of_token(view, token, "price")
    if price is None or price == last:
        return []
    return [(cells.token, (token, "price"), price), (cells.token, (token, "before"), last)]


def repriced(deployment: Deployment, cells: Cells, view: View, prices: Mapping[Address, int]) -> list[Write]:
    """The cells that make these prices: each token's in dollars, and each oracle's in proportion."""
    state = Overlay(view)
    for token in tokens(deployment, cells, view):
        if token in prices:
            state.write([(cells.token, (token, "price"), prices[token])])
    for oracle, markets in oracles(cells, view).items():
        state.write([(cells.oracle, (oracle, "price"), _scaled(cells, view, state, oracle, markets[0]))])
    return state.writes()


def _scaled(cells: Cells, before: View, after: View, oracle: str, params: Params) -> int:
    """A price as much higher as the collateral's, and as much lower as the loan's."""
    (old, new), (loan_old, loan_new) = (
        [cells.of_token(view, token, "price") for view in (before, after)] for token in (params.collateral, params.loan)
    )
    price = cells.of_oracle(before, oracle, "price")
    return price * new * loan_old // (old * loan_new) if old and loan_new else price
