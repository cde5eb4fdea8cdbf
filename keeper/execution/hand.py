"""Who acts: the signer, the executor, and what must be pretended for a dry run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.chain.node import Node
from keeper.chain.wire import AccountOverride, from_hex, hex_bytes
from keeper.config.settings import ChainSettings
from keeper.errors import ConfigError, Halt
from keeper.execution import account, executor
from keeper.execution.keys import Key, load_key, throwaway_key
from keeper.execution.signer import Signer
from keeper.ports import Reader
from keeper.secret import Secret
from keeper.types import Address

PLACEHOLDER = Address("0x" + "ee" * 20)
"""Where dry-run puts an executor that is not deployed."""

DRY_BALANCE_WEI = 10**21


@dataclass(frozen=True, slots=True)
class Hand:
    """`overrides`: state to simulate with, empty when live; `purses`: of each signer, whose ether it gives: its own, in a dry run that of
    the configured key it stands in for."""

    signers: tuple[Signer, ...]
    executor: Address
    beneficiary: Address
    overrides: Mapping[Address, AccountOverride]
    purses: Mapping[Address, Address]

    @property
    def signer(self) -> Signer:
        return self.signers[0]

    @property
    def ours(self) -> tuple[Address, ...]:
        """Every address that acts for us."""
        return (self.executor, *(signer.address for signer in self.signers))


async def open_hand(settings: ChainSettings, rpc: Node, reader: Reader, live: bool) -> Hand:
    """Live: the configured key and executor, which must exist and know us. Dry-run signs with a throwaway key, so that nothing it does can
    meet what a live run left in the outbox, and makes up what is missing."""
    named = await _keys(settings, live)
    keys = named if live else [throwaway_key() for _ in range(max(len(named), 1))]
    signers = tuple(Signer(Secret(key.reveal().hex())) for key in keys)
    purses = {signer.address: key.address for signer, key in zip(signers, named, strict=False)}
    wanted = settings.executor
    if wanted is not None and wanted.address is not None:
        return await _deployed(f"chains.{settings.name}.executor.address", reader, signers, purses, wanted.address, live)
    if live:
        raise ConfigError(f"chains.{settings.name}.executor.address: live needs a deployed executor; see `keeper deploy`")
    beneficiary = (wanted.beneficiary if wanted else None) or signers[0].address
    owner = (wanted.owner if wanted else None) or signers[0].address
    code = from_hex(await rpc.request("eth_call", {"data": hex_bytes(executor.deploy_data(owner, beneficiary, ()))}, "latest"))
    return Hand(signers, PLACEHOLDER, beneficiary, {PLACEHOLDER: replace(_roles(signers), code=code), **_funds(signers)}, purses)


async def _keys(settings: ChainSettings, live: bool) -> list[Key]:
    """Looked at in any mode: better a word now than on the day it goes live."""
    named = [settings.signer, *settings.more_signers] if settings.signer else []
    if live and not named:
        raise ConfigError(f"chains.{settings.name}.signer: live needs a key")
    keys = [await load_key(one, os.environ) for one in named if one]
    if twins := [key.address for place, key in enumerate(keys) if key.address in {other.address for other in keys[:place]}]:
        raise ConfigError(f"chains.{settings.name}.more_signers: {twins[0]} is given twice: a signer is one lane")
    return keys


def _roles(signers: Sequence[Signer]) -> AccountOverride:
    return AccountOverride(storage={int(executor.operator_slot(signer.address), 16): 1 for signer in signers})


def _funds(signers: Sequence[Signer]) -> dict[Address, AccountOverride]:
    return {signer.address: AccountOverride(balance_wei=DRY_BALANCE_WEI) for signer in signers}


async def _deployed(
    where: str, reader: Reader, signers: tuple[Signer, ...], purses: Mapping[Address, Address], address: Address, live: bool
) -> Hand:
    if not await reader.code(address):
        raise ConfigError(f"{where}: no contract at {address}; see `keeper deploy`")
    reads = [executor.beneficiary(address), *(executor.is_operator(address, signer.address) for signer in signers)]
    beneficiary, *allowed = await reader.calls(reads)
    if beneficiary is None or None in allowed or len(beneficiary) != 32:
        raise ConfigError(f"{where}: {address} is not an executor; see `keeper deploy`")
    for signer, said in zip(signers, allowed, strict=True):
        if live and not int.from_bytes(said or b""):
            raise ConfigError(f"{where}: {signer.address} is not an operator of {address}; its owner can add it")
    pretended = {} if live else {address: _roles(signers), **_funds(signers)}
    return Hand(signers, address, Address("0x" + beneficiary[-20:].hex()), pretended, purses)


async def open_accounts(settings: ChainSettings, reader: Reader, hand: Hand, live: bool) -> Hand:
    """The accounts that hold for us: each is there, and obeys the executor. A dry run pretends the latter."""
    pretended = dict(hand.overrides)
    for item in settings.inventory:
        where = f"chains.{settings.name}.inventory: {item.account}"
        if not await reader.code(item.account):
            raise ConfigError(f"{where} is no contract; see `keeper deploy --account`")
        (allowed,) = await reader.calls([executor.is_operator(item.account, hand.executor)])
        if allowed is None or len(allowed) != 32:
            raise ConfigError(f"{where} is not an account contract; see `keeper deploy --account`")
        if live and not int.from_bytes(allowed):
            raise ConfigError(f"{where} does not obey the executor {hand.executor}; its owner can add it as an operator")
        pretended[item.account] = AccountOverride(storage={int(account.operator_slot(hand.executor), 16): 1})
    return hand if live else replace(hand, overrides=pretended)


async def require_funds(settings: ChainSettings, rpc: Node, signers: Sequence[Address]) -> None:
    """Raises Halt: without ether nothing can be sent. Where signers give each other gas money it is enough that one has some."""
    empty = [signer for signer in signers if not int(await rpc.request("eth_getBalance", signer, "latest"), 16)]
    if empty and (settings.gas_money is None or len(empty) == len(signers)):
        raise Halt(f"chains.{settings.name}.signer: {empty[0]} has no eth to pay for gas: send it some")
