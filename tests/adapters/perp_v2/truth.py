"""What the chain says of accounts and books, at any time, next to what the adapter says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from keeper.adapters.perp_v2.codec import signed_word
from keeper.adapters.perp_v2.liquidation import collateral_for, collateral_liquidatable, most_collateral, repaid_for
from keeper.adapters.perp_v2.market import PerpV2Market
from keeper.adapters.perp_v2.settling import DUST
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Address, Read
from tests.adapters.chain import NodeReader
from tests.adapters.perp_v2.curie import Curie


class Question(NamedTuple):
    """`mine`: None where the adapter says that the contract reverts."""

    what: str
    read: Read
    word: int
    mine: int | None


def questions(curie: Curie, market: PerpV2Market, view: View, account: Address, at_s: int) -> Iterator[Question]:
    def ask(what: str, mine: int | None, name: str, function: str, *args: object, word: int = 0) -> Question:
        return Question(f"{what} of {account}", Read(curie.at(name), curie.data(name, function, *args)), word, mine)

    try:
        found = market.account(view, account, at_s)
    except Skip:
        yield ask("value", None, "clearing_house", "getAccountValue", account)
        return
    yield ask("value", found.counted, "clearing_house", "getAccountValue", account)
    yield ask("requirement", found.requirement, "account_balance", "getMarginRequirementForLiquidation", account)
    yield ask("funding", sum(p.funding for p in found.positions), "exchange", "getAllPendingFundingPayment", account)
    yield ask("owed", found.owed, "account_balance", "getPnlAndPendingFee", account)
    yield ask("unrealized", found.unrealized, "account_balance", "getPnlAndPendingFee", account, word=1)
    yield ask("fee", sum(p.orders.fee for p in found.positions), "account_balance", "getPnlAndPendingFee", account, word=2)
    for ratio in (100_000, 62_500):
        yield ask(f"free collateral at {ratio}", found.free_collateral(ratio), "vault", "getFreeCollateralByRatio", account, ratio)
    yield ask("settlement", (found.settlement + found.unrealized) // found.scale, "vault", "getSettlementTokenValue", account)
    moment = market.moment(view, at_s)
    yield ask("collateral trigger", int(collateral_liquidatable(moment, found)), "vault", "isLiquidatable", account)
    for held, _, _ in found.collaterals:
        most = most_collateral(moment, found, held)
        yield ask("most collateral", most, "vault", "getMaxRepaidSettlementAndLiquidatableCollateral", account, held.token, word=1)
        paid = (account, held.token)
        yield ask("most repaid", repaid_for(moment, held, most), "vault", "getMaxRepaidSettlementAndLiquidatableCollateral", *paid)
        yield ask("repaid", repaid_for(moment, held, 10**17 + 7), "vault", "getRepaidSettlementByCollateral", held.token, 10**17 + 7)
        yield ask(
            "bought",
            collateral_for(moment, held, (10**9 + 7) * found.scale),
            "vault",
            "getLiquidatableCollateralBySettlement",
            held.token,
            10**9 + 7,
        )
    for position in found.positions:
        base = market.deployment.books[position.number].base
        yield ask("size", position.size, "account_balance", "getTotalPositionSize", account, base)
        taker = position.taker_size if abs(position.taker_size) >= DUST else 0
        yield ask("taker size", taker, "account_balance", "getTakerPositionSize", account, base)
        yield ask("position value", position.value, "account_balance", "getTotalPositionValue", account, base)
        most = found.most(position)
        yield ask("liquidatable", most, "account_balance", "getLiquidatablePositionSize", account, base, found.counted)


def marks(curie: Curie, market: PerpV2Market, view: View, at_s: int) -> Iterator[Question]:
    for number, book in enumerate(market.deployment.books):
        read = Read(curie.at("account_balance"), curie.data("account_balance", "getMarkPrice", book.base))
        try:
            mine = market.moment(view, at_s).book(number).mark
        except Skip:
            mine = None
        yield Question(f"mark of {book.symbol}", read, 0, mine)


async def differences(reader: NodeReader, asked: list[Question], at_s: int | None = None) -> list[str]:
    replies = await reader.calls([question.read for question in asked], at_s=at_s)
    found = [None if reply is None else signed_word(reply, question.word) for question, reply in zip(asked, replies, strict=True)]
    return [f"{q.what}: chain {theirs}, mine {q.mine}" for q, theirs in zip(asked, found, strict=True) if theirs != q.mine]
