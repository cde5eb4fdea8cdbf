"""Isolated markets: every borrower of every market the chain ever logged, by shares of the debt and by shares of the collateral.

Anybody may open a market: what it hands out counts only where it is one of the devnet's own tokens, and it may fail in any way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eth_abi.abi import decode

from keeper.devnet import Devnet
from keeper.devnet.names import DEPLOYER
from keeper.types import Address
from tests.e2e.calls import Call, allowing
from tests.e2e.checker.block import Block
from tests.e2e.checker.position import Position, done, own_money, shares, symbols

BLUE = "morpho.blue"
PARAMS = "(address,address,address,address,uint256)"
CREATED = f"CreateMarket(bytes32,{PARAMS})"
BORROWED = "Borrow(bytes32,address,address,address,uint256,uint256)"

Params = tuple[Address, Address, Address, Address, int]


@dataclass(frozen=True, slots=True)
class Seizure:
    """`kind`: "shares", of debt that are repaid, or "assets", of collateral that are seized."""

    market: str
    account: Address
    debt: Address
    collateral: Address
    cover: int
    kind: str
    params: Params
    promised: tuple[tuple[Address, int], ...] = ()

    def calls(self, net: Devnet, who: Address) -> list[Call]:
        return allowing(net, self.debt, net.addresses[BLUE], self.awaiting(net))

    def awaiting(self, net: Devnet) -> Call:
        amounts = (self.cover, 0) if self.kind == "assets" else (0, self.cover)
        return Call(net.addresses[BLUE], net.encode(BLUE, "liquidate", self.params, self.account, *amounts, b""))


async def positions(block: Block) -> list[Position]:
    """Of those the contract itself lets be liquidated, whatever their markets are worth."""
    markets = await _markets(block)
    borrowers = await _borrowers(block)
    replies = await block.read([(BLUE, "position", bytes.fromhex(market[2:]), account) for market, account in borrowers])
    held = [
        _position(block.net, market, markets[market], account, owed, collateral)
        for (market, account), (_, owed, collateral) in zip(borrowers, replies, strict=True)
        if owed and collateral
    ]
    return await _allowed(block, held)


async def _markets(block: Block) -> dict[str, Params]:
    """Market id → parameters."""
    logs = await block.logs(BLUE, CREATED)
    return {log["topics"][1]: decode([PARAMS], bytes.fromhex(log["data"][2:]))[0] for log in logs}


async def _borrowers(block: Block) -> list[tuple[str, Address]]:
    logs = await block.logs(BLUE, BORROWED)
    return sorted({(log["topics"][1], Address("0x" + log["topics"][2][-40:])) for log in logs})


def _position(net: Devnet, market: str, params: Params, account: Address, owed: int, collateral: int) -> Position:
    """In shares of the debt and units of the collateral."""
    debt_token, collateral_token = params[:2]
    deeds = tuple(_seizures(market, params, account, owed, collateral)) if debt_token in symbols(net) else ()
    return Position(market, account, {collateral_token: collateral}, {debt_token: owed}, deeds)


def _seizures(market: str, params: Params, account: Address, owed: int, collateral: int) -> Iterator[Seizure]:
    for kind, whole in (("shares", owed), ("assets", collateral)):
        yield from (Seizure(market, account, params[0], params[1], amount, kind, params) for amount in shares(whole))


async def _allowed(block: Block, held: list[Position]) -> list[Position]:
    """Those of whom somebody rich may liquidate any amount at all."""
    results = iter(await block.run(DEPLOYER, [own_money(block.net, deed) for position in held for deed in position.deeds]))
    answers = [(position, [done(block.net, deed, next(results)) for deed in position.deeds]) for position in held]
    return [position for position, found in answers if any(logs is not None for logs in found)]
