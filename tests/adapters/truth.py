"""What the contracts say, compared with what the market's tables say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keeper.adapters.aave_v3.codec import call_data, selector, word
from keeper.adapters.aave_v3.interest import debt_index, income
from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.book.state import Tables
from keeper.ports import View
from keeper.types import Address, Key, Read, Write
from tests.adapters.chain import Indexer, NodeReader

USER_CONFIGURATION = selector("getUserConfiguration(address)")
USER_EMODE = selector("getUserEMode(address)")
INCOME = selector("getReserveNormalizedIncome(address)")
DEBT = selector("getReserveNormalizedVariableDebt(address)")
SCALED = selector("scaledBalanceOf(address)")
SCALED_TOTAL = selector("scaledTotalSupply()")
DEFICIT = selector("getReserveDeficit(address)")

Claim = tuple[Read, dict[int, int], str]


async def check(reader: NodeReader, claims: Sequence[Claim], at_s: int | None = None) -> int:
    """Every claimed word of every reply, to the unit; returns how many words were compared."""
    replies = await reader.calls([read for read, _, _ in claims], at_s=at_s)
    for (_, words, what), reply in zip(claims, replies, strict=True):
        assert reply is not None, f"{what}: the contract reverts"
        found = {at: word(reply, at) for at in words}
        assert found == words, what
    return sum(len(words) for _, words, _ in claims)


def health(indexer: Indexer, accounts: Iterable[Address], at_s: int) -> list[Claim]:
    """Also that `health` says what the audited words say."""
    claims: list[Claim] = []
    for account in accounts:
        audit = indexer.market.audit(indexer.tables, account, at_s)
        judged = indexer.market.health(indexer.tables, account, at_s)
        assert (judged.debt, judged.health_factor_wad) == (audit.words[1], audit.words[5])
        claims.append((audit.read, dict(audit.words), f"health of {account} at {at_s}"))
    return claims


def users(market: AaveV3Market, view: View, accounts: Iterable[Address]) -> list[Claim]:
    pool, cells = market.deployment.pool, market.cells
    claims: list[Claim] = []
    for account in accounts:
        bits, category = cells.flags(view, account), view.get(cells.category, (account,))
        claims.append((Read(pool, call_data(USER_CONFIGURATION, account)), {0: bits}, f"bits of {account}"))
        claims.append((Read(pool, call_data(USER_EMODE, account)), {0: category}, f"eMode of {account}"))
    return claims


def indexes(market: AaveV3Market, view: View, at_s: int) -> list[Claim]:
    pool, cells, rules = market.deployment.pool, market.cells, market.deployment.rules
    claims: list[Claim] = []
    for reserve in cells.reserve_ids(view):
        index, asset = cells.index_of(view, reserve), cells.asset_of(view, reserve)
        assert asset is not None
        claims.append((Read(pool, call_data(INCOME, asset)), {0: income(index, at_s)}, f"income of {asset}"))
        claims.append((Read(pool, call_data(DEBT, asset)), {0: debt_index(rules, index, at_s)}, f"debt index of {asset}"))
    return claims


def balances(market: AaveV3Market, view: View, accounts: Sequence[Address]) -> list[Claim]:
    cells = market.cells
    claims: list[Claim] = []
    for token in (Address(str(key[0])) for key in view.keys(cells.token)):
        reserve, is_debt = divmod(view.get(cells.token, (token,)) - 1, 2)
        table, side = (cells.debt, "debt") if is_debt else (cells.supply, "supply")
        claims.append((Read(token, SCALED_TOTAL), {0: view.get(cells.total, (reserve, side))}, f"scaled total of {token}"))
        held = ((account, view.get(table, (reserve, account))) for account in accounts)
        claims += [(Read(token, call_data(SCALED, account)), {0: scaled}, f"{token} of {account}") for account, scaled in held]
    return claims


def deficits(market: AaveV3Market, view: View) -> list[Claim]:
    pool, cells = market.deployment.pool, market.cells
    pairs = [(reserve, cells.asset_of(view, reserve) or "") for reserve in cells.reserve_ids(view)]
    return [
        (Read(pool, call_data(DEFICIT, asset)), {0: cells.of(view, reserve, "deficit")}, f"deficit of {asset}") for reserve, asset in pairs
    ]


def copy(tables: Tables) -> Tables:
    fresh = Tables()
    fresh.write(tables.cells())
    return fresh


def cells_that_differ(market: AaveV3Market, expected: Tables, actual: Tables) -> dict[tuple[str, Key], tuple[int, int]]:
    """(expected, actual) of every differing cell. Rates are not part of what a fill promises."""
    left, right = _cells(market, expected.cells()), _cells(market, actual.cells())
    return {name: (left.get(name, 0), right.get(name, 0)) for name in left.keys() | right.keys() if left.get(name, 0) != right.get(name, 0)}


def _cells(market: AaveV3Market, cells: Iterable[Write]) -> dict[tuple[str, Key], int]:
    rates = ("lr", "br")
    return {(table, key): value for table, key, value in cells if not (table == market.cells.index and key[1] in rates)}
