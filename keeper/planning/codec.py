"""Plans as JSON text: what the outbox keeps, so that a result can be explained after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from keeper.types import LIQUIDATE, Address, Funding, FundingKind, Plan, PoolKey, Sale


def dump_plan(plan: Plan) -> dict[str, Any]:
    """JSON-ready; integers as strings."""
    return {
        "market": plan.market,
        "account": plan.account,
        "debt_token": plan.debt_token,
        "collateral_token": plan.collateral_token,
        "cover": str(plan.cover),
        "funding": {
            "kind": str(plan.funding.kind),
            "source": plan.funding.source,
            "token": plan.funding.token,
            "amount": str(plan.funding.amount),
            "fee": str(plan.funding.fee),
        },
        "route": _pools(plan.route),
        "profit_token": plan.profit_token,
        "kind": plan.kind,
        "target": plan.target,
        "by": plan.by,
        "sides": [[_pools(side.route), str(side.amount_in)] for side in plan.sides],
    }


def load_plan(data: dict[str, Any]) -> Plan:
    funding = data["funding"]
    return Plan(
        market=data["market"],
        account=Address(data["account"]),
        debt_token=Address(data["debt_token"]),
        collateral_token=Address(data["collateral_token"]),
        cover=int(data["cover"]),
        funding=Funding(
            FundingKind(funding["kind"]),
            Address(funding["source"]),
            Address(funding["token"]),
            int(funding["amount"]),
            int(funding["fee"]),
        ),
        route=_route(data["route"]),
        profit_token=Address(data["profit_token"]),
        kind=data.get("kind", LIQUIDATE),  # plans of a version that knew no other
        target=data.get("target", ""),
        by=data.get("by", ""),
        sides=tuple(Sale(_route(route), int(amount_in)) for route, amount_in in data.get("sides", ())),
    )


def _pools(route: Sequence[PoolKey]) -> list[list[Any]]:
    return [[pool.venue, pool.address, pool.token0, pool.token1, pool.fee_pips] for pool in route]


def _route(pools: Sequence[Sequence[Any]]) -> tuple[PoolKey, ...]:
    return tuple(PoolKey(venue, Address(address), Address(t0), Address(t1), fee) for venue, address, t0, t1, fee in pools)


def plan_text(plan: Plan) -> str:
    return orjson.dumps(dump_plan(plan)).decode()


def plan_of(text: str) -> Plan:
    return load_plan(orjson.loads(text))
