"""A prediction as the executor's calldata."""

from __future__ import annotations

from keeper.execution.executor import encode_execute
from keeper.planning.predict import Predictor
from keeper.types import Address, FundingKind, Prediction, Step

MIN_PROFIT_BPS = 9_900
"""On-chain floor as a share of the predicted profit: interest until the block it lands in may move it a little, a sandwich may not."""


def floor_of(prediction: Prediction) -> int:
    """The least profit with which the executor does not revert."""
    return prediction.profit * MIN_PROFIT_BPS // 10_000


def calldata(prediction: Prediction, predictor: Predictor, executor: Address) -> bytes:
    """`Executor.execute(…)` for this plan: guard, funding, the liquidation and the sales, the floor, the tokens to forward."""
    plan = prediction.plan
    market = predictor.markets[plan.market]
    sold = prediction.hops[:-1] if plan.funding.kind is FundingKind.FLASH_SWAP else prediction.hops
    steps: list[Step] = [*market.encode(prediction.fill, executor), *(predictor.router.encode(hop, executor) for hop in sold)]
    touched = {plan.debt_token, plan.collateral_token} | {hop.token_in for hop in prediction.hops}
    return encode_execute(
        market.guard(plan),
        plan.funding,
        _zero_for_one(prediction),
        steps,
        plan.profit_token,
        floor_of(prediction),
        sorted(touched - {plan.profit_token}),
    )


def _zero_for_one(prediction: Prediction) -> bool:
    plan = prediction.plan
    return plan.funding.kind is FundingKind.FLASH_SWAP and plan.route[-1].token0 == plan.profit_token
