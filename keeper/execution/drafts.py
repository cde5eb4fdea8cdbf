"""Signed transactions not yet journalled: for an intent, for the same intent with other fees, and for nothing at all. Pure."""

from __future__ import annotations

from dataclasses import replace

from keeper.execution.signer import Signer, Tx1559, decode
from keeper.execution.states import State
from keeper.execution.submission import Intent, Submission
from keeper.types import ZERO_ADDRESS, Bid


def draft(signer: Signer, chain_id: int, intent: Intent, nonce: int, last_block: int = 0) -> Submission:
    bid = intent.bid
    fees = (bid.priority_fee_wei, bid.max_fee_wei, bid.gas_limit)
    raw, tx = signer.sign(Tx1559(chain_id, nonce, *fees, intent.to, intent.value_wei, intent.data))
    return Submission(
        id=0,
        chain_id=chain_id,
        signer=signer.address,
        nonce=nonce,
        tx=tx,
        raw=raw,
        to=intent.to,
        max_fee_wei=bid.max_fee_wei,
        priority_fee_wei=bid.priority_fee_wei,
        gas_limit=bid.gas_limit,
        state=State.SIGNED,
        market=intent.market,
        account=intent.account,
        plan_json=intent.plan_json,
        created_block=intent.block,
        sent_block=intent.block,
        attempts=0,
        replaces=None,
        fee_cap_wei=intent.fee_cap_wei,
        last_block=last_block,
    )


def pay_more(signer: Signer, top: Submission, bid: Bid, block: int) -> Submission:
    """The same call at the same nonce with other fees."""
    same = decode(top.raw)
    intent = Intent(top.to, same.data, bid, top.market, top.account, top.plan_json, block, top.fee_cap_wei, value_wei=same.value_wei)
    return replace(draft(signer, top.chain_id, intent, top.nonce, top.last_block), replaces=top.id)


def cancel(signer: Signer, top: Submission, bid: Bid, block: int) -> Submission:
    """Nothing in the place of `top`."""
    return replace(fill(signer, top.chain_id, top.nonce, bid, block), market=top.market, account=top.account, replaces=top.id)


def fill(signer: Signer, chain_id: int, nonce: int, bid: Bid, block: int) -> Submission:
    """Nothing, at a nonce that would otherwise block those above it."""
    return draft(signer, chain_id, Intent(signer.address, b"", bid, "", ZERO_ADDRESS, "", block), nonce)
