"""`keeper deploy`: put the executor on the chain."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from keeper.app import chain_named, open_node
from keeper.chain.fees import next_base_fee
from keeper.chain.rpc import Rpc, RpcError
from keeper.chain.wire import hex_bytes
from keeper.config import Settings
from keeper.errors import ConfigError, Halt
from keeper.execution import executor
from keeper.execution.keys import load_key
from keeper.types import Address

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
        address = await _mined(rpc, str(await rpc.request("eth_sendRawTransaction", tx)))
        if not await reader.code(address):
            raise Halt(f"the deployment left no code at {address}")
    return [{"executor": address, "owner": owner, "beneficiary": beneficiary, "operator": operator or key.address, "chain": chain.name}]


async def _signed(rpc: Rpc, key: bytes, sender: Address, data: bytes, chain_id: int, base_wei: int, priority_wei: int) -> str:
    from eth_account import Account

    try:
        gas = int(await rpc.request("eth_estimateGas", {"from": sender, "data": hex_bytes(data)}, "latest"), 16)
    except RpcError as error:
        raise ConfigError(f"the deployment would fail: {error.message}") from None
    fields = {
        "chainId": chain_id,
        "nonce": int(await rpc.request("eth_getTransactionCount", sender, "latest"), 16),
        "gas": gas * GAS_HEADROOM_PERCENT // 100,
        "maxFeePerGas": base_wei + priority_wei,
        "maxPriorityFeePerGas": priority_wei,
        "value": 0,
        "data": hex_bytes(data),
    }
    return hex_bytes(bytes(Account.sign_transaction(fields, key).raw_transaction))


async def _mined(rpc: Rpc, tx: str) -> Address:
    for _ in range(RECEIPT_TRIES):
        receipt = await rpc.request("eth_getTransactionReceipt", tx)
        if receipt is not None:
            if int(receipt["status"], 16) != 1:
                raise Halt(f"the deployment {tx} reverted")
            return Address(receipt["contractAddress"].lower())
        await asyncio.sleep(RECEIPT_WAIT_S)
    raise Halt(f"the deployment {tx} is not mined yet: look it up, and put the contract's address into the config when it is")
