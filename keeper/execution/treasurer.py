"""Keeps every signer in gas money, beside the work: looks at the balances now and then, and has ether sent where `gas_money` says.

A transfer is a transaction like any other: journalled before it is sent, followed to its end, written to the ledger. It only ever goes out
from a signer that has nothing on its way, so that nothing urgent waits behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from keeper.bidding.caps import Caps
from keeper.chain.node import Call, Node
from keeper.chain.rpc_errors import RpcError
from keeper.errors import Transient
from keeper.execution.fleet import Fleet
from keeper.execution.gas_money import FLOAT, GasMoney, Transfer, transfers
from keeper.execution.submission import Intent
from keeper.log import get_logger
from keeper.types import Address, Bid, Landing

EVERY_BLOCKS = 5
TRANSFER_GAS = 21_000
PAYMENT_GAS = 100_000
"""To a beneficiary that is a contract. What it does not use is not paid for."""

_log = get_logger("gas_money")


class Terms(NamedTuple):
    """`most_base_fee_wei`: per gas; above it nothing is sent."""

    money: GasMoney
    most_base_fee_wei: int


class Treasurer:
    """Of one chain. `terms`: None: the balances are looked at, no more. `landing`: the next block; `halted`: whether nothing is to be
    sent; `tell`: of each signer's balance."""

    def __init__(
        self,
        fleet: Fleet,
        rpc: Node,
        beneficiary: Address,
        terms: Terms | None,
        caps: Caps,
        landing: Callable[[], Landing],
        halted: Callable[[], str],
        tell: Callable[[Address, int], None],
    ) -> None:
        self._fleet, self._rpc, self._beneficiary, self._terms, self._caps = fleet, rpc, beneficiary, terms, caps
        self._landing, self._halted, self._tell = landing, halted, tell
        self._next_block = 0

    async def look(self) -> None:
        """Every few blocks. A node that is away is asked another time."""
        landing = self._landing()
        if landing.number < self._next_block:
            return
        self._next_block = landing.number + EVERY_BLOCKS
        if balances := await self._balances(landing.number - 1):
            for signer, wei in balances.items():
                self._tell(signer, wei)
            if self._terms and not self._halted() and landing.base_fee_wei <= self._terms.most_base_fee_wei:
                for transfer, bid in self._wanted(self._terms.money, balances, landing):
                    await self._send(transfer, bid, landing)

    async def _balances(self, block: int) -> dict[Address, int]:
        """What each signer has at the head; nothing when the node does not say. What the head does not show yet is on its way."""
        signers = self._fleet.signers
        calls: list[Call] = [("eth_getBalance", [signer, hex(block)]) for signer in signers]
        try:
            found = await self._rpc.batch(calls)
        except (Transient, RpcError):
            return {}
        return {signer: int(wei, 16) for signer, wei in zip(signers, found, strict=True) if isinstance(wei, str)}

    def _wanted(self, money: GasMoney, balances: dict[Address, int], landing: Landing) -> Iterator[tuple[Transfer, Bid]]:
        tip_wei = self._caps.min_priority_fee_wei
        fee_wei = min(2 * landing.base_fee_wei + tip_wei, self._caps.max_fee_wei)
        idle, due = self._fleet.idle(), {top.to for top in self._fleet.ahead()}
        for transfer in transfers(money, balances, idle, due, self._beneficiary, PAYMENT_GAS * fee_wei):
            yield transfer, Bid(fee_wei, tip_wei, TRANSFER_GAS if transfer.why == FLOAT else PAYMENT_GAS)

    async def _send(self, transfer: Transfer, bid: Bid, landing: Landing) -> None:
        """Unless it would fail: not every contract takes ether."""
        call = {"from": transfer.giver, "to": transfer.to, "value": hex(transfer.wei), "gas": hex(bid.gas_limit)}
        try:
            await self._rpc.request("eth_call", call, hex(landing.number - 1))
        except (Transient, RpcError) as no:
            _log.warning("gas_money_kept", why=transfer.why, giver=transfer.giver, to=transfer.to, wei=transfer.wei, reason=str(no))
            return
        _log.info("gas_money_sent", why=transfer.why, giver=transfer.giver, to=transfer.to, wei=transfer.wei)
        await self._fleet.transfer(transfer.giver, _intent(transfer, bid, landing, self._caps.max_fee_wei))


def _intent(transfer: Transfer, bid: Bid, landing: Landing, cap_wei: int) -> Intent:
    return Intent(transfer.to, b"", bid, transfer.why, transfer.to, "", landing.number, cap_wei, value_wei=transfer.wei)
