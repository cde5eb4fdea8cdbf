"""Calls of the executor built from its published ABI and the layout of steps its source describes, so that the judge shares no code with
what it judges."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.contracts import load
from keeper.devnet import Devnet
from keeper.devnet.artifacts import Contract
from keeper.types import ZERO_ADDRESS, Address

MAX = 2**256 - 1
MIN_LIMIT, MAX_LIMIT = 4295128740, 1461446703485210103287273052203988822378723970341
AMOUNT_OFFSET = 4 + 2 * 32  # of swap(recipient, zeroForOne, amountSpecified, …)
NO_FUNDING, FLASH_LOAN, FLASH_SWAP = 0, 1, 2
NO_GUARD = (ZERO_ADDRESS, b"", 0, 0, 0)
PLAIN, PATCHED, PUSH, PULL = 0, 2, 8, 16

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
class Choice:
    """One liquidation: of whom, what for what, how much. `market`: its name on the devnet."""

    market: str
    account: Address
    debt: Address
    collateral: Address
    cover: int


@dataclass(frozen=True, slots=True)
class Funding:
    """`kind` and `source` as the executor knows them; `amount` of the debt token."""

    kind: int
    source: Address
    amount: int


def execute(net: Devnet, executor: Address, choice: Choice, funding: Funding, path: Path) -> bytes:
    """Everything is sold along `path`; no guard, no minimum. A flash swap takes the debt from the path's last pool."""
    sold, profit = path, choice.debt
    if funding.kind == FLASH_SWAP:
        sold, profit = path[:-1], path[-1].token_in
    steps = b"".join((*_liquidation(net, choice), *(_sale(net, executor, hop) for hop in sold)))
    if funding.kind == FLASH_LOAN:
        loan = net.encode(f"{choice.market}.pool", "flashLoanSimple", executor, choice.debt, funding.amount, b"", 0)
        steps = _step(PULL, funding.source, choice.debt, loan[:-32], inner=_padded(steps))
    if funding.kind == FLASH_SWAP:
        steps = _step(PUSH, funding.source, profit, _swap(net, executor, path[-1], -funding.amount), inner=_padded(steps))
    tokens = sorted({choice.debt, choice.collateral, *(hop.token_in for hop in path)} - {profit})
    return EXECUTOR.encode("execute", (NO_GUARD, _padded(steps), profit, 0, tokens))


def _step(flags: int, target: Address, token: Address, data: bytes, place: int = 0, inner: bytes | None = None) -> bytes:
    """With `inner`: `data` is what stands before the length of these last bytes of its calldata."""
    if inner is not None:
        data += len(inner).to_bytes(32) + inner
    sizes = (flags.to_bytes(1), place.to_bytes(2), len(inner or b"").to_bytes(2), len(data).to_bytes(2))
    return b"".join((*sizes, bytes(5), bytes.fromhex(target[2:]), bytes(12), bytes.fromhex(token[2:]), data))


def _padded(steps: bytes) -> bytes:
    return steps + bytes(-len(steps) % 32)


def liquidation(net: Devnet, choice: Choice) -> bytes:
    """The market's own call."""
    return net.encode(f"{choice.market}.pool", "liquidationCall", choice.collateral, choice.debt, choice.account, choice.cover, False)


def approval(net: Devnet, choice: Choice, amount: int = MAX) -> bytes:
    return net.encode("token.WETH", "approve", net.addresses[f"{choice.market}.pool"], amount)


def _liquidation(net: Devnet, choice: Choice) -> list[bytes]:
    return [
        _step(PLAIN, choice.debt, ZERO_ADDRESS, approval(net, choice)),
        _step(PLAIN, net.addresses[f"{choice.market}.pool"], ZERO_ADDRESS, liquidation(net, choice)),
        _step(PLAIN, choice.debt, ZERO_ADDRESS, approval(net, choice, 0)),
    ]


def _sale(net: Devnet, executor: Address, hop: Hop) -> bytes:
    """Sells the executor's whole balance."""
    return _step(PUSH | PATCHED, hop.pool, hop.token_in, _swap(net, executor, hop, 0), AMOUNT_OFFSET, b"")


def _swap(net: Devnet, executor: Address, hop: Hop, amount: int) -> bytes:
    limit = MIN_LIMIT if hop.zero_for_one else MAX_LIMIT
    return net.encode("pool.WETH-USDC-500", "swap", executor, hop.zero_for_one, amount, limit, b"")[:-32]
