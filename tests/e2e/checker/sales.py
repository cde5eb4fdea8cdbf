"""What tokens sell for: every path over the devnet's pools, by the quoter's word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keeper.devnet import Devnet
from keeper.devnet.names import DEPLOYER
from keeper.devnet.uniswap import POOLS
from keeper.types import Address
from tests.e2e.calls import Call, Hop, Path
from tests.e2e.checker.block import Block, ok

MAX_HOPS = 3
PATHS_TRIED = 2

Sale = tuple[Address, Address, int]
"""So much of a token, for another."""


class Sales:
    """In one block."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._graph = list(_graph(block.net))

    async def best(self, sales: Sequence[Sale]) -> list[dict[Path, int]]:
        """For each, the paths that pay most, best first, with what they pay. A token is sold for itself by no hop at all."""
        options = [list(self._paths(token, target)) for token, target, _ in sales]
        quotes = await self._quotes([(path, amount) for paths, (_, _, amount) in zip(options, sales, strict=True) for path in paths])
        answers = iter(quotes)
        paid = [{path: quote for path in paths if (quote := next(answers)) is not None} for paths in options]
        return [dict(sorted(by_path.items(), key=lambda item: -item[1])[:PATHS_TRIED]) for by_path in paid]

    async def _quotes(self, wanted: Sequence[tuple[Path, int]]) -> list[int | None]:
        results = await self._block.run(DEPLOYER, [[self._question(path, amount)] if path and amount else [] for path, amount in wanted])
        return [_reply(path, amount, result) for (path, amount), result in zip(wanted, results, strict=True)]

    def _question(self, path: Path, amount: int) -> Call:
        net = self._block.net
        tokens = b"".join(hop.fee.to_bytes(3) + bytes.fromhex(hop.token_out[2:]) for hop in path)
        data = net.encode("uniswap.quoter", "quoteExactInput", bytes.fromhex(path[0].token_in[2:]) + tokens, amount)
        return Call(net.addresses["uniswap.quoter"], data)

    def _paths(self, token: Address, target: Address, passed: frozenset[Address] = frozenset()) -> Iterator[Path]:
        if token == target:
            yield ()
        elif len(passed) < MAX_HOPS:
            for hop in self._graph:
                if hop.token_in == token and hop.token_out not in passed:
                    yield from ((hop, *rest) for rest in self._paths(hop.token_out, target, passed | {token}))


def _reply(path: Path, amount: int, result: Sequence[dict[str, str]]) -> int | None:
    if not result:
        return None if path else amount
    return int(result[0]["returnData"][:66], 16) if ok(result[0]) else None


def _graph(net: Devnet) -> Iterator[Hop]:
    for pool in POOLS:
        one, other = net.addresses[f"token.{pool.base}"], net.addresses[f"token.{pool.quote}"]
        yield Hop(net.addresses[pool.name], pool.fee, one, other)
        yield Hop(net.addresses[pool.name], pool.fee, other, one)
