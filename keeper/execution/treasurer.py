"""Keeps every signer in gas money, beside the work: looks at the balances now and then, and has ether sent where `gas_money` says.

A transfer is a transaction like any other: journalled before it is sent, followed to its end, written to the ledger. It only ever goes out
from a signer that has nothing on its way, pays the least tip and waits for a base fee under its own cap, unless something waits behind it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple

from keeper.chain.node import Call, Node
from keeper.chain.rpc_errors import RpcError
from keeper.chain.wire import BlockId, block_param
from keeper.errors import Transient
from keeper.execution.fleet import Fleet
from keeper.execution.gas_money import FLOAT, SWEEP, GasMoney, Transfer, transfers
from keeper.execution.submission import Intent
from keeper.log import get_logger
from keeper.types import Address, Bid, Head, Landing

EVERY_BLOCKS = 5
TRANSFER_GAS = 21_000
PAYMENT_GAS = 100_000
"""To a beneficiary that is a contract. What it does not use is not paid for."""

_log = get_logger("gas_money")


class Terms(NamedTuple):
    """`max_fee_wei`: most a transfer pays per gas, its tip `tip_wei` included; where that is too little nothing is sent. `sweep_every_s`:
    from one sweep to the next at least."""

    money: GasMoney
    max_fee_wei: int
    tip_wei: int
    sweep_every_s: int


class Way(NamedTuple):
    """How things stand before the balances are read, so that what lands meanwhile is not missed: who has nothing on its way, to whom
    something is on its way, and whether a sweep is."""

    idle: set[Address]
    due: set[Address]
    sweeping: bool


class Treasurer:
    """Of one chain. `purses`: of each signer, whose ether it gives: its own; in a dry run that of the key it stands in for. `terms`: None:
    the balances are looked at, no more. `landing`: after a head; `halted`: why nothing is to be sent; `swept_s`: when it was swept last;
    `tell`: of each balance."""

    def __init__(
        self,
        fleet: Fleet,
        rpc: Node,
        purses: Mapping[Address, Address],
        beneficiary: Address,
        terms: Terms | None,
        head: Callable[[], Head],
        landing: Callable[[Head], Landing],
        halted: Callable[[], str],
        swept_s: Callable[[], Awaitable[int]],
        tell: Callable[[Address, int], None],
    ) -> None:
        self._fleet, self._rpc, self._purses, self._terms, self._head, self._landing = fleet, rpc, purses, terms, head, landing
        self._halted, self._swept_s, self._tell = halted, swept_s, tell
        self._beneficiary = None if beneficiary in fleet.signers else beneficiary
        self._next_block = 0

    async def look(self) -> None:
        """Every few blocks. A node that is away is asked another time."""
        head = self._head()
        if head.number < self._next_block:
            return
        self._next_block = head.number + EVERY_BLOCKS
        way, landing, terms = self._way(), self._landing(head), self._terms
        balances = await self.count(head.hash)
        if balances and terms and not self._halted() and landing.base_fee_wei + terms.tip_wei <= terms.max_fee_wei:
            to = await self._sweeps_to(terms, landing, way)
            for transfer, bid in self._wanted(terms, balances, landing, way, to):
                await self._send(transfer, bid, landing, terms.max_fee_wei)

    async def count(self, block: BlockId) -> dict[Address, int]:
        """What is in each purse then, told to the fleet and the metrics; nothing when the node does not say, as of a block that is gone."""
        calls: list[Call] = [("eth_getBalance", [purse, block_param(block)]) for purse in self._purses.values()]
        try:
            found = await self._rpc.batch(calls) if calls else []
        except (Transient, RpcError):
            return {}
        balances = {purse: int(wei, 16) for purse, wei in zip(self._purses.values(), found, strict=True) if isinstance(wei, str)}
        for purse, wei in balances.items():
            self._tell(purse, wei)
        if balances and self._terms:
            short = {purse for purse, wei in balances.items() if wei < self._terms.money.least_wei}
            self._fleet.poor = {signer for signer, purse in self._purses.items() if purse in short}
        return balances

    def _way(self) -> Way:
        idle, ahead = self._fleet.idle(), self._fleet.ahead()
        purses = {purse for signer, purse in self._purses.items() if signer in idle}
        return Way(purses, {top.to for top in ahead}, any(top.is_payment and top.market == SWEEP for top in ahead))

    async def _sweeps_to(self, terms: Terms, landing: Landing, way: Way) -> Address | None:
        """None: it is too early for the next sweep."""
        early = way.sweeping or landing.timestamp_s < await self._swept_s() + terms.sweep_every_s
        return None if early else self._beneficiary

    def _wanted(
        self, terms: Terms, balances: dict[Address, int], landing: Landing, way: Way, beneficiary: Address | None
    ) -> Iterator[tuple[Transfer, Bid]]:
        fee_wei = min(2 * landing.base_fee_wei + terms.tip_wei, terms.max_fee_wei)
        now = self._way()
        cost_wei = PAYMENT_GAS * terms.max_fee_wei
        for transfer in transfers(terms.money, balances, way.idle & now.idle, way.due | now.due, beneficiary, cost_wei):
            yield transfer, Bid(fee_wei, terms.tip_wei, TRANSFER_GAS if transfer.why == FLOAT else PAYMENT_GAS)

    async def _send(self, transfer: Transfer, bid: Bid, landing: Landing, cap_wei: int) -> None:
        """Unless it would fail: not every contract takes ether."""
        call = {"from": transfer.giver, "to": transfer.to, "value": hex(transfer.wei), "gas": hex(bid.gas_limit)}
        say = _log.bind(why=transfer.why, giver=transfer.giver, to=transfer.to, wei=transfer.wei)
        try:
            await self._rpc.request("eth_call", call, hex(landing.number - 1))
        except (Transient, RpcError) as no:
            say.warning("gas_money_kept", reason=str(no))
            return
        signer = next(signer for signer, purse in self._purses.items() if purse == transfer.giver)
        sent = await self._fleet.transfer(signer, _intent(transfer, bid, landing, cap_wei))
        if sent.unresolved:
            say.info("gas_money_sent", tx=sent.tx)
        else:
            say.info("gas_money_not_sent", reason=sent.detail)


def _intent(transfer: Transfer, bid: Bid, landing: Landing, cap_wei: int) -> Intent:
    return Intent(transfer.to, b"", bid, transfer.why, transfer.to, "", landing.number, cap_wei, value_wei=transfer.wei)
