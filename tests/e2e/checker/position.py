"""What a protocol's judge finds: who is due, and what may be done about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from keeper.devnet import Devnet
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.names import DEPLOYER
from keeper.types import Address
from tests.e2e.calls import OPTIONAL, Call, Deed
from tests.e2e.checker.block import Result, ok

RICH = 2**100

PERMILLE = (1, 10, 50, 100, 200, 350, 500, 750, 1000)


@dataclass(frozen=True, slots=True)
class Position:
    """A liquidatable account: balances by token address, in smallest units, at the next block's time, and every deed worth trying."""

    market: str
    account: Address
    collaterals: Mapping[Address, int]
    debts: Mapping[Address, int]
    deeds: tuple[Deed, ...]

    def choices(self) -> Iterator[Deed]:
        return iter(self.deeds)


def shares(whole: int) -> list[int]:
    """Nine amounts, from a thousandth to the whole; of very little, fewer. Negative for a negative whole."""
    sign = -1 if whole < 0 else 1
    return sorted({sign * max(abs(whole) * share // 1000, 1) for share in PERMILLE}, key=abs)


def symbols(net: Devnet) -> dict[Address, str]:
    """Of the tokens that count."""
    return {net.addresses[f"token.{symbol}"]: symbol for symbol in BY_SYMBOL}


def own_money(net: Devnet, deed: Deed) -> list[Call]:
    """The deed as the deployer does it: rich in ether, and in whatever may be minted."""
    symbol = symbols(net)[deed.debt]
    minted = [] if symbol == "WETH" else [Call(deed.debt, net.encode(f"token.{symbol}", "mint(address,uint256)", DEPLOYER, RICH))]
    return [*minted, *deed.calls(net, DEPLOYER)]


def done(net: Devnet, deed: Deed, results: Sequence[Result]) -> list[Result] | None:
    """The logs of the deed, done so; None when a call failed that must not."""
    calls = deed.calls(net, DEPLOYER)
    own = results[len(results) - len(calls) :]
    if not all(ok(result) or call.flags == OPTIONAL for call, result in zip(calls, own, strict=True)):
        return None
    return [log for result in own for log in result["logs"]]
