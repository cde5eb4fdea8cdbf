"""What stands behind a market's prices, as rows: what `keeper why` and `keeper check` show of the guard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keeper.app import ChainState
from keeper.ports import Market
from keeper.risk.guard import Prices
from keeper.risk.sanity import PriceVerdict, Ruling
from keeper.types import Address

Row = dict[str, Any]


def price_rows(chain: ChainState, market: Market, tokens: Iterable[Address] | None = None) -> list[Row]:
    """One row per token (None: all of the market) at the block a transaction sent now would land in: price, what the pools and the second
    source say (in the market's unit; None: nobody can), the ruling and each doubt's figures."""
    prices = chain.prices()
    verdicts = prices.of(market) if tokens is None else prices.verdicts(market, tokens)
    return [_row(verdict) for verdict in verdicts]


def guard_check(chain: ChainState) -> tuple[bool, str, str]:
    """(ok, detail, fix): whether the guard's settings name what there is, and whether it lets every market trade; how many prices have a
    witness, and which are doubted."""
    policy, references = chain.guard.policy, chain.guard.references
    listed = {token for market in chain.markets for token in (*market.tokens(chain.view), *(f.token for f in market.feeds(chain.view)))}
    if strangers := [token for token in (*policy.anchors, *policy.tokens) if token not in listed]:
        return False, f"no market lists {', '.join(strangers)}", "correct the tokens and anchors of [chains.guard]"
    if silent := [source for source in references.addresses if references.price(chain.view, source, 0, 0) is None]:
        return False, f"no price from {', '.join(silent)}", "correct the second sources in [[chains.guard.tokens]]"
    prices = chain.prices()
    verdicts = [verdict for market in chain.markets for verdict in prices.of(market)]
    seen = sum(verdict.traded is not None for verdict in verdicts)
    doubted = dict.fromkeys(f"; {verdict.feed.symbol} {verdict.ruling}" for verdict in verdicts if verdict.findings)
    said = f"{len(verdicts)}, {seen} of them seen by pools{''.join(doubted)}"
    if idle := [market.name for market in chain.markets if _held(prices, market, chain.guard.native)]:
        return False, f"nothing is traded in {', '.join(idle)}, too much is held: {said}", "wait for better prices, or see [chains.guard]"
    return True, said, ""


def _held(prices: Prices, market: Market, native: Address) -> bool:
    """No plan can be made there: all prices are held, or that of the token by which every profit is weighed."""
    verdicts = prices.of(market)
    return any(map(_is_held, prices.verdicts(market, [native]))) or (bool(verdicts) and all(map(_is_held, verdicts)))


def _is_held(verdict: PriceVerdict) -> bool:
    return verdict.ruling.severity >= Ruling.HOLD.severity


def _row(verdict: PriceVerdict) -> Row:
    feed, traded = verdict.feed, verdict.traded
    doubts = "; ".join(f"{finding.check} ({finding.ruling}): {finding.detail}" for finding in verdict.findings)
    return {
        "token": feed.token,
        "symbol": feed.symbol,
        "unit": feed.unit,
        "price": feed.price,
        "updated_at_s": feed.updated_at_s or None,
        "traded_mean": traded.mean if traded else None,
        "traded_now": traded.now if traded else None,
        "second": verdict.second,
        "ruling": verdict.ruling.value,
        "doubts": {finding.check.value: finding.ruling.value for finding in verdict.findings},
        "text": f"{feed.symbol} {verdict.ruling}" + (f": {doubts}" if doubts else ""),
    }
