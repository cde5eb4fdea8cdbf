"""A judge of the keeper that shares nothing with its planner: is any money left on the table?

It reads accounts from the contracts, lets the chain itself say what each deed moves and each path pays, and runs every promising call of
the executor on the node in the next block. Of every account it looks at all pairs, at ten amounts, on the best paths, with all fundings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from keeper.devnet import Devnet
from keeper.devnet.names import MARKETS
from keeper.types import Address
from tests.e2e.checker import aave, morpho, perp, witch
from tests.e2e.checker.attempts import Attempt, Attempts
from tests.e2e.checker.block import Block, moved
from tests.e2e.checker.position import Position
from tests.e2e.checker.worth import prices_of, worth_wei

__all__ = ["ALL", "Attempt", "Position", "Report", "check", "liquidatable", "moved", "prices_of", "protocol_of", "worth_wei"]

JUDGES: Mapping[str, Callable[[Block], Awaitable[list[Position]]]] = {
    "aave": aave.positions,
    "morpho": morpho.positions,
    "yield": witch.positions,
    "perp": perp.positions,
}
LENDERS = {"aave": tuple(f"{market}.pool" for market in MARKETS), "morpho": ("morpho.blue",)}
ALL = tuple(JUDGES)


@dataclass(frozen=True, slots=True)
class Report:
    positions: tuple[Position, ...]
    moves: int
    attempts: tuple[Attempt, ...]

    @property
    def profitable(self) -> list[Attempt]:
        """Best first."""
        return sorted((a for a in self.attempts if a.net_wei > 0), key=lambda a: -a.net_wei)

    def best(self) -> dict[tuple[str, str], Attempt]:
        """(protocol, kind of deed) → the most profitable."""
        return {(protocol_of(a.choice.market), a.choice.kind): a for a in reversed(self.profitable)}


async def check(
    net: Devnet, executor: Address, tip_wei: int = 0, protocols: Sequence[str] = ("aave",), block: int | str = "latest"
) -> Report:
    """Try everything on the state of `block` in the next one, where gas costs the base fee and `tip_wei`. Changes nothing. `protocols`:
    those judged; they also lend."""
    following = await Block.after(net, block, tip_wei)
    positions = [position for protocol in protocols for position in await JUDGES[protocol](following)]
    lenders = [net.addresses[name] for protocol in protocols for name in LENDERS.get(protocol, ())]
    attempts = Attempts(following, executor, lenders)
    moves = await attempts.moves([deed for position in positions for deed in position.deeds])
    return Report(tuple(positions), len(moves), tuple(await attempts.attempts(moves)))


async def liquidatable(net: Devnet) -> set[tuple[str, Address]]:
    """(market, account) of every borrower with a health factor below 1 in the next block, by the chain's own word."""
    return set(await aave.unhealthy(await Block.after(net)))


def protocol_of(market: str) -> str:
    """Isolated markets go by their ids, the others by their devnet's name."""
    return "morpho" if market.startswith("0x") else market.partition("_")[0]
