"""Calls that anybody may make, without which a deal is not legal, or not worth what the keeper says.

A mean over time overshoots while nobody has its feed cache the newest answer. Settling funding has it do so, but only after the account
was found liquidatable or not: so we have it cache first, and everything is looked at as it is then.

Of the housekeeping that is open to all, nothing lets the fund bear more: `settleBadDebt` moves debt onto it, and `repay` moves money from
its wallet into the vault, where it counts the same. But what the fund lacks may be given to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from keeper.adapters.perp_v2.cells import Deployment
from keeper.adapters.perp_v2.codec import call_data, selector, word
from keeper.types import Address, Fill, Step

TRANSFER = selector("transfer(address,uint256)")
UPDATE = selector("update()")


def before(deployment: Deployment, heard: Iterable[Address], amount: int = 0) -> tuple[Step, ...]:
    """`heard`: feeds that cache their answers, unless somebody has just had them do so; `amount`: what the fund is given."""
    caching = tuple(Step(feed, UPDATE, optional=True) for feed in heard)
    gift = Step(deployment.settlement.token, call_data(TRANSFER, deployment.insurance_fund, amount))
    return (*caching, gift) if amount else caching


def given(fill: Fill) -> int:
    """What the fund is given by a fill, in the settlement token."""
    return sum(word(step.data[4:], 1) for step in fill.before if step.data.startswith(TRANSFER))
