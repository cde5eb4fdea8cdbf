"""Perpetual markets: positions taken over and closed within one call, at ten sizes, and ether that is bought from debtors at a discount."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.devnet import Devnet
from keeper.devnet.names import PERP_MARKETS
from keeper.types import Address
from tests.e2e.calls import CHECK, Call, allowing
from tests.e2e.checker.block import Block
from tests.e2e.checker.position import Position, shares

MARKET, HOUSE, BALANCE, VAULT = "perp", "perp.clearing_house", "perp.account_balance", "perp.vault"
TRADED = "PositionChanged(address,address,int256,int256,uint256,int256,int256,uint256)"
MADE = "LiquidityChanged(address,address,address,int24,int24,int256,int256,int128,uint256)"
DEPOSITED = "Deposited(address,address,uint256)"
WAD, USDC_UNIT = 10**18, 10**6
MARGIN_PERCENT, LEAST_MARGIN = 15, 10 * USDC_UNIT
NEVER_S = 2**32


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Takes a part of a position over, on `margin` USDC, and closes it. `cover`: its signed size, 0 for as much as is allowed;
    `orders`: the base tokens in which the trader's orders are cancelled first."""

    market: str
    account: Address
    debt: Address
    collateral: Address
    cover: int
    target: Address
    margin: int
    orders: tuple[Address, ...]
    kind: str = "liquidate"
    promised: tuple[tuple[Address, int], ...] = ()

    def calls(self, net: Devnet, who: Address) -> list[Call]:
        house, vault = net.addresses[HOUSE], net.addresses[VAULT]
        deposit = Call(vault, net.encode(VAULT, "deposit", self.debt, self.margin))
        cancels = [Call(house, net.encode(HOUSE, "cancelAllExcessOrders", self.account, base)) for base in self.orders]
        liquidate = net.encode(HOUSE, "liquidate(address,address,int256)", self.account, self.target, self.cover)
        close = net.encode(HOUSE, "closePosition", (self.target, 0, 0, NEVER_S, bytes(32)))
        flat = Call(net.addresses[BALANCE], net.encode(BALANCE, "getTotalPositionSize", who, self.target), CHECK)
        withdraw = Call(vault, net.encode(VAULT, "withdrawAll", self.debt))
        return [*allowing(net, self.debt, vault, deposit), *cancels, Call(house, liquidate), Call(house, close), flat, withdraw]

    def awaiting(self, net: Devnet) -> Call | None:
        return None


@dataclass(frozen=True, slots=True)
class Purchase:
    """Buys so much of a debtor's ether."""

    market: str
    account: Address
    debt: Address
    collateral: Address
    cover: int
    kind: str = "collateral"
    promised: tuple[tuple[Address, int], ...] = ()

    def calls(self, net: Devnet, who: Address) -> list[Call]:
        vault = net.addresses[VAULT]
        data = net.encode(VAULT, "liquidateCollateral", self.account, self.collateral, self.cover, False)
        return allowing(net, self.debt, vault, Call(vault, data))

    def awaiting(self, net: Devnet) -> Call | None:
        return None


async def positions(block: Block) -> list[Position]:
    """Traders below their margin, and debtors whose collateral may be bought; who is both comes twice."""
    traders = await _traders(block)
    return [*await _below_margin(block, traders), *await _debtors(block, traders)]


async def _traders(block: Block) -> list[Address]:
    logs = [*await block.logs(HOUSE, TRADED, MADE), *await block.logs(VAULT, DEPOSITED)]
    who = [log["topics"][2 if log["address"] == block.net.addresses[VAULT] else 1] for log in logs]
    return sorted({Address("0x" + topic[-40:]) for topic in who})


async def _below_margin(block: Block, traders: Sequence[Address]) -> list[Position]:
    values = await block.read([(HOUSE, "getAccountValue", trader) for trader in traders])
    required = await block.read([(BALANCE, "getMarginRequirementForLiquidation", trader) for trader in traders])
    below = [(trader, value) for trader, (value,), (least,) in zip(traders, values, required, strict=True) if value < least]
    return [await _trader(block, trader, value) for trader, value in below]


async def _trader(block: Block, trader: Address, value: int) -> Position:
    bases = [block.net.addresses[f"perp.base.{symbol}"] for symbol in PERP_MARKETS]
    sizes = await block.read([(BALANCE, "getLiquidatablePositionSize", trader, base, value) for base in bases])
    orders = await block.read([("perp.order_book", "getOpenOrderIds", trader, base) for base in bases])
    marks = await block.read([(BALANCE, "getMarkPrice", base) for base in bases])
    making = tuple(base for base, (ids,) in zip(bases, orders, strict=True) if ids)
    usdc = block.net.addresses["token.USDC"]
    deeds = tuple(
        TakeOver(MARKET, trader, usdc, usdc, cover, base, _margin(cover or size, mark), making)
        for base, (size,), (mark,) in zip(bases, sizes, marks, strict=True)
        if size
        for cover in (*shares(size), 0)
    )
    return Position(MARKET, trader, {}, {base: abs(size) for base, (size,) in zip(bases, sizes, strict=True) if size}, deeds)


def _margin(size: int, mark: int) -> int:
    """More than the house asks of who takes this over."""
    return abs(size) * mark // WAD * MARGIN_PERCENT // 100 * USDC_UNIT // WAD + LEAST_MARGIN


async def _debtors(block: Block, traders: Sequence[Address]) -> list[Position]:
    answers = await block.read([(VAULT, "isLiquidatable", trader) for trader in traders])
    debtors = [trader for trader, (due,) in zip(traders, answers, strict=True) if due]
    ether, usdc = (block.net.addresses[f"token.{symbol}"] for symbol in ("WETH", "USDC"))
    most = await block.read([(VAULT, "getMaxRepaidSettlementAndLiquidatableCollateral", trader, ether) for trader in debtors])
    return [_debtor(trader, usdc, ether, owed, amount) for trader, (owed, amount) in zip(debtors, most, strict=True) if amount]


def _debtor(trader: Address, usdc: Address, ether: Address, owed: int, amount: int) -> Position:
    deeds = tuple(Purchase(MARKET, trader, usdc, ether, part) for part in shares(amount))
    return Position(MARKET, trader, {ether: amount}, {usdc: owed}, deeds)
