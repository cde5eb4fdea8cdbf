"""Every way in which money is handed out first and asked back in a callback, as a hostile contract would play it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keeper.execution import executor as codec
from keeper.types import Action, Address, Callback, Log, Step
from tests.contracts.chain import STRANGER, Chain, abi_call, selector

LOAN = "flashLoanSimple(address,address,uint256,bytes,uint16)"
SWAP = "swap(address,bool,int256,uint160,bytes)"
LENT = "executeOperation(address,uint256,uint256,address,bytes)"
STANDARD_LENT = "onFlashLoan(address,address,uint256,uint256,bytes)"
OWED = "uniswapV3SwapCallback(int256,int256,bytes)"
MARKET = "liquidate((address,address,address,address,uint256),address,uint256,uint256,bytes)"


@dataclass(frozen=True, slots=True)
class Way:
    """How a lender is called (`head`: of the executor and the token) and how it answers: (executor or whoever, token, amount, steps)."""

    name: str
    callback: Callback
    called: str
    head: Callable[[Address, Address], bytes]
    answer: Callable[[Address, Address, int, bytes], bytes]

    def step(self, target: Address, executor: Address, owed: Address, inner: Sequence[Action] = ()) -> Step:
        return Step(target, self.head(executor, owed), callback=self.callback, owed=owed, inner=tuple(inner))


def _head(signature: str, *args: object) -> bytes:
    """Without the length of the empty bytes at its end."""
    return abi_call(signature, *args)[:-32]


WAYS = (
    Way(
        "aave",
        Callback.PULL,
        LOAN,
        lambda executor, token: _head(LOAN, executor, token, 1000, b"", 0),
        lambda executor, token, amount, steps: abi_call(LENT, token, amount, 0, executor, steps),
    ),
    Way(
        "erc3156",
        Callback.PULL,
        "flashLoan(address,address,uint256,bytes)",
        lambda executor, token: _head("flashLoan(address,address,uint256,bytes)", executor, token, 1000, b""),
        lambda executor, token, amount, steps: abi_call(STANDARD_LENT, executor, token, amount, 0, steps),
    ),
    Way(
        "morpho",
        Callback.PULL,
        "flashLoan(address,uint256,bytes)",
        lambda _, token: _head("flashLoan(address,uint256,bytes)", token, 1000, b""),
        lambda _executor, _token, amount, steps: abi_call("onMorphoFlashLoan(uint256,bytes)", amount, steps),
    ),
    Way(
        "morpho liquidation",
        Callback.PULL,
        MARKET,
        lambda executor, token: _head(MARKET, (token, token, token, token, 0), executor, 7, 0, b""),
        lambda _executor, _token, amount, steps: abi_call("onMorphoLiquidate(uint256,bytes)", amount, steps),
    ),
    Way(
        "uniswap",
        Callback.PUSH,
        SWAP,
        lambda executor, _: _head(SWAP, executor, True, -1000, 1, b""),
        lambda _executor, _token, amount, steps: abi_call(OWED, amount, -1, steps),
    ),
)
PULLS = [way for way in WAYS if way.callback is Callback.PULL]


def answers(executor: Address, token: Address, amount: int, steps: bytes) -> list[bytes]:
    """Every callback there is, each in its best form."""
    return [way.answer(executor, token, amount, steps) for way in WAYS]


def take(token: Address, source: Address, to: Address, amount: int) -> tuple[Address, bytes]:
    return token, abi_call("transferFrom(address,address,uint256)", source, to, amount)


async def lender(chain: Chain, way: Way, *calls: tuple[Address, bytes]) -> Address:
    """A puppet that makes these calls when it is asked for money."""
    puppet = await chain.puppet()
    await chain.program(puppet, selector(way.called), *calls, reply=bytes(64))
    return puppet


async def allowed(chain: Chain, token: Address, holder: Address, spender: Address) -> int:
    return int.from_bytes(await chain.call(STRANGER, token, abi_call("allowance(address,address)", holder, spender)))


def profit(logs: Sequence[Log], executor: Address) -> int:
    found = codec.settled(logs, executor)
    assert found is not None, "nothing was settled"
    return found[1]
