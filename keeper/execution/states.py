"""The life of a submission: which state may follow which. Ambiguity is a state of its own, and a reorg reopens what was closed."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    SIGNED = "signed"  # journalled; may be on the wire if the process died since
    SENT = "sent"
    UNKNOWN = "unknown"  # no clear answer: it may land
    INCLUDED = "included"
    REVERTED = "reverted"
    REPLACED = "replaced"  # another of ours took the nonce
    CANCELLED = "cancelled"  # our cancel transaction took the nonce
    DROPPED = "dropped"  # refused before it ever left, or a stranger took the nonce
    REORGED_OUT = "reorged-out"  # its end was in a block that is no more


UNRESOLVED = frozenset({State.SIGNED, State.SENT, State.UNKNOWN, State.REORGED_OUT})
"""May still land: the nonce is taken."""

LANDED = frozenset({State.INCLUDED, State.REVERTED})

RESOLVED = frozenset(State) - UNRESOLVED

_NEXT = {
    State.SIGNED: RESOLVED | {State.SENT, State.UNKNOWN},
    State.SENT: RESOLVED,
    State.UNKNOWN: RESOLVED | {State.SENT},
    State.REORGED_OUT: RESOLVED | {State.SENT, State.UNKNOWN},
}


class IllegalTransitionError(Exception):
    """A defect of ours: the journal would contradict itself."""


def legal(old: State, new: State) -> bool:
    return new in _NEXT.get(old, {State.REORGED_OUT})


def check(old: State, new: State) -> None:
    """Raises IllegalTransitionError. Staying in a state is always allowed."""
    if old is not new and not legal(old, new):
        raise IllegalTransitionError(f"a submission cannot go from {old} to {new}")
