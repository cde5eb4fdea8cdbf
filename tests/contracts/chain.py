"""The devnet's node as the contract tests need it: deploy, send, ask; every transaction in a block of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak

from keeper.devnet import Devnet
from keeper.devnet.rpc import RpcError
from keeper.execution.executor import decode_error
from keeper.types import ZERO_ADDRESS, Address, Guard, Hash, Log

HOSTILE = Path(__file__).with_name("hostile")

OWNER = Address("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")
OPERATOR = Address("0x70997970c51812dc3a010c7d01b50e0d17dc79c8")
STRANGER = Address("0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc")
BENEFICIARY = Address("0x" + "be" * 20)

NO_GUARD = Guard(ZERO_ADDRESS, b"", 0, 0)


@dataclass(frozen=True, slots=True)
class Receipt:
    ok: bool
    gas_used: int
    logs: tuple[Log, ...]


@cache
def compiled(name: str) -> bytes:
    """Creation code of one of the contracts under `hostile/`."""
    from vyper.compiler import compile_code

    code: str = compile_code((HOSTILE / f"{name}.vy").read_text(), output_formats=["bytecode"])["bytecode"]
    return bytes.fromhex(code[2:])


def selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


def abi_call(signature: str, *args: object) -> bytes:
    """Calldata of `name(type,…)`."""
    types = signature[signature.index("(") + 1 : -1]
    return selector(signature) + encode(_split(types), args)


def _split(types: str) -> list[str]:
    parts, depth = [""], 0
    for letter in types:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part]


class Chain:
    """Sends as any account (they are impersonated) and mines at once."""

    def __init__(self, net: Devnet) -> None:
        self.net = net

    async def deploy(self, code: bytes, sender: Address = OWNER) -> Address:
        raw = await self._mine({"from": sender, "data": "0x" + code.hex(), "gas": hex(8_000_000)})
        assert raw["status"] == "0x1", "deployment failed"
        return Address(raw["contractAddress"].lower())

    async def puppet(self) -> Address:
        return await self.deploy(compiled("puppet"))

    async def program(
        self, puppet: Address, selector: bytes, *calls: tuple[Address, bytes], reply: bytes = b"", fails: bool = False
    ) -> None:
        data = abi_call("program(bytes4,(address,bytes)[],bytes,bool)", selector, list(calls), reply, fails)
        assert (await self.send(OWNER, puppet, data)).ok

    async def send(self, sender: Address, to: Address, data: bytes, gas: int = 5_000_000) -> Receipt:
        raw = await self._mine({"from": sender, "to": to, "data": "0x" + data.hex(), "gas": hex(gas)})
        return Receipt(raw["status"] == "0x1", int(raw["gasUsed"], 16), tuple(map(_log, raw["logs"])))

    async def call(self, sender: Address, to: Address, data: bytes, overrides: dict[str, Any] | None = None) -> bytes:
        """Reply of an eth_call on the latest state. Raises RpcError on a revert."""
        transaction = {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": hex(8_000_000)}
        reply: str = await self.net.request("eth_call", transaction, "latest", overrides or {})
        return bytes.fromhex(reply[2:])

    async def revert(self, sender: Address, to: Address, data: bytes, overrides: dict[str, Any] | None = None) -> bytes:
        """Revert data of a call that must fail."""
        try:
            await self.call(sender, to, data, overrides)
        except RpcError as error:
            return bytes.fromhex(error.data[2:])
        raise AssertionError("the call went through")

    async def error(self, sender: Address, to: Address, data: bytes) -> str | None:
        return decode_error(await self.revert(sender, to, data))

    async def balance(self, token: Address, account: Address) -> int:
        return int.from_bytes(await self.call(OWNER, token, abi_call("balanceOf(address)", account)))

    async def _mine(self, transaction: dict[str, Any]) -> dict[str, Any]:
        tx = await self.net.request("eth_sendTransaction", transaction)
        await self.net.mine()
        receipt: dict[str, Any] = await self.net.request("eth_getTransactionReceipt", tx)
        return receipt


def _log(raw: dict[str, Any]) -> Log:
    return Log(
        address=Address(raw["address"].lower()),
        topics=tuple(raw["topics"]),
        data=bytes.fromhex(raw["data"][2:]),
        block_number=int(raw["blockNumber"], 16),
        block_hash=Hash(raw["blockHash"]),
        timestamp_s=0,
        tx_hash=Hash(raw["transactionHash"]),
        tx_index=int(raw["transactionIndex"], 16),
        log_index=int(raw["logIndex"], 16),
    )
