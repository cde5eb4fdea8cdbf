"""A judge of the keeper that shares nothing with its planner: is any money left on the table?

It reads accounts from the contracts, lets the chain itself say what each liquidation moves and each path pays, and runs every promising
call of the executor on the node in the next block. It looks at every (debt, collateral) pair at ten amounts and at every path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from keeper.devnet import Devnet
from keeper.devnet.basefee import next_base_fee
from keeper.devnet.genesis.builder import BLOCK_S
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.names import BENEFICIARY, DEPLOYER, MARKETS, OPERATOR
from keeper.devnet.uniswap import POOLS
from keeper.types import Address
from tests.e2e.calls import FLASH_LOAN, FLASH_SWAP, MAX, NO_FUNDING, Choice, Funding, Hop, Path, approval, execute, liquidation

TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
PERMILLE = (1, 10, 50, 100, 200, 350, 500, 750, 1000)
WAD = 10**18
MAX_HOPS = 3
PATHS_TRIED = 2
CALL_GAS = 8_000_000


@dataclass(frozen=True, slots=True)
class Position:
    """A liquidatable account: balances by token address, in smallest units, at the next block's time."""

    market: str
    account: Address
    collaterals: dict[Address, int]
    debts: dict[Address, int]

    def choices(self) -> Iterator[Choice]:
        """Every pair at ten amounts: shares of the debt, and as much as the market allows."""
        for debt, owed in self.debts.items():
            amounts = sorted({max(owed * share // 1000, 1) for share in PERMILLE} | {MAX})
            for collateral in self.collaterals:
                yield from (Choice(self.market, self.account, debt, collateral, amount) for amount in amounts)


@dataclass(frozen=True, slots=True)
class Move:
    """What the market moves for a choice."""

    choice: Choice
    repaid: int
    seized: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of the executor and what the node says it earns: `gain_wei` at the market's oracle, `cost_wei` its gas."""

    choice: Choice
    funding: Funding
    path: Path
    gain_wei: int
    cost_wei: int

    @property
    def net_wei(self) -> int:
        return self.gain_wei - self.cost_wei


@dataclass(frozen=True, slots=True)
class Report:
    positions: tuple[Position, ...]
    moves: int
    attempts: tuple[Attempt, ...]

    @property
    def profitable(self) -> list[Attempt]:
        """Best first."""
        return sorted((a for a in self.attempts if a.net_wei > 0), key=lambda a: -a.net_wei)


async def check(net: Devnet, executor: Address, tip_wei: int = 0) -> Report:
    """Try everything on the latest state in the next block, where gas costs the base fee and `tip_wei`. Changes nothing."""
    checker = Checker(net, executor, await net.request("eth_getBlockByNumber", "latest", False), tip_wei)
    positions = await checker.positions()
    moves = await checker.moves([choice for position in positions for choice in position.choices()])
    return Report(tuple(positions), len(moves), tuple(await checker.attempts(moves)))


async def liquidatable(net: Devnet) -> set[tuple[str, Address]]:
    """(market, account) of every borrower with a health factor below 1 in the next block, by the chain's own word."""
    checker = Checker(net, DEPLOYER, await net.request("eth_getBlockByNumber", "latest", False))
    return set(await checker.unhealthy())


class Checker:
    """The chain in the block after `head`."""

    def __init__(self, net: Devnet, executor: Address, head: dict[str, Any], tip_wei: int = 0) -> None:
        self._net = net
        self._executor = executor
        self._tokens = {net.addresses[f"token.{symbol}"]: token for symbol, token in BY_SYMBOL.items()}
        fee = next_base_fee(*(int(head[key], 16) for key in ("baseFeePerGas", "gasUsed", "gasLimit")))
        self._base_fee_wei, self._tip_wei = fee, tip_wei
        self._number, self._time_s = int(head["number"], 16) + 1, int(head["timestamp"], 16) + BLOCK_S
        self._graph = list(_graph(net))
        self._prices: dict[str, dict[Address, int]] = {}

    # --- what is there

    async def unhealthy(self) -> list[tuple[str, Address]]:
        calls = [(f"{b.market}.pool", "getUserAccountData", b.address) for b in self._net.population]
        replies = await self._read(calls)
        return [(b.market, b.address) for b, reply in zip(self._net.population, replies, strict=True) if reply[5] < WAD]

    async def positions(self) -> list[Position]:
        return [await self._position(market, account) for market, account in await self.unhealthy()]

    async def _position(self, market: str, account: Address) -> Position:
        names = [(token, side, f"{market}.{side}.{info.symbol}") for token, info in self._tokens.items() for side in ("atoken", "vtoken")]
        replies = await self._read([(name, "balanceOf", account) for _, _, name in names])
        held = [(token, side, reply[0]) for (token, side, _), reply in zip(names, replies, strict=True) if reply[0]]
        sides = {side: {token: amount for token, s, amount in held if s == side} for side in ("atoken", "vtoken")}
        return Position(market, account, sides["atoken"], sides["vtoken"])

    async def _read(self, calls: Sequence[tuple[str, str, Any]]) -> list[tuple[Any, ...]]:
        net = self._net
        requests = [{"to": net.addresses[name], "data": _hex(net.encode(name, function, arg))} for name, function, arg in calls]
        overrides = [{}, {"time": hex(self._time_s), "number": hex(self._number)}]
        replies = await net.batch([("eth_call", [request, "latest", *overrides]) for request in requests])
        return [
            net.contract(name).decode(function, 1, bytes.fromhex(reply[2:]))
            for (name, function, _), reply in zip(calls, replies, strict=True)
        ]

    # --- what a liquidation moves

    async def moves(self, wanted: Sequence[Choice]) -> list[Move]:
        """Those the market allows, run by somebody who has the money."""
        results = await self._simulate([self._own_money(choice) for choice in wanted])
        return [
            move for choice, calls in zip(wanted, results, strict=True) if _ok(calls[-1]) and (move := self._move(choice, calls[-1])).seized
        ]

    def _own_money(self, choice: Choice) -> list[dict[str, str]]:
        debt, pool = self._tokens[choice.debt].symbol, self._net.addresses[f"{choice.market}.pool"]
        minted = (
            []
            if debt == "WETH"
            else [_call(DEPLOYER, choice.debt, self._net.encode(f"token.{debt}", "mint(address,uint256)", DEPLOYER, 2**100))]
        )
        return [*minted, _call(DEPLOYER, choice.debt, approval(self._net, choice)), _call(DEPLOYER, pool, liquidation(self._net, choice))]

    def _move(self, choice: Choice, call: dict[str, Any]) -> Move:
        vault = self._net.addresses[f"{choice.market}.atoken.{self._tokens[choice.debt].symbol}"]
        repaid = moved(call["logs"], sender=DEPLOYER, to=vault).get(choice.debt, 0)
        return Move(choice, repaid, moved(call["logs"], to=DEPLOYER).get(choice.collateral, 0))

    # --- what it sells for

    async def attempts(self, moves: Sequence[Move]) -> list[Attempt]:
        """Each way to fund and sell each move, as far as the sale alone covers the repayment."""
        ways = [(move, funding, path) for move, path in await self._sales(moves) for funding in self._fundings(move, path)]
        calls = [execute(self._net, self._executor, move.choice, funding, path) for move, funding, path in ways]
        results = await self._simulate([[_call(OPERATOR, self._executor, data)] for data in calls])
        return [
            Attempt(move.choice, funding, path, await self._gain_wei(move.choice.market, result), self._cost_wei(result))
            for (move, funding, path), (result,) in zip(ways, results, strict=True)
            if _ok(result)
        ]

    async def _gain_wei(self, market: str, call: dict[str, Any]) -> int:
        if market not in self._prices:
            self._prices[market] = await prices_of(self._net, market)
        return worth_wei(self._net, self._prices[market], moved(call["logs"], sender=self._executor, to=BENEFICIARY))

    def _cost_wei(self, call: dict[str, Any]) -> int:
        return int(call["gasUsed"], 16) * (self._base_fee_wei + self._tip_wei)

    async def _sales(self, moves: Sequence[Move]) -> list[tuple[Move, Path]]:
        paths = [list(self._paths(move.choice.collateral, move.choice.debt)) for move in moves]
        quotes = await self._simulate(
            [[self._quote(path, move.seized) for path in options if path] for move, options in zip(moves, paths, strict=True)]
        )
        sales: list[tuple[Move, Path]] = []
        for move, options, calls in zip(moves, paths, quotes, strict=True):
            paid = {path: int(call["returnData"][:66], 16) for path, call in zip(options, calls, strict=False) if path and _ok(call)}
            paid |= {path: move.seized for path in options if not path}
            sales += [(move, path) for path in sorted(paid, key=lambda path: -paid[path])[:PATHS_TRIED] if paid[path] > move.repaid]
        return sales

    def _fundings(self, move: Move, path: Path) -> Iterator[Funding]:
        for market in MARKETS:
            yield Funding(FLASH_LOAN, self._net.addresses[f"{market}.pool"], move.repaid)
        if path:
            yield Funding(FLASH_SWAP, path[-1].pool, move.repaid)
        else:
            yield Funding(NO_FUNDING, self._executor, 0)

    def _paths(self, token: Address, target: Address, passed: frozenset[Address] = frozenset()) -> Iterator[Path]:
        if token == target:
            yield ()
        elif len(passed) < MAX_HOPS:
            for hop in self._graph:
                if hop.token_in == token and hop.token_out not in passed:
                    yield from ((hop, *rest) for rest in self._paths(hop.token_out, target, passed | {token}))

    def _quote(self, path: Path, amount: int) -> dict[str, str]:
        tokens = b"".join(hop.fee.to_bytes(3) + bytes.fromhex(hop.token_out[2:]) for hop in path)
        data = self._net.encode("uniswap.quoter", "quoteExactInput", bytes.fromhex(path[0].token_in[2:]) + tokens, amount)
        return _call(DEPLOYER, self._net.addresses["uniswap.quoter"], data)

    # --- the node

    async def _simulate(self, groups: Sequence[Sequence[dict[str, str]]]) -> list[list[dict[str, Any]]]:
        """Each group's calls one after another in the next block, every group on the latest state."""
        full = [group for group in groups if group]
        replies = iter(await self._net.batch([("eth_simulateV1", [self._block(group), "latest"]) for group in full]))
        return [next(replies)[0]["calls"] if group else [] for group in groups]

    def _block(self, calls: Sequence[dict[str, str]]) -> dict[str, Any]:
        overrides = {
            "number": self._number,
            "time": self._time_s,
            "baseFeePerGas": self._base_fee_wei,
            "gasLimit": CALL_GAS * (len(calls) + 1),
        }
        return {
            "blockStateCalls": [{"blockOverrides": {k: hex(v) for k, v in overrides.items()}, "calls": list(calls)}],
            "validation": False,
        }


async def prices_of(net: Devnet, market: str, block: int | str = "latest") -> dict[Address, int]:
    """Of every token, by the market's own oracle."""
    tokens = [net.addresses[f"token.{symbol}"] for symbol in BY_SYMBOL]
    prices = await net.read(f"{market}.oracle", "getAssetsPrices", tokens, block=block)
    return dict(zip(tokens, prices[0], strict=True))


def worth_wei(net: Devnet, prices: Mapping[Address, int], gains: Mapping[Address, int]) -> int:
    """Floored where the market floors: token to base currency, base currency to ether."""
    ether = net.addresses["token.WETH"]
    units = {net.addresses[f"token.{symbol}"]: info.unit for symbol, info in BY_SYMBOL.items()}
    return sum(
        amount if token == ether else amount * prices[token] // units[token] * WAD // prices[ether] for token, amount in gains.items()
    )


def _graph(net: Devnet) -> Iterator[Hop]:
    for pool in POOLS:
        one, other = net.addresses[f"token.{pool.base}"], net.addresses[f"token.{pool.quote}"]
        yield Hop(net.addresses[pool.name], pool.fee, one, other)
        yield Hop(net.addresses[pool.name], pool.fee, other, one)


def _call(sender: Address, to: Address, data: bytes) -> dict[str, str]:
    return {"from": sender, "to": to, "gas": hex(CALL_GAS), "input": _hex(data)}


def _ok(call: dict[str, Any]) -> bool:
    return int(call["status"], 16) == 1


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def moved(logs: Iterable[dict[str, Any]], *, sender: Address | None = None, to: Address | None = None) -> dict[Address, int]:
    """Token → amount, from Transfer logs between these two."""
    moved: dict[Address, int] = {}
    for log in logs:
        if log["topics"][0] == TRANSFER and len(log["topics"]) == 3:
            ends = ["0x" + topic[-40:] for topic in log["topics"][1:]]
            if sender in {None, ends[0]} and to in {None, ends[1]}:
                token = Address(log["address"].lower())
                moved[token] = moved.get(token, 0) + int(log["data"], 16)
    return moved
