"""Calls of the executor built from its published ABI alone, so that the judge shares no code with what it judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode

from keeper.contracts import load
from keeper.devnet import Devnet
from keeper.devnet.artifacts import Contract
from keeper.types import ZERO_ADDRESS, Address

MAX = 2**256 - 1
MIN_LIMIT, MAX_LIMIT = 4295128740, 1461446703485210103287273052203988822378723970341
AMOUNT_OFFSET = 4 + 2 * 32  # of swap(recipient, zeroForOne, amountSpecified, …)
NO_FUNDING, FLASH_LOAN, FLASH_SWAP = 0, 1, 2
NO_GUARD = (ZERO_ADDRESS, b"", 0, 0)

EXECUTOR = Contract("executor", {"abi": list(load().abi), "bytecode": "0x" + load().bytecode.hex()})

Step = tuple[Address, bytes, Address, int]


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
    sold, profit, zero_for_one = path, choice.debt, False
    if funding.kind == FLASH_SWAP:
        sold, profit, zero_for_one = path[:-1], path[-1].token_in, path[-1].zero_for_one
    steps = [*_liquidation(net, choice), *(_sale(net, executor, hop) for hop in sold)]
    tokens = sorted({choice.debt, choice.collateral, *(hop.token_in for hop in path)} - {profit})
    borrowed = (funding.kind, funding.source, choice.debt, funding.amount, zero_for_one)
    return EXECUTOR.encode("execute", (NO_GUARD, borrowed, encode_steps(steps), profit, 0, tokens))


def encode_steps(steps: Sequence[Step]) -> bytes:
    return encode(["(address,bytes,address,uint256)[]"], [steps])


def liquidation(net: Devnet, choice: Choice) -> bytes:
    """The market's own call."""
    return net.encode(f"{choice.market}.pool", "liquidationCall", choice.collateral, choice.debt, choice.account, choice.cover, False)


def approval(net: Devnet, choice: Choice, amount: int = MAX) -> bytes:
    return net.encode("token.WETH", "approve", net.addresses[f"{choice.market}.pool"], amount)


def _liquidation(net: Devnet, choice: Choice) -> list[Step]:
    return [
        (choice.debt, approval(net, choice), ZERO_ADDRESS, 0),
        (net.addresses[f"{choice.market}.pool"], liquidation(net, choice), ZERO_ADDRESS, 0),
        (choice.debt, approval(net, choice, 0), ZERO_ADDRESS, 0),
    ]


def _sale(net: Devnet, executor: Address, hop: Hop) -> Step:
    """Sells the executor's whole balance."""
    limit = MIN_LIMIT if hop.zero_for_one else MAX_LIMIT
    payer = encode(["address"], [hop.token_in])
    data = net.encode("pool.WETH-USDC-500", "swap", executor, hop.zero_for_one, 0, limit, payer)
    return hop.pool, data, hop.token_in, AMOUNT_OFFSET
