"""`keeper why ADDRESS`: an account's health, what would liquidate it, and what the keeper decided about it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import groupby
from typing import Any

from keeper.app import Chain, ledger_path, open_chain
from keeper.coming import due_at
from keeper.commands.output import decimal, in_unit, percent, price_in_unit
from keeper.commands.prices import price_rows
from keeper.commands.progress import backfill_progress
from keeper.config import Settings
from keeper.errors import ConfigError, Skip
from keeper.ledger.reading import reading
from keeper.outlook import Outlook, Prospect, assumption, finite, outlook
from keeper.ports import Market
from keeper.risk.greeks import Greek
from keeper.risk.liquidation_price import LiquidationPrice, liquidation_prices
from keeper.risk.watch import Candidate
from keeper.types import Address, FundingKind, Health, Leg, Outcome

Row = dict[str, Any]

NO_POSITION = "no position"

WAYS = {
    FundingKind.NONE: "without a loan",
    FundingKind.CALLBACK: "out of the proceeds",
    FundingKind.FLASH_LOAN: "by flash loan",
    FundingKind.FLASH_SWAP: "by flash swap",
}


async def why(settings: Settings, address: Address, market: str | None = None) -> AsyncIterator[Row]:
    """Rows of kind "health", "leg", "liquidation_price", "greek", "hazard", "clock", "now", "decision", by market that knows it."""
    _known_market(settings, market)
    return _rows(settings, address, market)


def _known_market(settings: Settings, market: str | None) -> None:
    names = [item.name for chain in settings.chains for item in chain.markets]
    if market is not None and market not in names:
        raise ConfigError(f"no market is named {market!r}: there are {', '.join(names)}")


async def _rows(settings: Settings, address: Address, only: str | None) -> AsyncIterator[Row]:
    for named in settings.chains:
        with backfill_progress() as progress:
            async with open_chain(settings, named, progress, owned=False) as chain:
                await chain.catch_up()
                ahead = await outlook(chain)
                found = [row for market in chain.markets if only in (None, market.name) for row in _explain(chain, market, address, ahead)]
                found = [row for row in found if row["text"] != NO_POSITION] or found
        for row in found:
            yield row
        async for row in _decisions(settings, named.name, address, only):
            yield row


def _explain(chain: Chain, market: Market, address: Address, ahead: Outlook) -> list[Row]:
    """At the block a transaction sent now would land in."""
    landing = chain.landing(chain.head)
    health = market.health(chain.view, address, landing.timestamp_s)
    base = {"market": market.name, "account": address, "block": landing.number}
    if not health.legs:
        return [{"kind": "health", **base, "text": NO_POSITION}]
    return [
        {"kind": "health", **base, **_health(health)},
        *({"kind": "leg", **base, **_leg(leg, health.unit)} for leg in health.legs),
        *({"kind": "liquidation_price", **base, **_price(found, health.unit)} for found in liquidation_prices(health)),
        *({"kind": kind, **base, **row} for kind, row in _ahead(ahead.prospect(market, chain.view, health), health)),
        *({"kind": "clock", **base, **row} for row in _clock(market, chain, health)),
        *({"kind": "price", **base, **row} for row in price_rows(chain, market, (leg.token for leg in health.legs)) if row["doubts"]),
        {"kind": "now", **base, **_now(chain, market, health)},
    ]


def _health(health: Health) -> Row:
    figures = {
        "health_factor_wad": health.health_factor_wad,
        "liquidatable": health.liquidatable,
        "weighted_collateral": health.weighted_collateral,
        "debt": health.debt,
        "unit": health.unit,
    }
    if not health.debt:
        return {**figures, "text": "owes nothing"}
    verdict = "liquidatable" if health.liquidatable else "healthy"
    return {**figures, "text": f"{verdict}: health factor {decimal(health.health_factor_wad, 18, 6)}"}


def _leg(leg: Leg, unit: str) -> Row:
    threshold = f", counted at {leg.threshold_bps / 100:.2f} %" if leg.side == "collateral" else ""
    return {
        "token": leg.token,
        "symbol": leg.symbol,
        "side": leg.side,
        "amount": leg.amount,
        "value": leg.value,
        "threshold_bps": leg.threshold_bps,
        "text": f"{leg.side} {decimal(leg.amount, leg.decimals, 6)} {leg.symbol}, worth {in_unit(leg.value, unit)}{threshold}",
    }


def _price(found: LiquidationPrice, unit: str) -> Row:
    text = f"{found.symbol} at {price_in_unit(found.price, unit)}, {found.move_bps / 100:+.2f} % from now"
    return {"token": found.token, "symbol": found.symbol, "price": found.price, "move_bps": found.move_bps, "text": text}


def _ahead(prospect: Prospect, health: Health) -> Iterator[tuple[str, Row]]:
    """What prices do to an account that owes something."""
    if health.debt:
        yield from (("greek", _greek(greek, health.unit)) for greek in prospect.greeks.per_price)
        yield "hazard", _hazard(prospect)


def _clock(market: Market, chain: Chain, health: Health) -> Iterator[Row]:
    """What time alone does to it within a day."""
    due_s = due_at(market, chain.view, health.account, health.timestamp_s) if health.debt else None
    if due_s is not None:
        in_s = due_s - chain.head.timestamp_s
        yield {"due_at": due_s, "due_in_s": in_s, "text": f"liquidatable by time alone in {in_s} s, at {due_s}"}


def _greek(greek: Greek, unit: str) -> Row:
    """Per 1 % of the price."""
    surplus = f"{'+' if greek.surplus_delta > 0 else ''}{in_unit(round(greek.surplus_delta), unit)}"
    bends = f" (and that by {greek.health_gamma:+.6f})" if greek.health_gamma else ""
    far = "" if math.isinf(greek.distance_sigma) else f"; {abs(greek.distance_sigma):,.2f} sigmas of a day to liquidation"
    return {
        "token": greek.token,
        "symbol": greek.symbol,
        "surplus_delta": greek.surplus_delta,
        "surplus_gamma": greek.surplus_gamma,
        "health_delta": greek.health_delta,
        "health_gamma": greek.health_gamma,
        "distance_sigma": finite(greek.distance_sigma),
        "text": f"{greek.symbol} +1 %: surplus {surplus}, health factor {greek.health_delta:+.6f}{bends}{far}",
    }


def _hazard(prospect: Prospect) -> Row:
    (hour, day), sigma = prospect.hazards, prospect.greeks.distance_sigma
    text = f"{percent(hour)} within 1 h, {percent(day)} within 24 h; {sigma:,.2f} sigmas of a day to liquidation"
    note = assumption(prospect.assumed)
    found = {"distance_sigma": finite(sigma), "hazard_1h": hour, "hazard_24h": day, "assumed": prospect.assumed}
    return {**found, "text": f"{text} ({note})" if note else text}


def _now(chain: Chain, market: Market, health: Health) -> Row:
    """What the keeper would do at this head."""
    if not health.liquidatable:
        return {"decision": "nothing", "reason": "healthy", "text": "nothing to do: healthy"}
    landing = chain.landing(chain.head)
    made, rejected = chain.planner.block([Candidate(market, health.account, health)], chain.view, landing)
    for why in rejected:
        return {"decision": "skip", "reason": why.reason, "text": f"would be left alone: {Skip(why.reason, why.detail)}"}
    best, more = made[0], len(made) - 1
    net_wei = chain.planner.net_wei(best, chain.planner.gas_price_wei(landing))
    legs = {leg.token: leg for leg in health.legs}
    repaid, seized = (
        f"{decimal(amount, legs[token].decimals, 6)} {legs[token].symbol}"
        for amount, token in ((best.repaid, best.plan.debt_token), (best.seized, best.plan.collateral_token))
    )
    text = f"would repay {repaid} for {seized} {WAYS[best.plan.funding.kind]}, netting {decimal(net_wei, 18, 6)} eth after gas"
    text += f"; and again, {more} more" if more else ""
    return {"decision": "liquidate", "reason": "", "net_eth_wei": net_wei, "text": text}


async def _decisions(settings: Settings, chain: str, address: Address, only: str | None) -> AsyncIterator[Row]:
    """What a daemon on this data_dir decided, newest last; the same one in a row once."""
    named = next(item for item in settings.chains if item.name == chain)
    async with reading(ledger_path(settings, named), named.chain_id) as book:
        outcomes = await book.outcomes_of(address) if book else []
    for (market, text, tx), run in groupby((one for one in _oldest_first(outcomes) if only in (None, one.market)), _said):
        *before, last = run
        again = f" (and {len(before)} times since block {before[0].block})" if before else ""
        decided = {"decision": str(last.verdict), "reason": last.reason, "tx": tx, "text": text + again}
        yield {"kind": "decision", "market": market, "account": address, "block": last.block, **decided}


def _oldest_first(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda outcome: (outcome.block, outcome.market))


def _said(outcome: Outcome) -> tuple[str, str, str | None]:
    net = f"net {decimal(outcome.net_wei, 18, 6)} eth" if outcome.net_wei else ""
    return outcome.market, " ".join(part for part in (str(outcome.verdict), outcome.reason, outcome.detail, net) if part), outcome.tx
