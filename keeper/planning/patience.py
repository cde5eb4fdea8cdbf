"""Whether a bargain that gets better by the clock is to be taken in this block, or left for a later one.

Asked about the plan as it would be sent, on the state the plans before it leave, just before it is given its place among them: one that
waits is not there for those after it. Gas is the adapter's estimate at the least price: what the bid adds is a share of the profit, and
that makes no block better than another.
"""

from __future__ import annotations

from contextlib import suppress

from keeper.bidding.auction import AuctionModel, Standing
from keeper.errors import Skip
from keeper.fixedpoint import BPS
from keeper.planning.predict import Predictor
from keeper.ports import Auctioneer, Market, View
from keeper.types import Prediction

WAITING = "waiting"


class Patience:
    """`block_s`: from one block to the next."""

    def __init__(self, predictor: Predictor, model: AuctionModel, block_s: int) -> None:
        self._predictor, self._block_s = predictor, block_s
        self.model = model

    def require(self, market: Market, made: Prediction, view: View, gas_price_wei: int) -> None:
        """Raises Skip("waiting") for a deal that is better made later. `view`: the state the prediction is made on."""
        if not self.waits(market, made, view):
            return
        standing = self.standing(market, made, view, gas_price_wei)
        decision = self.model.decide(standing)
        if not decision.take:
            raise Skip(WAITING, f"margin {_margin(standing, standing.price_wei)} < {_margin(standing, decision.most_wei)} ({decision.by})")

    def waits(self, market: Market, made: Prediction, view: View) -> bool:
        """Whether there is anything to wait for."""
        return isinstance(market, Auctioneer) and market.falls(view, made.plan, made.timestamp_s)

    def standing(self, market: Market, made: Prediction, view: View, gas_price_wei: int) -> Standing:
        """The lot in the prediction's block; without what is promised, for that comes whoever buys. Raises Skip("no_price")."""
        price_wei = self._predictor.value_wei(market, view, made.plan.debt_token, made.repaid)
        left_wei, gain_wei = self._gained_wei(market, made, view), 0
        with suppress(Skip):
            later = self._predictor.predict(made.plan, view, made.timestamp_s + self._block_s)
            gain_wei = self._gained_wei(market, later, view) - left_wei
        return Standing(
            market=market.name,
            account=made.plan.account,
            timestamp_s=made.timestamp_s,
            lot=made.seized,
            price_wei=price_wei,
            value_wei=left_wei + price_wei,
            cost_wei=made.gas * gas_price_wei,
            gain_wei=gain_wei,
        )

    def _gained_wei(self, market: Market, made: Prediction, view: View) -> int:
        return sum(self._predictor.value_wei(market, view, token, amount) for token, amount in made.gains.items())


def _margin(standing: Standing, price_wei: int) -> str:
    """What is left at a price, rounded down."""
    left_wei = standing.value_wei - standing.cost_wei - price_wei
    return f"{left_wei * BPS // price_wei / 100:.2f} %" if price_wei else "any"
