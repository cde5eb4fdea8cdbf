"""`keeper deploy`: put the executor on the chain, or an account contract that holds positions; let one more signer act."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from eth_hash.auto import keccak

from keeper.address import checksum, created
from keeper.app import chain_named, open_market
from keeper.chain.fees import next_base_fee
from keeper.chain.node import Node
from keeper.chain.relay import PublicRelay
from keeper.chain.rpc_errors import RpcError
from keeper.chain.wire import hex_bytes
from keeper.config import Settings
from keeper.config.settings import ChainSettings
from keeper.errors import ConfigError, Halt
from keeper.execution import account as custody
from keeper.execution import executor
from keeper.execution.keys import Key, load_key
from keeper.inventory.port import Custodial
from keeper.log import get_logger
from keeper.nodes import open_node
from keeper.ports import Reader
from keeper.types import Address, Hash, SendResult

_log = get_logger("deploy")

GAS_HEADROOM_PERCENT = 110
RECEIPT_TRIES, RECEIPT_WAIT_S = 240, 0.5

Row = dict[str, Any]


async def deploy(
    settings: Settings,
    owner: Address | None = None,
    beneficiary: Address | None = None,
    operator: Address | None = None,
    again: bool = False,
) -> list[Row]:
    """Deploys with the configured signer's key and waits for the receipt; roles not given come from the config. One row: the address.
    `again`: though there is one already."""
    chain = chain_named(settings)
    owner, beneficiary = _roles(chain, owner, beneficiary)
    key = await _key(chain)
    async with open_node(chain) as (rpc, reader):
        if not again and chain.executor and chain.executor.address:
            await _refuse_twin(reader, "executor", chain.executor.address, f"chains.{chain.name}.executor.address")
        data = executor.deploy_data(owner, beneficiary, [operator or key.address])
        address = await _deployed(chain, rpc, reader, key, await _nonce(rpc, key), data)
    return [{"executor": address, "owner": owner, "beneficiary": beneficiary, "operator": operator or key.address, "chain": chain.name}]


async def deploy_account(
    settings: Settings,
    market: str | None = None,
    owner: Address | None = None,
    beneficiary: Address | None = None,
    operator: Address | None = None,
    again: bool = False,
    show: bool = False,
    in_lines: bool = False,
) -> list[Row]:
    """An account contract for a market where positions can be held (the only one if none is named), with all that it is allowed, in words,
    and the table of the config that puts it to work. It obeys the executor, or whom
    `operator` names. `show`: nothing is sent. One row, or `in_lines` one a fact."""
    chain = chain_named(settings)
    owner, beneficiary = _roles(chain, owner, beneficiary)
    operator = operator or (chain.executor.address if chain.executor else None)
    if operator is None and not show:
        raise ConfigError(f"chains.{chain.name}.executor.address: an account obeys the executor: deploy that first")
    key = await _key(chain)
    async with open_node(chain) as (rpc, reader):
        keeps = await _custodial(chain, reader, market)
        if not again and (twin := next((item.account for item in chain.inventory if item.market == keeps.name), None)):
            await _refuse_twin(reader, "account", twin, f"chains.{chain.name}.inventory")
        nonce = await _nonce(rpc, key)
        address, permitted = created(key.address, nonce), keeps.permissions()
        data = custody.deploy_data(owner, beneficiary, [operator] if operator else [], permitted, keeps.limits(address))
        if not show:
            await _deployed(chain, rpc, reader, key, nonce, data)
    row = {
        "account": "" if show else address,
        "market": keeps.name,
        "owner": owner,
        "beneficiary": beneficiary,
        "operator": operator or "",
        "may": [f"{one.target}: {one.meaning}" for one in permitted],
        "must": [f"{one.target}: {one.meaning}" for one in keeps.limits(address)],
        "config": "" if show else f'[[chains.inventory]]\nmarket = "{keeps.name}"\naccount = "{checksum(address)}"\nmode = "hold"',
    }
    return _lines(row) if in_lines else [row]


def _lines(row: Row) -> list[Row]:
    lines = [(key, value) for key, values in row.items() for value in (values if isinstance(values, list) else [values]) if value]
    return [{"what": key, "is": value} for key, value in lines]


async def add_operator(settings: Settings, operator: Address, show: bool = False) -> list[Row]:
    """Lets one more signer act through the executor: one transaction of the executor's owner. `show`: nothing is sent; the row has the call
    for the owner's own wallet. One row; `state`: added, already or shown."""
    chain = chain_named(settings)
    address = chain.executor.address if chain.executor else None
    if address is None:
        raise ConfigError(
            f"chains.{chain.name}.executor.address: there is no executor yet that could have another operator: deploy it first"
        )
    data = executor.add_operator_data(operator)
    async with open_node(chain) as (rpc, reader):
        owner, allowed = await _owner(chain, reader, address, operator)
        state = "already" if allowed else "shown" if show else "added"
        if state == "added":
            key = await _owners_key(chain, owner)
            await _transacted(chain, rpc, reader, key, await _nonce(rpc, key), data, address)
    return [{"executor": address, "operator": operator, "state": state, "owner": owner, "call": hex_bytes(data), "chain": chain.name}]


async def _owner(chain: ChainSettings, reader: Reader, address: Address, operator: Address) -> tuple[Address, bool]:
    """Whose it is, and whether the operator is one already. Raises ConfigError."""
    where = f"chains.{chain.name}.executor.address: {address}"
    if not await reader.code(address):
        raise ConfigError(f"{where} is no contract; see `keeper deploy`")
    owner, allowed = await reader.calls([executor.owner(address), executor.is_operator(address, operator)])
    if owner is None or allowed is None or len(owner) != 32 or len(allowed) != 32:
        raise ConfigError(f"{where} is not an executor; see `keeper deploy`")
    return Address("0x" + owner[-20:].hex()), bool(int.from_bytes(allowed))


async def _owners_key(chain: ChainSettings, owner: Address) -> Key:
    key = await _key(chain)
    if key.address != owner:
        raise ConfigError(
            f"chains.{chain.name}.signer: {key.address} is not the owner of the executor, who alone can add an operator: {owner} can send"
            " the call that --show prints"
        )
    return key


async def _custodial(chain: ChainSettings, reader: Reader, name: str | None) -> Any:
    """Raises ConfigError."""
    found = [await open_market(chain, item, reader) for item in chain.markets if name in (None, item.name)]
    if name and not found:
        raise ConfigError(f"chains.{chain.name}.markets: none is named {name!r}")
    able = [market for market in found if isinstance(market, Custodial)]
    if len(able) == 1:
        return able[0]
    if name:
        raise ConfigError(f"chains.{chain.name}: no position can be kept on {name}")
    raise ConfigError(f"chains.{chain.name}: name the market with --market: " + (", ".join(one.name for one in able) or "none can hold"))


def _roles(chain: ChainSettings, owner: Address | None, beneficiary: Address | None) -> tuple[Address, Address]:
    roles = chain.executor
    owner = owner or (roles.owner if roles else None)
    beneficiary = beneficiary or (roles.beneficiary if roles else None)
    if owner is None or beneficiary is None:
        raise ConfigError("deploy needs an owner and a beneficiary: --owner, --beneficiary, or [chains.executor] in the config")
    return owner, beneficiary


async def _key(chain: ChainSettings) -> Key:
    if chain.signer is None:
        raise ConfigError(f"chains.{chain.name}.signer: deploy needs the key that pays for it")
    return await load_key(chain.signer, os.environ)


async def _refuse_twin(reader: Reader, what: str, address: Address, where: str) -> None:
    """A second one costs gas, and divides what is held and earned."""
    if await reader.code(address):
        raise ConfigError(f"{where}: there is an {what} already at {address}; deploy another with --again")


async def _nonce(rpc: Node, key: Key) -> int:
    return int(await rpc.request("eth_getTransactionCount", key.address, "latest"), 16)


async def _deployed(chain: ChainSettings, rpc: Node, reader: Reader, key: Key, nonce: int, data: bytes) -> Address:
    receipt = await _transacted(chain, rpc, reader, key, nonce, data)
    address = Address(receipt["contractAddress"].lower())
    if not await reader.code(address):
        raise Halt(f"the deployment left no code at {address}")
    return address


async def _transacted(
    chain: ChainSettings, rpc: Node, reader: Reader, key: Key, nonce: int, data: bytes, to: Address | None = None
) -> dict[str, Any]:
    """A mined transaction's receipt. `to` None: it creates a contract."""
    head = await reader.head()
    what = "call" if to else "deployment"
    fees = (2 * next_base_fee(head), chain.bidding.min_priority_fee_wei)
    tx = await _signed(rpc, key, {"data": hex_bytes(data)} | ({"to": checksum(to)} if to else {}), chain.chain_id, nonce, fees, what)
    return await _mined(rpc, await _sent(rpc, tx, key.address, what), what)


async def _signed(rpc: Node, key: Key, call: Row, chain_id: int, nonce: int, fees: tuple[int, int], what: str) -> bytes:
    """`fees`: twice the base fee, and the priority fee, in wei per gas."""
    from eth_account import Account

    base_wei, priority_wei = fees
    try:
        gas = int(await rpc.request("eth_estimateGas", {"from": key.address, **call}, "latest"), 16)
    except RpcError as error:
        raise Halt(f"the {what} would fail: {error.message} (sender {key.address})") from None
    fields = {
        "chainId": chain_id,
        "nonce": nonce,
        "gas": gas * GAS_HEADROOM_PERCENT // 100,
        "maxFeePerGas": base_wei + priority_wei,
        "maxPriorityFeePerGas": priority_wei,
        "value": 0,
        **call,
    }
    return bytes(Account.sign_transaction(fields, key.reveal()).raw_transaction)


async def _sent(rpc: Node, raw: bytes, sender: Address, what: str) -> Hash:
    """Its hash is told before the wait, in which people lose patience."""
    tx = Hash(hex_bytes(keccak(raw)))
    sent = await PublicRelay(rpc).send(raw, tx)
    if sent.result is SendResult.REFUSED:
        raise Halt(f"the node refuses the {what}: {sent.detail} (sender {sender})")
    _log.info(f"{what}_sent", tx=tx)
    return tx


async def _mined(rpc: Node, tx: Hash, what: str) -> dict[str, Any]:
    for _ in range(RECEIPT_TRIES):
        receipt: dict[str, Any] | None = await rpc.request("eth_getTransactionReceipt", tx)
        if receipt is not None:
            if int(receipt["status"], 16) != 1:
                raise Halt(f"the {what} {tx} reverted")
            return receipt
        await asyncio.sleep(RECEIPT_WAIT_S)
    then = ", and put the contract's address into the config when it is" if what == "deployment" else ""
    raise Halt(f"the {what} {tx} is not mined yet: look it up{then}")
