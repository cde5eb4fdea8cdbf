"""More borrowers than a devnet has, in seconds: what the node stores of an account, stored again under another address.

No contract's layout is known here. Reading an account tells which slots are touched; those that are the account's own are found by trying:
Solidity keeps mapping[account] of the variable at position p in slot keccak(account ‖ p).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_utils.crypto import keccak

from keeper.devnet import Devnet
from keeper.errors import Halt
from keeper.ports import View
from keeper.types import Address, Read, Write

POSITIONS = 256
REQUESTS = 2000
"""Requests sent at once."""

WORD = 32


@dataclass(frozen=True, slots=True)
class Copy:
    original: Address
    address: Address


@dataclass(frozen=True, slots=True)
class Stored:
    """A word of one account: whose contract, at which mapping's position, and its value."""

    contract: Address
    position: int
    value: str


async def clone(net: Devnet, reads: Mapping[Address, Read], count: int) -> list[Copy]:
    """`count` accounts that read like the originals, in turn. `reads`: a call that touches all that is stored of an account."""
    originals = list(reads)
    stored = {account: await _stored(net, account, read) for account, read in reads.items()}
    copies = [Copy(originals[number % len(originals)], _address(number)) for number in range(count)]
    writes: list[tuple[str, list[object]]] = [
        ("anvil_setStorageAt", [word.contract, _slot(copy.address, word.position), word.value])
        for copy in copies
        for word in stored[copy.original]
    ]
    await _send(net, writes)
    return copies


def cells(copies: Sequence[Copy], tables: Sequence[str], view: View) -> list[Write]:
    """The book's side of it: every cell of an original, for its copy."""
    of: dict[Address, list[Write]] = defaultdict(list)
    for table in tables:
        for key in view.keys(table):
            of[Address(str(key[-1]))].append((table, key, view.get(table, key)))
    return [(table, (*key[:-1], copy.address), value) for copy in copies for table, key, value in of[copy.original]]


async def _stored(net: Devnet, account: Address, read: Read) -> list[Stored]:
    call = {"to": read.target, "data": "0x" + read.data.hex()}
    touched = (await net.request("eth_createAccessList", call, "latest"))["accessList"]
    position_of = {_slot(account, position): position for position in range(POSITIONS)}
    own = [
        (Address(entry["address"]), position_of[slot], slot) for entry in touched for slot in entry["storageKeys"] if slot in position_of
    ]
    if not own:
        raise Halt("the node stores nothing of a borrower where it was looked for")
    return [Stored(at, position, await net.request("eth_getStorageAt", at, slot, "latest")) for at, position, slot in own]


async def _send(net: Devnet, requests: Sequence[tuple[str, list[object]]]) -> None:
    for start in range(0, len(requests), REQUESTS):
        await net.batch(requests[start : start + REQUESTS])


def _slot(account: Address, position: int) -> str:
    return "0x" + keccak(bytes.fromhex(account[2:]).rjust(WORD, b"\0") + position.to_bytes(WORD, "big")).hex()


def _address(number: int) -> Address:
    return Address(f"0x{0xC10E << 144 | number + 1:040x}")
