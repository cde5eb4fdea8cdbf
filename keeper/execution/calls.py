"""A prediction as the executor's calldata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from keeper.execution.account import wrapped
from keeper.execution.executor import encode_execute
from keeper.planning.predict import Predictor
from keeper.planning.routing import Router
from keeper.ports import CallbackMarket, Market
from keeper.types import ZERO_ADDRESS, Action, Address, Callback, Fill, FundingKind, Prediction, Step

MIN_PROFIT_BPS = 9_900
"""On-chain floor as a share of the predicted profit: interest until the block it lands in may move it a little, a sandwich may not."""


def floor_of(prediction: Prediction) -> int:
    """The least profit with which the executor does not revert."""
    return prediction.profit * MIN_PROFIT_BPS // 10_000


def calldata(prediction: Prediction, predictor: Predictor, executor: Address) -> bytes:
    """`Executor.execute(…)` for this plan: guard, funding, the liquidation and the sales, the floor, the tokens to forward."""
    plan = prediction.plan
    market = predictor.markets[plan.market]
    hops = chain(prediction.hops, *prediction.sides)
    touched = {plan.debt_token, plan.collateral_token} | {hop.token_in for hop in hops}
    return encode_execute(
        market.guard(plan),
        _actions(prediction, predictor, market, executor),
        plan.profit_token,
        floor_of(prediction),
        sorted(touched - {plan.profit_token}),
    )


def _actions(prediction: Prediction, predictor: Predictor, market: Market, executor: Address) -> tuple[Action, ...]:
    """Whoever pays first carries the rest in his callback."""
    funding, hops = prediction.plan.funding, prediction.hops
    deal, sales = _deal(prediction.fill, market, executor), tuple(_sales(prediction, predictor.router, executor))
    if funding.kind is FundingKind.FLASH_SWAP:
        head, inner = predictor.router.encode_flash(hops[-1], executor), (*deal, *sales[:-1])
        return (Step(funding.source, head, callback=Callback.PUSH, owed=hops[-1].token_in, inner=inner),)
    if funding.kind is FundingKind.FLASH_LOAN:
        head, inner = predictor.lenders[funding.source].encode_loan(funding, executor), (*deal, *sales)
        return (Step(funding.source, head, callback=Callback.PULL, owed=funding.token, inner=inner),)
    if funding.kind is FundingKind.CALLBACK and isinstance(market, CallbackMarket):
        head = market.callback(prediction.fill, executor)
        return (Step(funding.source, head, callback=Callback.PULL, owed=funding.token, inner=sales),)
    return (*deal, *sales)


def _sales(prediction: Prediction, router: Router, executor: Address) -> Iterator[Step]:
    """Each swap takes all there is of its token; but what is sold beside the route begins with exactly its amount."""
    for side in prediction.sides:
        first, *others = [router.encode(hop, executor) for hop in side]
        yield from (replace(first, amount_token=ZERO_ADDRESS), *others)
    yield from (router.encode(hop, executor) for hop in prediction.hops)


def _deal(fill: Fill, market: Market, executor: Address) -> tuple[Action, ...]:
    """By the executor itself, or by the account of ours that keeps what comes of it; what anybody may call the executor calls."""
    if not fill.by:
        return market.encode(fill, executor)
    account = Address(fill.by)
    return (*fill.before, wrapped(account, market.encode(fill, account)))
