"""Our own artifacts come from the sources beside them, and the codec speaks the ABI."""

from __future__ import annotations

import json
import re

import pytest

from keeper.address import created
from keeper.devnet import Devnet, install
from keeper.devnet.artifacts import OWN
from keeper.devnet.contracts.__main__ import compile_source
from keeper.errors import KeeperError
from keeper.types import Address


@pytest.mark.parametrize("name", sorted(source.stem for source in OWN.glob("*.vy")))
def test_the_committed_artifact_is_what_its_source_compiles_to(name: str) -> None:
    assert json.loads((OWN / f"{name}.json").read_text()) == compile_source(OWN / f"{name}.vy")


def test_the_lock_file_names_no_registry() -> None:
    assert not re.search(r"resolved|registry|\.tgz", install.lock().decode())


async def test_a_full_signature_chooses_between_overloads(devnet: Devnet) -> None:
    one = devnet.encode("token.USDC", "mint(address,uint256)", devnet.borrowers[0], 5)
    assert one[:4].hex() == "40c10f19"
    assert devnet.encode("token.USDC", "mint", 5)[:4].hex() == "a0712d68"


async def test_an_unknown_function_is_a_clear_error(devnet: Devnet) -> None:
    with pytest.raises(KeeperError, match="has 0 functions nope of 1 arguments"):
        devnet.encode("token.USDC", "nope", 5)


@pytest.mark.parametrize(
    ("nonce", "expected"),  # known addresses of anvil's first account
    [(0, "0x5fbdb2315678afecb367f032d93f642f64180aa3"), (1, "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512")],
)
def test_an_address_is_known_before_its_contract_exists(nonce: int, expected: str) -> None:
    assert created(Address("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"), nonce) == expected


async def test_a_computed_address_is_right_for_large_nonces_too(net: Devnet) -> None:
    sender = Address("0x" + "55" * 20)
    await net.request("anvil_setBalance", sender, hex(10**18))
    for nonce in (127, 128, 256, 70_000):
        await net.request("anvil_setNonce", sender, hex(nonce))
        receipt = await net.transact(sender, None, bytes.fromhex("00"), gas=100_000)
        assert receipt["contractAddress"] == created(sender, nonce)
