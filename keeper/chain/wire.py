"""JSON-RPC's hex and objects to and from the keeper's values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from keeper.errors import Transient
from keeper.types import Address, Hash, Head, Landing, Log

BlockId = int | Hash | Literal["latest"]


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """What an account is said to be during a simulation. `storage`: slot → word."""

    code: bytes | None = None
    balance_wei: int | None = None
    storage: Mapping[int, int] = field(default_factory=dict)


def hex_bytes(data: bytes) -> str:
    return "0x" + data.hex()


def hex_word(value: int) -> str:
    return f"0x{value:064x}"


def from_hex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def block_param(block: BlockId) -> str | dict[str, str]:
    """A number, a tag, or a hash as EIP-1898 writes it."""
    if isinstance(block, int):
        return hex(block)
    return block if block == "latest" else {"blockHash": block}


def head_of(raw: Mapping[str, Any] | None) -> Head | None:
    """A header from a block or a newHeads notice; None when the node has none. A chain without EIP-1559 has base fee 0."""
    if raw is None:
        return None
    try:
        return Head(
            number=int(raw["number"], 16),
            hash=Hash(raw["hash"].lower()),
            parent_hash=Hash(raw["parentHash"].lower()),
            timestamp_s=int(raw["timestamp"], 16),
            base_fee_wei=int(raw.get("baseFeePerGas") or "0x0", 16),
            gas_limit=int(raw["gasLimit"], 16),
            gas_used=int(raw["gasUsed"], 16),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Transient("the node sent a header that is not one") from None


def log_of(raw: Mapping[str, Any], timestamp_s: int) -> Log:
    try:
        return Log(
            address=Address(raw["address"].lower()),
            topics=tuple([topic.lower() for topic in raw["topics"]]),
            data=bytes.fromhex(raw["data"][2:]),
            block_number=int(raw["blockNumber"], 16),
            block_hash=Hash(raw["blockHash"].lower()),
            timestamp_s=timestamp_s,
            tx_hash=Hash(raw["transactionHash"].lower()),
            tx_index=int(raw["transactionIndex"], 16),
            log_index=int(raw["logIndex"], 16),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Transient("the node sent a log that is not one") from None


def stated_time(raw: Mapping[str, Any]) -> int | None:
    """The block's timestamp where the node puts it into the log."""
    stated = raw.get("blockTimestamp")
    try:
        return int(stated, 16) if isinstance(stated, str) else None
    except ValueError:
        raise Transient("the node sent a log that is not one") from None


def block_overrides(landing: Landing) -> dict[str, str]:
    return {"number": hex(landing.number), "time": hex(landing.timestamp_s), "baseFeePerGas": hex(landing.base_fee_wei)}


def state_overrides(accounts: Mapping[Address, AccountOverride]) -> dict[str, dict[str, Any]]:
    return {address: _account(account) for address, account in accounts.items()}


def _account(account: AccountOverride) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if account.code is not None:
        said["code"] = hex_bytes(account.code)
    if account.balance_wei is not None:
        said["balance"] = hex(account.balance_wei)
    if account.storage:
        said["stateDiff"] = {hex_word(slot): hex_word(value) for slot, value in account.storage.items()}
    return said


def addresses_param(addresses: Sequence[Address]) -> list[Address] | Address:
    """One address stands alone: some nodes take only that."""
    return addresses[0] if len(addresses) == 1 else list(addresses)
