"""Calls of the executor built from its published ABI and the layout of steps its source describes, so that the judge shares no code with
what it judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from keeper.contracts import load
from keeper.devnet import Devnet
from keeper.devnet.artifacts import Contract
from keeper.types import ZERO_ADDRESS, Address

MAX = 2**256 - 1
MIN_LIMIT, MAX_LIMIT = 4295128740, 1461446703485210103287273052203988822378723970341
AMOUNT_OFFSET = 4 + 2 * 32  # of swap(recipient, zeroForOne, amountSpecified, …)
NO_FUNDING, FLASH_LOAN, FLASH_SWAP, CALLBACK = 0, 1, 2, 3
NO_GUARD = (ZERO_ADDRESS, b"", 0, 0, 0)
PLAIN, OPTIONAL, PATCHED, CHECK, PUSH, PULL = 0, 1, 2, 4, 8, 16

EXECUTOR = Contract("executor", {"abi": list(load().abi), "bytecode": "0x" + load().bytecode.hex()})


@dataclass(frozen=True, slots=True)
class Hop:
    """One pool in one direction."""

    pool: Address
    fee: int
    token_in: Address
    token_out: Address

    @property
    def zero_for_one(self) -> bool:
        return self.token_in < self.token_out


Path = tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """`flags`: PLAIN, OPTIONAL, or CHECK: what it returns must be zero."""

    to: Address
    data: bytes
    flags: int = PLAIN


class Deed(Protocol):
    """Something a market lets anybody do: it takes `debt` and hands out `collateral`; `cover`: how much, in its own unit. `promised`:
    tokens it earns the beneficiary later."""

    @property
    def market(self) -> str: ...
    @property
    def account(self) -> Address: ...
    @property
    def debt(self) -> Address: ...
    @property
    def collateral(self) -> Address: ...
    @property
    def cover(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def promised(self) -> tuple[tuple[Address, int], ...]: ...

    def calls(self, net: Devnet, who: Address) -> list[Call]:
        """What `who` does, one after another; it has the money."""
        ...

    def awaiting(self, net: Devnet) -> Call | None:
        """The one call of a market that calls back, with bytes at its end, before it takes the payment."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One liquidation of a pooled market: of whom, what for what, how much. `market`: its name on the devnet."""

    market: str
    account: Address
    debt: Address
    collateral: Address
    cover: int
    kind: str = "liquidate"
    promised: tuple[tuple[Address, int], ...] = ()

    def calls(self, net: Devnet, who: Address) -> list[Call]:
        pool = net.addresses[f"{self.market}.pool"]
        return allowing(net, self.debt, pool, Call(pool, liquidation(net, self)))

    def awaiting(self, net: Devnet) -> Call | None:
        return None


@dataclass(frozen=True, slots=True)
class Funding:
    """`kind`: NO_FUNDING, FLASH_LOAN, FLASH_SWAP or CALLBACK, from `source`; `amount` of the debt token."""

    kind: int
    source: Address
    amount: int


def execute(net: Devnet, executor: Address, choice: Deed, funding: Funding, path: Path) -> bytes:
    """Everything is sold along `path`; no guard, no minimum. A flash swap takes the debt from the path's last pool."""
    sold, profit = path, choice.debt
    if funding.kind == FLASH_SWAP:
        sold, profit = path[:-1], path[-1].token_in
    sales = [_sale(net, executor, hop) for hop in sold]
    steps = b"".join((*map(_plain, choice.calls(net, executor)), *sales))
    if funding.kind == CALLBACK:
        steps = _awaiting(PULL, choice.debt, choice.awaiting(net), b"".join(sales))
    if funding.kind == FLASH_LOAN:
        steps = _awaiting(PULL, choice.debt, _loan(net, executor, choice.debt, funding), steps)
    if funding.kind == FLASH_SWAP:
        steps = _awaiting(PUSH, profit, Call(funding.source, _swap(net, executor, path[-1], -funding.amount)), steps)
    tokens = sorted({choice.debt, choice.collateral, *(hop.token_in for hop in path)} - {profit})
    return EXECUTOR.encode("execute", (NO_GUARD, _padded(steps), profit, 0, tokens))


def allowing(net: Devnet, token: Address, spender: Address, *calls: Call) -> list[Call]:
    """These calls between an allowance for all and one for nothing."""
    allowances = [Call(token, net.encode("token.WETH", "approve", spender, amount)) for amount in (MAX, 0)]
    return [allowances[0], *calls, allowances[1]]


def liquidation(net: Devnet, choice: Choice) -> bytes:
    """The market's own call."""
    return net.encode(f"{choice.market}.pool", "liquidationCall", choice.collateral, choice.debt, choice.account, choice.cover, False)


def _loan(net: Devnet, executor: Address, token: Address, funding: Funding) -> Call:
    if funding.source == net.addresses["morpho.blue"]:
        return Call(funding.source, net.encode("morpho.blue", "flashLoan", token, funding.amount, b""))
    return Call(funding.source, net.encode("aave_v36.pool", "flashLoanSimple", executor, token, funding.amount, b"", 0))


def _plain(call: Call) -> bytes:
    bound = (1).to_bytes(32) if call.flags == CHECK else b""
    return _step(call.flags, call.to, ZERO_ADDRESS, bound + call.data)


def _awaiting(flags: int, token: Address, call: Call | None, steps: bytes) -> bytes:
    """`call` ends with empty bytes, in whose place the steps are put."""
    if call is None:
        raise ValueError("this market does not call back")
    inner = _padded(steps)
    return _step(flags, call.to, token, call.data[:-32] + len(inner).to_bytes(32) + inner, inner=len(inner))


def _step(flags: int, target: Address, token: Address, data: bytes, place: int = 0, inner: int = 0) -> bytes:
    sizes = (flags.to_bytes(1), place.to_bytes(2), inner.to_bytes(2), len(data).to_bytes(2))
    return b"".join((*sizes, bytes(5), bytes.fromhex(target[2:]), bytes(12), bytes.fromhex(token[2:]), data))


def _padded(steps: bytes) -> bytes:
    return steps + bytes(-len(steps) % 32)


def _sale(net: Devnet, executor: Address, hop: Hop) -> bytes:
    """Sells the executor's whole balance."""
    data = _swap(net, executor, hop, 0)
    return _step(PUSH | PATCHED, hop.pool, hop.token_in, data, AMOUNT_OFFSET)


def _swap(net: Devnet, executor: Address, hop: Hop, amount: int) -> bytes:
    limit = MIN_LIMIT if hop.zero_for_one else MAX_LIMIT
    return net.encode("pool.WETH-USDC-500", "swap", executor, hop.zero_for_one, amount, limit, b"")
