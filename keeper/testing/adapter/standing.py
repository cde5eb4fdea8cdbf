"""What the contract says of accounts, beside what the market says."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.testing.adapter.case import Case, State
from keeper.types import Address


async def differences(case: Case, state: State, at_s: int, accounts: Sequence[Address] = ()) -> tuple[int, list[str]]:
    """How many audited words were compared as of `at_s`, and where they differ: who, which word, expected and got."""
    wrong: list[str] = []
    accounts = accounts or everybody(case, state)
    audits = [state.market.audit(state.view, account, at_s) for account in accounts]
    replies = await case.reader.asked([audit.read for audit in audits], state.head.hash, at_s)
    for account, audit, reply in zip(accounts, audits, replies, strict=True):
        if reply is None and audit.words:
            wrong.append(f"account {account}: the contract does not answer the audit")
            continue
        for word, ours in audit.words.items():
            theirs = int.from_bytes((reply or b"")[32 * word : 32 * word + 32])
            if ours % 2**256 != theirs:
                wrong.append(f"account {account}: word {word} of the audit as of {at_s}: expected {theirs}, got {ours}")
    return sum(len(audit.words) for audit in audits), wrong


def everybody(case: Case, state: State) -> list[Address]:
    """All who may hold a position, and all who do by the market's word."""
    return sorted({*case.deployment.accounts, *state.market.accounts(state.view)})
