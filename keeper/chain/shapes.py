"""What an answer must look like to be one. A node in trouble, or something in front of it, says anything. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_HEX = re.compile(r"0x[0-9a-fA-F]*")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def plausible(method: str, result: Any) -> bool:
    """Whether a result can be one of this method's. Of methods that nothing here depends on, anything is."""
    check = _SHAPES.get(method)
    return check is None or check(result)


def _bytes(value: Any) -> bool:
    return isinstance(value, str) and len(value) % 2 == 0 and _HEX.fullmatch(value) is not None


def _quantity(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 2 and _HEX.fullmatch(value) is not None


def _hash(value: Any) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _object(**members: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(check(value.get(name)) for name, check in members.items())


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _list(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


_HEADER = _object(hash=_hash, parentHash=_hash, number=_quantity, timestamp=_quantity, gasLimit=_quantity, gasUsed=_quantity)
_RECEIPT = _object(
    transactionHash=_hash, blockHash=_hash, blockNumber=_quantity, status=_quantity, gasUsed=_quantity, effectiveGasPrice=_quantity
)
_LOG_KEYS = {"address", "topics", "data", "blockNumber", "blockHash", "transactionHash", "transactionIndex", "logIndex"}


def _log(value: Any) -> bool:
    """Has what one has; what that is, is looked at when it is read: there are many."""
    return isinstance(value, dict) and value.keys() >= _LOG_KEYS


def _called(value: Any) -> bool:
    """Of a call that succeeded, also its logs."""
    sound = _object(status=_quantity, gasUsed=_quantity, returnData=_or_none(_bytes))(value)
    return sound and (int(value["status"], 16) == 0 or isinstance(value.get("logs"), list))


def _some(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: bool(value) and _list(check)(value)


_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    "eth_chainId": _quantity,
    "eth_blockNumber": _quantity,
    "eth_gasPrice": _quantity,
    "eth_getBalance": _quantity,
    "eth_getTransactionCount": _quantity,
    "eth_estimateGas": _quantity,
    "eth_call": _bytes,
    "eth_getCode": _bytes,
    "eth_getStorageAt": _bytes,
    "eth_getBlockByNumber": _or_none(_HEADER),
    "eth_getBlockByHash": _or_none(_HEADER),
    "eth_getLogs": _list(_log),
    "eth_getTransactionReceipt": _or_none(_RECEIPT),
    "eth_getTransactionByHash": _or_none(_object(hash=_hash)),
    "eth_simulateV1": _some(_object(calls=_list(_called))),
}
