"""`keeper deploy`: put the executor on the chain."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from eth_hash.auto import keccak

from keeper.app import chain_named, open_node
from keeper.chain.fees import next_base_fee
from keeper.chain.relay import PublicRelay
from keeper.chain.rpc import Rpc, RpcError
from keeper.chain.wire import hex_bytes
from keeper.config import Settings
from keeper.errors import ConfigError, Halt
from keeper.execution import executor
from keeper.execution.keys import load_key
from keeper.log import get_logger
from keeper.types import Address, Hash, SendResult

_log = get_logger("deploy")

GAS_HEADROOM_PERCENT = 110
RECEIPT_TRIES, RECEIPT_WAIT_S = 240, 0.5


async def deploy(
    settings: Settings, owner: Address | None = None, beneficiary: Address | None = None, operator: Address | None = None
) -> list[dict[str, Any]]:
    """Deploys with the configured signer's key and waits for the receipt; roles not given come from the config. One row: the address."""
    chain = chain_named(settings)
    roles = chain.executor
    owner = owner or (roles.owner if roles else None)
    beneficiary = beneficiary or (roles.beneficiary if roles else None)
    if owner is None or beneficiary is None:
        raise ConfigError("deploy needs an owner and a beneficiary: --owner, --beneficiary, or [chains.executor] in the config")
    if chain.signer is None:
        raise ConfigError(f"chains.{chain.name}.signer: deploy needs the key that pays for it")
    key = await load_key(chain.signer, os.environ)
    async with open_node(chain) as (rpc, reader):
        head = await reader.head()
        data = executor.deploy_data(owner, beneficiary, [operator or key.address])
        tx = await _signed(
            rpc, key.reveal(), key.address, data, chain.chain_id, 2 * next_base_fee(head), chain.bidding.min_priority_fee_wei
        )
        address = await _mined(rpc, await _sent(rpc, tx, key.address))
        if not await reader.code(address):
            raise Halt(f"the deployment left no code at {address}")
    return [{"executor": address, "owner": owner, "beneficiary": beneficiary, "operator": operator or key.address, "chain": chain.name}]


async def _signed(rpc: Rpc, key: bytes, sender: Address, data: bytes, chain_id: int, base_wei: int, priority_wei: int) -> bytes:
    from eth_account import Account

    try:
        gas = int(await rpc.request("eth_estimateGas", {"from": sender, "data": hex_bytes(data)}, "latest"), 16)
    except RpcError as error:
        raise Halt(f"the deployment would fail: {error.message} (sender {sender})") from None
    fields = {
        "chainId": chain_id,
        "nonce": int(await rpc.request("eth_getTransactionCount", sender, "latest"), 16),
        "gas": gas * GAS_HEADROOM_PERCENT // 100,
        "maxFeePerGas": base_wei + priority_wei,
        "maxPriorityFeePerGas": priority_wei,
        "value": 0,
        "data": hex_bytes(data),
    }
    return bytes(Account.sign_transaction(fields, key).raw_transaction)


async def _sent(rpc: Rpc, raw: bytes, sender: Address) -> Hash:
    """Its hash is told before the wait, in which people lose patience."""
    tx = Hash(hex_bytes(keccak(raw)))
    sent = await PublicRelay(rpc).send(raw, tx)
    if sent.result is SendResult.REFUSED:
        raise Halt(f"the node refuses the deployment: {sent.detail} (sender {sender})")
    _log.info("deployment_sent", tx=tx)
    return tx


async def _mined(rpc: Rpc, tx: Hash) -> Address:
    for _ in range(RECEIPT_TRIES):
        receipt = await rpc.request("eth_getTransactionReceipt", tx)
        if receipt is not None:
            if int(receipt["status"], 16) != 1:
                raise Halt(f"the deployment {tx} reverted")
            return Address(receipt["contractAddress"].lower())
        await asyncio.sleep(RECEIPT_WAIT_S)
    raise Halt(f"the deployment {tx} is not mined yet: look it up, and put the contract's address into the config when it is")
