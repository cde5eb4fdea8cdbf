"""What to do about a transaction that has not landed: wait, send it again, pay more for its nonce, or give the nonce up. Pure.

A replacement raises both fees by an eighth: Geth asks a tenth on both, others 12.5 % (`theory.md` §6).
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.execution.states import State
from keeper.execution.submission import Submission
from keeper.types import Bid


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps are per gas, in wei. A transaction is sent again when `resend_after_blocks` have passed without it landing; a landed one is
    looked up once more under `confirmations` further blocks. The last two are for cancel transactions."""

    max_fee_wei: int
    max_priority_fee_wei: int
    resend_after_blocks: int = 3
    confirmations: int = 2
    cancel_priority_fee_wei: int = 1_500_000_000
    cancel_gas: int = 21_000


@dataclass(frozen=True, slots=True)
class Resend:
    """The same bytes again."""


@dataclass(frozen=True, slots=True)
class Replace:
    """The same intent at the same nonce with these fees."""

    bid: Bid


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nothing, at the same nonce, with these fees."""

    bid: Bid


Step = Resend | Replace | Cancel | None


def next_step(top: Submission, refused: bool, base_fee_wei: int, limits: Limits, alone: bool = False) -> Step:
    """For a transaction that is due. `top`: the newest unresolved one of its nonce; `refused`: the relay would not take it again;
    `base_fee_wei`: of the next block; `alone`: nothing waits behind it, so that a transfer can wait until it is cheap. None: wait."""
    if top.max_fee_wei >= base_fee_wei:
        return _give_up(top, base_fee_wei, limits) or Resend() if refused else Resend()
    raised = raise_bid(top.bid, base_fee_wei, _cap(top, limits))
    if raised and raised.priority_fee_wei <= limits.max_priority_fee_wei:
        return Replace(raised)
    if alone and top.is_payment and not refused:
        return None
    return _give_up(top, base_fee_wei, limits)


def due(top: Submission, block: int, limits: Limits) -> bool:
    """An accepted one is given some blocks; a doubtful one is sent again at once."""
    return top.state is not State.SENT or block - top.sent_block >= limits.resend_after_blocks


def raise_bid(bid: Bid, base_fee_wei: int, cap_wei: int) -> Bid | None:
    """Both fees up by an eighth at least, and enough for the next block; headroom for a rising base fee as far as the cap lets it.
    None when the cap is too low."""
    priority = _eighth_more(bid.priority_fee_wei)
    needed = max(_eighth_more(bid.max_fee_wei), base_fee_wei + priority)
    if needed > cap_wei:
        return None
    return Bid(max(needed, min(2 * base_fee_wei + priority, cap_wei)), priority, bid.gas_limit)


def outbid(top: Submission, tip_wei: int, base_fee_wei: int, limits: Limits) -> Bid | None:
    """This tip instead; in a public pool with both fees up by an eighth at least. None when a cap is too low."""
    least = 0 if top.last_block else _eighth_more(top.max_fee_wei)
    tip = tip_wei if top.last_block else max(tip_wei, _eighth_more(top.priority_fee_wei))
    needed, cap = max(least, base_fee_wei + tip), _cap(top, limits)
    if needed > cap or tip > limits.max_priority_fee_wei:
        return None
    return Bid(max(needed, min(2 * base_fee_wei + tip, cap)), tip, top.gas_limit)


def filler(base_fee_wei: int, limits: Limits) -> Bid:
    """Fees of a transaction that only fills a hole in the nonces."""
    priority = min(limits.cancel_priority_fee_wei, limits.max_priority_fee_wei)
    return Bid(max(priority, min(2 * base_fee_wei + priority, limits.max_fee_wei)), priority, limits.cancel_gas)


def _give_up(top: Submission, base_fee_wei: int, limits: Limits) -> Cancel | None:
    """A cancel may cost what the engine's own cap allows: it frees every nonce behind it."""
    if top.is_cancel:
        return None
    raised = raise_bid(top.bid, base_fee_wei, limits.max_fee_wei)
    return Cancel(Bid(raised.max_fee_wei, raised.priority_fee_wei, limits.cancel_gas)) if raised else None


def _cap(top: Submission, limits: Limits) -> int:
    return limits.max_fee_wei if top.fee_cap_wei is None else min(limits.max_fee_wei, top.fee_cap_wei)


def _eighth_more(fee_wei: int) -> int:
    return max(-(-fee_wei * 9 // 8), fee_wei + 1)
