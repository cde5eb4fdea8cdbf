"""From deeds to money: the chain says what each deed moves, what the proceeds sell for, and what the executor earns by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keeper.devnet import Devnet
from keeper.devnet.names import BENEFICIARY, DEPLOYER, MARKETS, OPERATOR
from keeper.types import Address
from tests.e2e.calls import CALLBACK, FLASH_LOAN, FLASH_SWAP, NO_FUNDING, Call, Deed, Funding, Path, execute
from tests.e2e.checker.block import Block, Result, moved, ok
from tests.e2e.checker.position import done, own_money
from tests.e2e.checker.sales import Sales
from tests.e2e.checker.worth import prices_of, worth_wei


@dataclass(frozen=True, slots=True)
class Move:
    """What the market moves for a choice."""

    choice: Deed
    repaid: int
    seized: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of the executor and what the node says it earns: `gain_wei` at the market's oracle, with what it is promised, `cost_wei`
    its gas."""

    choice: Deed
    funding: Funding
    path: Path
    gain_wei: int
    cost_wei: int

    @property
    def net_wei(self) -> int:
        return self.gain_wei - self.cost_wei


class Attempts:
    """In one block. `lenders`: who gives flash loans."""

    def __init__(self, block: Block, executor: Address, lenders: Sequence[Address]) -> None:
        self._block, self._net = block, block.net
        self._executor = executor
        self._lenders = lenders
        self._sales = Sales(block)
        self._prices: dict[str, dict[Address, int]] = {}

    async def moves(self, wanted: Sequence[Deed]) -> list[Move]:
        """Those the market allows, run by somebody who has the money."""
        results = await self._block.run(DEPLOYER, [own_money(self._net, deed) for deed in wanted])
        moves = [_move(self._net, deed, calls) for deed, calls in zip(wanted, results, strict=True)]
        return [move for move in moves if move and (move.seized or move.choice.promised)]

    async def attempts(self, moves: Sequence[Move]) -> list[Attempt]:
        """Each way to fund and sell each move, as far as the sale alone covers the repayment."""
        ways = [(move, funding, path) for move, path in await self._paying(moves) for funding in self._fundings(move, path)]
        data = [execute(self._net, self._executor, move.choice, funding, path) for move, funding, path in ways]
        results = await self._block.run(OPERATOR, [[Call(self._executor, call)] for call in data])
        return [
            Attempt(move.choice, funding, path, await self._gain_wei(move.choice, result), self._block.cost_wei(result))
            for (move, funding, path), (result,) in zip(ways, results, strict=True)
            if ok(result)
        ]

    async def _paying(self, moves: Sequence[Move]) -> list[tuple[Move, Path]]:
        quotes = await self._sales.best([(move.choice.collateral, move.choice.debt, move.seized) for move in moves])
        sold = [(move, path) for move, paid in zip(moves, quotes, strict=True) for path in paid if paid[path] > move.repaid]
        return sold + [(move, ()) for move in moves if not move.seized]

    def _fundings(self, move: Move, path: Path) -> Iterator[Funding]:
        if not path:
            yield Funding(NO_FUNDING, self._executor, 0)
        if move.repaid:
            yield from (Funding(FLASH_LOAN, lender, move.repaid) for lender in self._lenders)
            if path:
                yield Funding(FLASH_SWAP, path[-1].pool, move.repaid)
            if call := move.choice.awaiting(self._net):
                yield Funding(CALLBACK, call.to, 0)

    async def _gain_wei(self, choice: Deed, result: Result) -> int:
        gains = moved(result["logs"], sender=self._executor, to=BENEFICIARY)
        for token, amount in choice.promised:
            gains[token] = gains.get(token, 0) + amount
        oracle = valuer(choice.market)
        if oracle not in self._prices:
            self._prices[oracle] = await prices_of(self._net, oracle, self._block.number - 1)
        return worth_wei(self._net, self._prices[oracle], gains)


def valuer(market: str) -> str:
    """Whose oracle values what is earned in a market: its own where it prices every token."""
    return market if market in MARKETS else MARKETS[0]


def _move(net: Devnet, deed: Deed, results: Sequence[Result]) -> Move | None:
    logs = done(net, deed, results)
    if logs is None:
        return None
    return Move(deed, moved(logs, sender=DEPLOYER).get(deed.debt, 0), moved(logs, to=DEPLOYER).get(deed.collateral, 0))
