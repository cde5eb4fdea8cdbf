"""Moves prices: one OCR2 transmission per oracle, and swaps that leave every pool where the oracles are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from keeper.devnet.artifacts import Contract
from keeper.devnet.genesis.builder import transaction
from keeper.devnet.genesis.tokens import BY_SYMBOL, MAX_ANSWER, MIN_ANSWER
from keeper.devnet.names import DEPLOYER, PERP_ARBITRAGEUR, PERP_MARKETS, TRADER, TRANSMITTER
from keeper.devnet.oracle import report
from keeper.devnet.perp import Perpetuals
from keeper.devnet.uniswap import POOLS, Pool, ordered, sqrt_price_x96
from keeper.errors import KeeperError
from keeper.types import Address

ENOUGH = 2**120  # more than any pool can take: the swap ends at its price limit
TRANSMIT_GAS = 500_000
SWAP_GAS = 3_000_000


class Net(Protocol):
    addresses: dict[str, Address]

    def contract(self, name: str) -> Contract: ...
    def encode(self, name: str, function: str, *args: Any) -> bytes: ...
    async def batch(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]: ...
    async def request(self, method: str, *params: Any) -> Any: ...
    async def mine(self) -> int: ...
    async def read(self, name: str, function: str, *args: Any, block: str | int = "latest") -> tuple[Any, ...]: ...
    async def transact(self, sender: Address, to: Address | None, data: bytes) -> dict[str, Any]: ...


class Prices:
    """The oracles and pools of one devnet, `step_s` between its blocks. Epochs only grow, also over reverts: aggregators refuse what is
    not newer."""

    def __init__(self, net: Net, step_s: int) -> None:
        self._net, self._step_s = net, step_s
        self._perpetuals = Perpetuals(net)
        self._epoch = 100

    async def read(self, block: str) -> dict[str, int]:
        replies = await self._views([(f"feed.{symbol}", "latestAnswer") for symbol in BY_SYMBOL], block)
        return {symbol: reply[0] for symbol, reply in zip(BY_SYMBOL, replies, strict=True)}

    async def move(self, prices: Mapping[str, int]) -> None:
        """Raises KeeperError for a token without a feed or a price the aggregators refuse."""
        _check(prices)
        head = await self._net.request("eth_getBlockByNumber", "latest", False)
        wanted = {**await self.read("pending"), **prices}
        swaps, trades = await self._swaps(wanted), await self._trades(wanted, int(head["timestamp"], 16))
        await self._send(TRANSMITTER, self._transmissions(prices, int(head["timestamp"], 16)))
        await self._send(TRADER, swaps)
        await self._send(PERP_ARBITRAGEUR, trades)

    async def arbitrage(self) -> None:
        """Where one block's trades were not enough: a step further towards the prices as they are, behind whoever bids for the block."""
        head = await self._net.request("eth_getBlockByNumber", "latest", False)
        trades = await self._trades(await self.read("pending"), int(head["timestamp"], 16))
        await self._send(PERP_ARBITRAGEUR, [trade | {"maxPriorityFeePerGas": "0x0"} for trade in trades])

    async def answer(self, prices: Mapping[str, int]) -> None:
        """See Devnet.set_answers."""
        _check(prices)
        head = await self._net.request("eth_getBlockByNumber", "latest", False)
        await self._send(TRANSMITTER, self._transmissions(prices, int(head["timestamp"], 16)))

    async def change_phase(self, symbol: str, least: int, most: int) -> Address:
        """See Devnet.change_phase."""
        name, answer = f"aggregator.{symbol}", (await self.read("latest"))[symbol]
        args = (8, f"{symbol} / USD", least, most, TRANSMITTER)
        receipt = await self._net.transact(DEPLOYER, None, self._net.contract(name).creation(args, {}))
        self._net.addresses[name] = aggregator = Address(receipt["contractAddress"])
        await self.move({symbol: answer})
        await self._net.mine()
        for step in ("proposeAggregator", "confirmAggregator"):
            feed = f"feed.{symbol}"
            await self._net.transact(DEPLOYER, self._net.addresses[feed], self._net.encode(feed, step, aggregator))
        return aggregator

    def _transmissions(self, prices: Mapping[str, int], time_s: int) -> list[dict[str, str]]:
        transactions = []
        for symbol, answer in prices.items():
            self._epoch += 1
            data = self._net.encode(f"aggregator.{symbol}", "transmit", *report(answer, time_s, self._epoch))
            to = self._net.addresses[f"aggregator.{symbol}"]
            transactions.append(transaction(TRANSMITTER, to, data, 0, TRANSMIT_GAS))
        return transactions

    async def _send(self, sender: Address, transactions: Sequence[dict[str, str]]) -> None:
        """Nonces are given: the node runs a batch side by side."""
        nonce = int(await self._net.request("eth_getTransactionCount", sender, "pending"), 16)
        await self._net.batch([("eth_sendTransaction", [tx | {"nonce": hex(nonce + i)}]) for i, tx in enumerate(transactions)])

    async def _swaps(self, prices: Mapping[str, int]) -> list[dict[str, str]]:
        """The mempool is executed first, so that a second move in one block starts where the first one ends."""
        slots = await self._views([(pool.name, "slot0") for pool in POOLS], "pending")
        moves = ((pool, slot[0], self._target(pool, prices)) for pool, slot in zip(POOLS, slots, strict=True))
        return [self._swap(pool, target < current, target) for pool, current, target in moves if target != current]

    async def _trades(self, prices: Mapping[str, int], time_s: int) -> list[dict[str, str]]:
        slots = await self._views([(f"perp.pool.{symbol}", "slot0") for symbol in PERP_MARKETS], "pending")
        return self._perpetuals.trades(prices, slots, time_s + self._step_s)

    def _target(self, pool: Pool, prices: Mapping[str, int]) -> int:
        first, second = ordered(pool, self._tokens())
        return sqrt_price_x96(prices[first], BY_SYMBOL[first].unit, prices[second], BY_SYMBOL[second].unit)

    def _swap(self, pool: Pool, down: bool, target: int) -> dict[str, str]:
        token0, token1 = (self._tokens()[symbol] for symbol in ordered(pool, self._tokens()))
        token_in, token_out = (token0, token1) if down else (token1, token0)
        params = (token_in, token_out, pool.fee, TRADER, ENOUGH, 0, target)
        data = self._net.encode("uniswap.router", "exactInputSingle", params)
        return transaction(TRADER, self._net.addresses["uniswap.router"], data, 0, SWAP_GAS)

    def _tokens(self) -> dict[str, Address]:
        return {symbol: self._net.addresses[f"token.{symbol}"] for symbol in BY_SYMBOL}

    async def _views(self, calls: Sequence[tuple[str, str]], block: str) -> list[tuple[Any, ...]]:
        requests = [{"to": self._net.addresses[name], "data": "0x" + self._net.encode(name, view).hex()} for name, view in calls]
        replies = await self._net.batch([("eth_call", [request, block]) for request in requests])
        codecs = [self._net.contract(name) for name, _ in calls]
        parts = zip(codecs, calls, replies, strict=True)
        return [codec.decode(view, 0, bytes.fromhex(reply[2:])) for codec, (_, view), reply in parts]


def _check(prices: Mapping[str, int]) -> None:
    for symbol, price in prices.items():
        if symbol not in BY_SYMBOL:
            raise KeeperError(f"the devnet has no token {symbol}: it has {', '.join(BY_SYMBOL)}")
        if not MIN_ANSWER <= price <= MAX_ANSWER:
            raise KeeperError(f"the price of {symbol} must be within {MIN_ANSWER} and {MAX_ANSWER}, was {price}")
