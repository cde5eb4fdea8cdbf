"""What to offer against a bid that is seen. Pure."""

from __future__ import annotations

BEYOND_BPS = 100
"""A rival whose bid is seen may measure gas a little differently."""

BUMP_BPS = 1_250
"""More than any node asks of a replacement in a public pool."""


def answer_wei(own_wei: int, theirs_wei: int, most_wei: int, sealed: bool) -> int | None:
    """The tip per gas that beats theirs; None where that is not worth it. `sealed`: nobody sees ours, so it takes no more than that; else
    it must be a replacement."""
    wanted = theirs_wei * (10_000 + BEYOND_BPS) // 10_000 + 1
    if not sealed:
        wanted = max(wanted, own_wei * (10_000 + BUMP_BPS) // 10_000 + 1)
    return wanted if own_wei < wanted <= most_wei else None
