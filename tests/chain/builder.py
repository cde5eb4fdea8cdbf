"""A fake: a block builder's endpoint. It records what it is sent and refuses what the real ones refuse; nothing of it reaches a chain."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

BUNDLE = {"txs", "blockNumber", "droppingTxHashes", "revertingTxHashes", "replacementUuid"}
PRIVATE = {"tx", "maxBlockNumber"}


@dataclass
class FakeBuilder:
    """`says`: an error to answer everything with."""

    url: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    signers: list[str] = field(default_factory=list)
    says: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        call = orjson.loads(body)
        try:
            self.signers.append(_vouched(request.headers["X-Flashbots-Signature"], body))
            method, [params] = call["method"], call["params"]
            {"eth_sendBundle": _bundle, "eth_sendPrivateTransaction": _private}.get(method, _cancel)(params)
        except (AssertionError, KeyError, ValueError, TypeError) as wrong:
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32602, "message": f"malformed: {wrong}"}})
        if self.says:
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32000, "message": self.says}})
        self.calls.append((method, params))
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": {}})

    def sent(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.calls if name == method]


@asynccontextmanager
async def fake_builder() -> AsyncIterator[FakeBuilder]:
    builder = FakeBuilder()
    app = web.Application()
    app.router.add_post("/", builder.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        builder.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield builder
    finally:
        await runner.cleanup()


def decoded(raw: str) -> dict[str, Any]:
    """A raw transaction's fields, with who signed it."""
    tx = TypedTransaction.from_bytes(HexBytes(raw))
    return tx.as_dict() | {"from": Account.recover_transaction(raw)}


def _vouched(header: str, body: bytes) -> str:
    address, signature = header.split(":")
    signer = Account.recover_message(encode_defunct(text=f"0x{keccak(body).hex()}"), signature=signature)
    assert signer.lower() == address.lower(), "signature"
    return str(signer)


def _hash(item: str) -> str:
    return item if len(item) == 66 else f"0x{keccak(bytes.fromhex(item[2:])).hex()}"


def _block(number: str) -> None:
    assert number == hex(int(number, 16)), "block number"


def _bundle(params: dict[str, Any]) -> None:
    assert params.keys() <= BUNDLE, "unknown field"
    assert params["txs"], "empty bundle"
    raws = [item for item in params["txs"] if len(item) != 66]
    known = {_hash(item) for item in params["txs"]}
    assert len(known) == len(params["txs"]), "a transaction twice"
    nonces: dict[str, int] = {}
    for raw in raws:
        tx = decoded(raw)
        assert nonces.setdefault(tx["from"], tx["nonce"]) == tx["nonce"], "nonces must follow each other"
        nonces[tx["from"]] += 1
    for spare in ("droppingTxHashes", "revertingTxHashes"):
        assert set(params.get(spare, ())) <= known, f"{spare} not in the bundle"
    _block(params["blockNumber"])
    uuid.UUID(params["replacementUuid"])


def _private(params: dict[str, Any]) -> None:
    assert params.keys() <= PRIVATE, "unknown field"
    decoded(params["tx"])
    _block(params["maxBlockNumber"])


def _cancel(params: dict[str, Any]) -> None:
    if "txHash" in params:
        assert len(params["txHash"]) == 66, "hash"
    else:
        uuid.UUID(params["replacementUuid"])
