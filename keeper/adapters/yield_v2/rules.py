"""Yield v2 arithmetic in integers, with the contracts' own rounding.

Sources: vault-v2 0.18.5, `Cauldron` (level, accrual), `Witch` (auction, payout), `ChainlinkUSDMultiOracle`, `AccumulatorMultiOracle`, and
the fixed point of utils-v2 2.6.8. Debts ("art") are in units of the series' fyToken, which has the decimals of the base.
"""

from __future__ import annotations

from keeper.fixedpoint import WAD

RATIO_TO_WAD = 10**12
FOREVER_S = 2**32 - 1
"""A duration that means: the price stays where it starts."""


def wmul(x: int, y: int) -> int:
    return x * y // WAD


def wdiv(x: int, y: int) -> int:
    return x * WAD // y


def wdiv_up(x: int, y: int) -> int:
    return -(-x * WAD // y)


def wpow(x: int, n: int) -> int:
    """By squares, each product rounded half up."""
    found = x if n % 2 else WAD
    n >>= 1
    while n:
        x = (x * x + WAD // 2) // WAD
        if n % 2:
            found = (found * x + WAD // 2) // WAD
        n >>= 1
    return found


# --- value --------------------------------------------------------------------------------------------------------


def through_usd(amount: int, price: int, decimals: int, quote_price: int, quote_decimals: int) -> int:
    """An amount in units of the quote. The decimals are adjusted after the division, which is where it loses most."""
    value = amount * price // quote_price
    if decimals <= quote_decimals:
        return value * int(10 ** (quote_decimals - decimals))
    return value // int(10 ** (decimals - quote_decimals))


def accumulated(stored: int, per_second_wad: int, elapsed_s: int) -> int:
    """A rate accumulator so many seconds after it was last asked."""
    return stored * wpow(per_second_wad, elapsed_s) // WAD if elapsed_s > 0 else stored


def accrual(rate: int, rate_at_maturity: int) -> int:
    """What a debt has grown by since its series matured; never below one."""
    return max(wdiv(rate, rate_at_maturity), WAD)


def required(art: int, accrual_wad: int | None, ratio_ppm: int) -> int:
    """The collateral value at which the level is 0. `accrual_wad` None: before maturity."""
    owed = art if accrual_wad is None else wmul(art, accrual_wad)
    return wmul(owed, ratio_ppm * RATIO_TO_WAD)


def to_base(art: int, accrual_wad: int | None) -> int:
    return art if accrual_wad is None else wmul(art, accrual_wad)


def from_base(base: int, accrual_wad: int | None) -> int:
    return base if accrual_wad is None else wdiv_up(base, accrual_wad)


# --- auctions -----------------------------------------------------------------------------------------------------


def lot(ink: int, art: int, least: int, vault_share_wad: int) -> tuple[int, int]:
    """(ink, art) put up for auction: a share of the vault, but neither it nor what is left may owe less than `least`."""
    if art <= least:
        return ink, art
    part = wmul(art, vault_share_wad)
    if part < least:
        part, vault_share_wad = least, wdiv_up(least, art)
    if art - part < least:
        return ink, art
    return wmul(ink, vault_share_wad), part


def offered_wad(start_wad: int, duration_s: int, elapsed_s: int) -> int:
    """The share of the lot's collateral that is given for all of its debt."""
    if duration_s == FOREVER_S:
        return start_wad
    if elapsed_s >= duration_s:
        return WAD
    return start_wad + (WAD - start_wad) * elapsed_s // duration_s


def grows(share_wad: int, duration_s: int) -> bool:
    """Whether more of the collateral is given later."""
    return share_wad < WAD and duration_s != FOREVER_S


def payout(lot_ink: int, lot_art: int, art: int, share_wad: int) -> int:
    """Collateral given for `art`, the starter's share included."""
    return wmul(wmul(wdiv(art, lot_art), lot_ink), share_wad)
