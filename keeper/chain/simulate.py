"""The node's own verdict on calls of the executor, in the block they would land in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from keeper.chain.codec import decode_revert
from keeper.chain.node import Node
from keeper.chain.rehearse import call_of
from keeper.chain.rpc_errors import RpcError, is_revert, lacks_block, lacks_method
from keeper.chain.wire import AccountOverride, block_overrides, from_hex, hex_bytes, log_of, state_overrides
from keeper.errors import Transient
from keeper.types import Address, Landing, Log, Simulation, Waiting

log = structlog.get_logger("keeper.chain")

DecodeError = Callable[[bytes], str | None]
ProfitOf = Callable[[Sequence[Log]], int]

INVALID_PARAMS = -32602


class NodeSimulator:
    """The `Simulator` port: eth_simulateV1, all calls one after another in one block; where the node lacks it, eth_call for each alone.

    `gas`: each call's limit. `overrides`: what accounts are said to be (dry-run: the executor's code, the operator's role and balance).
    With eth_call there are no logs and `profit` is 0: only the executor's own minimum holds then. Raises Transient when the node is away
    or does not have the landing's parent."""

    def __init__(
        self,
        rpc: Node,
        executor: Address,
        operator: Address,
        decode_error: DecodeError,
        profit_of: ProfitOf,
        gas: int = 8_000_000,
        overrides: Mapping[Address, AccountOverride] | None = None,
    ) -> None:
        self._rpc = rpc
        self._executor = executor
        self._operator = operator
        self._decode_error = decode_error
        self._profit_of = profit_of
        self._gas = gas
        self._state = state_overrides(overrides or {})
        self.sequential = True

    async def behind(self, waiting: Sequence[Waiting], calls: Sequence[bytes], landing: Landing) -> list[Simulation]:
        """One verdict per call, after what others have waiting. Raises Transient where the node cannot say."""
        try:
            return (await self._together(calls, landing, [call_of(item) for item in waiting]))[len(waiting) :]
        except RpcError as error:
            raise Transient(f"{self._rpc.name}: {error.message}") from None

    async def simulate(self, calls: Sequence[bytes], landing: Landing) -> list[Simulation]:
        """One verdict per call, in order. The first `landing` after the node is found to lack eth_simulateV1 sets `sequential` to False."""
        if not calls:
            return []
        if self.sequential:
            try:
                return await self._together(calls, landing)
            except RpcError as error:
                self._judge(error)
        return await self._alone(calls, landing)

    def _judge(self, error: RpcError) -> None:
        """Remember a node that lacks the method; anything else is no verdict."""
        if lacks_block(error):
            raise Transient(f"{self._rpc.name}: {error.message}") from None
        if not lacks_method(error):
            raise error
        log.warning("simulate_falls_back", node=self._rpc.name, to="eth_call")
        self.sequential = False

    # --- eth_simulateV1

    async def _together(self, calls: Sequence[bytes], landing: Landing, before: Sequence[Mapping[str, str]] = ()) -> list[Simulation]:
        everything = [*before, *(self._call(data) for data in calls)]
        block = {
            "blockOverrides": {**block_overrides(landing), "gasLimit": hex(self._gas * (len(everything) + 1))},
            "stateOverrides": self._state,
            "calls": everything,
        }
        blocks = await self._rpc.request("eth_simulateV1", {"blockStateCalls": [block], "validation": False}, hex(landing.number - 1))
        results = blocks[0]["calls"]
        if len(results) != len(everything):
            raise Transient(f"{self._rpc.name}: gave {len(results)} verdicts on {len(everything)} calls")
        return [self._verdict(result, landing) for result in results]

    def _verdict(self, result: Mapping[str, Any], landing: Landing) -> Simulation:
        gas_used = int(result["gasUsed"], 16)
        if int(result["status"], 16) == 0:
            return Simulation(False, gas_used, self._reason(_revert_of(result), result.get("error")), 0)
        logs = tuple(log_of(raw, landing.timestamp_s) for raw in result["logs"])
        return Simulation(True, gas_used, "", self._profit_of(logs), logs)

    # --- eth_call

    async def _alone(self, calls: Sequence[bytes], landing: Landing) -> list[Simulation]:
        parent, overrides = hex(landing.number - 1), block_overrides(landing)
        requests = [
            (method, [self._call(data), parent, self._state, overrides]) for data in calls for method in ("eth_call", "eth_estimateGas")
        ]
        results = await self._rpc.batch(requests)
        return [self._single(called, gas) for called, gas in zip(results[::2], results[1::2], strict=True)]

    def _single(self, called: Any, gas: Any) -> Simulation:
        if isinstance(called, RpcError):
            if not is_revert(called):
                raise Transient(f"{self._rpc.name}: {called.message}") if lacks_block(called) else called
            return Simulation(False, 0, self._reason(called.data, {"message": called.message}), 0)
        return Simulation(True, self._gas if isinstance(gas, RpcError) else int(gas, 16), "", 0)

    # --- both

    def _call(self, data: bytes) -> dict[str, str]:
        return {"from": self._operator, "to": self._executor, "gas": hex(self._gas), "input": hex_bytes(data)}

    def _reason(self, data: bytes, error: Mapping[str, Any] | None) -> str:
        """The decoded revert; the node's words when the revert says nothing."""
        named = self._decode_error(data) or decode_revert(data)
        return named or (hex_bytes(data[:36]) if data else str((error or {}).get("message") or "reverted"))


def _revert_of(result: Mapping[str, Any]) -> bytes:
    """Geth gives the revert's bytes in the error, others in the return data."""
    error = result.get("error") or {}
    data = error.get("data") if isinstance(error, Mapping) else None
    return from_hex(data if isinstance(data, str) and data.startswith("0x") and len(data) > 2 else result.get("returnData") or "0x")
