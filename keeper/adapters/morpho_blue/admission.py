"""Which markets are let in, once what stands behind their oracle is known; all others are forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keeper.adapters.morpho_blue import backoff, prices
from keeper.adapters.morpho_blue.cells import FIELDS, FIRST, PARAMS, WAIT, WAITING_ROOM, Cells, Deployment, Params
from keeper.adapters.morpho_blue.codec import selector, to_address
from keeper.adapters.morpho_blue.prices import BASE, QUOTE, SIDES, made, sides
from keeper.book.state import Overlay
from keeper.ports import View
from keeper.types import Address, Key, Write

GETTERS = tuple(
    selector(f"{name}()")
    for name in ("BASE_FEED_1", "BASE_FEED_2", "QUOTE_FEED_1", "QUOTE_FEED_2", "SCALE_FACTOR", "BASE_VAULT", "QUOTE_VAULT")
)
"""What an oracle composed of feeds answers: the feeds, the scale, and vaults, whose rate no event tells."""


PRICE_DECIMALS = 36
"""Of a price, beside what the loan token has more than the collateral."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A market that waits, and the keys of the positions that wait with it."""

    params: Params
    positions: tuple[Key, ...]


def admit(
    deployment: Deployment, cells: Cells, view: View, newcomer: Newcomer, made_of: Sequence[int | None], price: int | None
) -> list[Write]:
    """`made_of`: the oracle's words for `GETTERS`; `price`: its price. Nothing is written while nothing is decided."""
    composition, market = _composition(made_of), newcomer.params.id
    welcome = market in deployment.policy.markets or _trusted(deployment, cells, view, newcomer.params, composition, price)
    if welcome is None:
        return backoff.failed(cells.param, market, view)
    if not welcome:
        return list(_forgotten(cells, newcomer))
    return [(cells.param, (market, "approved"), 1), *_made_of(cells, newcomer.params.oracle, composition)]


def seated(deployment: Deployment, cells: Cells, newcomers: Sequence[Newcomer], view: View) -> list[Write]:
    """Numbers for those that are approved, as far as there are some: for the listed ones first, then by what is owed. An empty market costs
    nothing to open, so the order in which they came says nothing."""
    policy, state = deployment.policy, Overlay(view)
    approved = [newcomer for newcomer in newcomers if cells.of_wait(view, newcomer.params.id, "approved")]
    owed = {newcomer.params.id: owed_usd8(cells, view, newcomer.params) for newcomer in approved}
    ranked = sorted(approved, key=lambda one: (one.params.id not in policy.markets, -owed[one.params.id], one.params.id))
    left = []
    for newcomer in ranked:
        market, number = newcomer.params.id, len(cells.numbers(state))
        due = market in policy.markets or owed[market] >= policy.least_borrowed_usd * prices.DOLLAR
        if due and number < policy.most_markets:
            state.write([*_numbered(cells, newcomer, number), *_moved_in(cells, state, newcomer, number)])
        else:
            left.append(newcomer)
    for newcomer in left[WAITING_ROOM:]:
        state.write(_forgotten(cells, newcomer))
    return state.writes()


def owed_usd8(cells: Cells, view: View, params: Params) -> int:
    """What a market's borrowers owe, by the feeds of its oracle that price the loan token; one without feeds is a dollar."""
    feeds = prices.feeds_of(cells, view, params.oracle, QUOTE)
    decimals = sum(max(cells.of_feed(view, feed, "decimals") - 1, 0) for feed in feeds) + cells.decimals(view, params.loan)
    return int(prices.DOLLAR * cells.totals(view, params.id).borrowed * prices.product(cells, view, feeds) // 10**decimals)


def left_out(deployment: Deployment, cells: Cells, view: View) -> str | None:
    """Why markets that the policy allows are not followed, for people; None if none is."""
    ids = cells.waiting_ids(view)
    unheard = sum(1 for market in ids if cells.of_wait(view, market, "tries"))
    full, policy = len(cells.numbers(view)) >= deployment.policy.most_markets, deployment.policy
    least = policy.least_borrowed_usd * prices.DOLLAR
    large = [market for market in ids if cells.of_wait(view, market, "approved")] if full else []
    beyond = sum(1 for market in large if owed_usd8(cells, view, cells.params_of_newcomer(view, market)) >= least)
    said = [f"{beyond} markets are left out by most_markets = {policy.most_markets}"] if beyond else []
    said += [f"{unheard} markets wait for feeds that do not answer"] if unheard else []
    return "; ".join(said) or None


def _trusted(
    deployment: Deployment, cells: Cells, view: View, params: Params, composition: tuple[int, ...] | None, price: int | None
) -> bool | None:
    """An oracle that prices each token by feeds known to price it, in the right units, and says what they say. None before all of them
    have spoken."""
    if composition is None or not all(
        deployment.policy.believes(token, side) for token, side in zip((params.collateral, params.loan), sides(composition), strict=True)
    ):
        return False
    told, scale = made(cells, view, composition), _scale(cells, view, params, composition)
    return None if told is None or scale is None else (told, scale) == (price, composition[-1])


def _scale(cells: Cells, view: View, params: Params, composition: Sequence[int]) -> int | None:
    """What turns the feeds' decimals into those of a price; None before the decimals are known, 0 where no number does."""
    base, quote = sides(composition)
    known = [cells.of_feed(view, feed, "decimals") for feed in (*base, *quote)]
    known += [cells.of_token(view, token, "decimals") for token in (params.loan, params.collateral)]
    if not all(known):
        return None
    decimals = [number - 1 for number in known]
    of_base, of_quote = sum(decimals[: len(base)]), sum(decimals[len(base) : -2])
    exponent = PRICE_DECIMALS + decimals[-2] + of_quote - decimals[-1] - of_base
    return int(10**exponent) if exponent >= 0 else 0


def _composition(made_of: Sequence[int | None]) -> tuple[int, ...] | None:
    """Feeds and scale; None for an oracle that is made of something else."""
    words = [word for word in made_of if word is not None]
    scale, vaults = words[4:5], words[5:]
    return tuple(words[:5]) if len(words) == len(GETTERS) and any(words[:4]) and all(scale) and not any(vaults) else None


def _numbered(cells: Cells, newcomer: Newcomer, number: int) -> list[Write]:
    market = newcomer.params.id
    return [
        (cells.known, (market,), FIRST + number),
        (cells.slot, (number,), int(market, 16)),
        (cells.market, ("numbers",), number + 1),
        *((cells.param, (market, field), 0) for field in WAIT),
    ]


def _made_of(cells: Cells, oracle: Address, composition: tuple[int, ...] | None) -> list[Write]:
    if composition is None:
        return [(cells.oracle, (oracle, "opaque"), 1)]
    return [(cells.oracle, (oracle, field), value) for field, value in zip((*SIDES, "scale"), composition, strict=True)]


def _moved_in(cells: Cells, view: View, newcomer: Newcomer, number: int) -> Iterator[Write]:
    for key in newcomer.positions:
        yield *cells.place(number, newcomer.params.id, int(key[1]), str(key[2])), view.get(cells.waiting, key)
        yield cells.waiting, key, 0


def _forgotten(cells: Cells, newcomer: Newcomer) -> Iterator[Write]:
    market = newcomer.params.id
    yield cells.known, (market,), 0
    yield from ((cells.param, (market, field), 0) for field in (*PARAMS, "block", *WAIT))
    yield from ((cells.total, (market, field), 0) for field in FIELDS)
    yield from ((cells.waiting, key, 0) for key in newcomer.positions)


# --- dollars ------------------------------------------------------------------------------------------------------


def valuations(deployment: Deployment, cells: Cells, view: View, params: Params) -> Iterator[Write]:
    """How a market's tokens are valued, as far as its oracle tells: each by the feeds of its side that end in dollars; a side without feeds
    is a dollar, if the other one is counted in dollars. Of tokens for which the policy knows feeds, no others tell."""
    policy = deployment.policy
    found = [[cells.of_oracle(view, params.oracle, name) for name in side] for side in (BASE, QUOTE)]
    ends = [next((feed for feed in reversed(side) if feed), 0) for side in found]
    dollars = [bool(feed) and cells.of_feed(view, to_address(feed), "dollars") == 1 for feed in ends]
    for token, side, own, other in zip((params.collateral, params.loan), found, dollars, reversed(dollars), strict=True):
        believed = token not in policy.tokens or policy.believes(token, [to_address(feed) for feed in side if feed])
        counts = believed and (own or (other and not any(side)))
        if counts and not cells.of_token(view, token, "valued"):
            first, second = sorted(side, reverse=True)
            yield from ((cells.token, (token, field), value) for field, value in {"valued": 1, "feed1": first, "feed2": second}.items())
