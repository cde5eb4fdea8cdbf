"""Contracts as compiled: their ABIs as a codec (eth_abi only, no web3) and their creation code, linked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from keeper.errors import KeeperError
from keeper.types import Address

Abi = list[dict[str, Any]]

OWN = Path(__file__).with_name("contracts")
CORE_V302 = "@aave/core-v3/artifacts/contracts"
PERP = "@perp/curie-deployments/optimism/core/artifacts"
PREBUILT = {
    "WETH9": f"{CORE_V302}/dependencies/weth/WETH9.sol",
    "MintableERC20": f"{CORE_V302}/mocks/tokens/MintableERC20.sol",
    "UniswapV3Factory": "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol",
    "UniswapV3Pool": "@uniswap/v3-core/artifacts/contracts/UniswapV3Pool.sol",
    "NonfungiblePositionManager": "@uniswap/v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol",
    "SwapRouter02": "@uniswap/swap-router-contracts/artifacts/contracts/SwapRouter02.sol",
    "QuoterV2": "@uniswap/swap-router-contracts/artifacts/contracts/lens/QuoterV2.sol",
}
V302_FOLDERS = {
    "misc": ("AaveOracle", "AaveProtocolDataProvider"),
    "protocol/configuration": ("PoolAddressesProvider", "ACLManager"),
    "protocol/pool": ("Pool", "PoolConfigurator", "DefaultReserveInterestRateStrategy"),
    "protocol/tokenization": ("AToken", "StableDebtToken", "VariableDebtToken"),
    "protocol/libraries/logic": (
        *("SupplyLogic", "BorrowLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic"),
        *("PoolLogic", "ConfiguratorLogic", "FlashLoanLogic"),
    ),
}


class Contract:
    """One compiled contract."""

    def __init__(self, name: str, artifact: Mapping[str, Any]) -> None:
        self.name = name
        self.abi: Abi = artifact["abi"]
        self._bytecode: str = artifact.get("bytecode", "")
        self._links: Mapping[str, Mapping[str, Sequence[Mapping[str, int]]]] = artifact.get("linkReferences", {})

    def creation(self, args: Sequence[Any], libraries: Mapping[str, Address]) -> bytes:
        """Creation code and constructor arguments. `libraries`: name → address of each library it links."""
        inputs: Sequence[Mapping[str, Any]] = next((e["inputs"] for e in self.abi if e["type"] == "constructor"), ())
        return bytes.fromhex(self._linked(libraries).removeprefix("0x")) + encode(_types(inputs), args)

    def encode(self, function: str, args: Sequence[Any]) -> bytes:
        """Calldata. `function`: its name, or its full signature where overloads have the same number of arguments."""
        entry = self._function(function, len(args))
        return selector(entry) + encode(_types(entry["inputs"]), args)

    def decode(self, function: str, arity: int, data: bytes) -> tuple[Any, ...]:
        """What the function returned."""
        return decode(_types(self._function(function, arity)["outputs"]), data)

    def topic(self, event: str) -> str:
        """Topic 0 of an event, as 0x-hex."""
        entry = next(e for e in self.abi if e["type"] == "event" and e["name"] == event)
        return "0x" + keccak(text=signature(entry)).hex()

    def decode_log(self, event: str, data: bytes) -> tuple[Any, ...]:
        """The arguments of an event that are not indexed."""
        entry = next(e for e in self.abi if e["type"] == "event" and e["name"] == event)
        return decode(_types([i for i in entry["inputs"] if not i["indexed"]]), data)

    def _function(self, function: str, arity: int) -> dict[str, Any]:
        name = function.partition("(")[0]
        found = [e for e in self.abi if e["type"] == "function" and e["name"] == name and len(e["inputs"]) == arity]
        if "(" in function:
            found = [e for e in found if signature(e) == function]
        if len(found) != 1:
            raise KeeperError(f"{self.name} has {len(found)} functions {function} of {arity} arguments, need exactly one")
        return found[0]

    def _linked(self, libraries: Mapping[str, Address]) -> str:
        code = self._bytecode
        for names in self._links.values():
            for name, places in names.items():
                for place in places:
                    start = 2 + 2 * place["start"]
                    code = code[:start] + libraries[name][2:] + code[start + 40 :]
        return code


class Artifacts:
    """All contracts of the devnet, read on demand: "own:aggregator", "v302:Pool", "v36:PoolInstance", "WETH9". `units`: the files of what
    was compiled, by family."""

    def __init__(self, modules: Path, units: Mapping[str, Path]) -> None:
        self._modules = modules
        self._units = units
        self._compiled: dict[str, dict[str, Any]] = {}
        self._loaded: dict[str, Contract] = {}

    def __getitem__(self, name: str) -> Contract:
        if name not in self._loaded:
            self._loaded[name] = Contract(name, self._read(name))
        return self._loaded[name]

    def _read(self, name: str) -> dict[str, Any]:
        family, _, contract = name.rpartition(":")
        if family == "own":
            return _json(OWN / f"{contract}.json")
        if family == "v302":
            return _json(self._modules / CORE_V302 / _v302_folder(contract) / f"{contract}.sol" / f"{contract}.json")
        if family == "perp":
            return _json(self._modules / _perp_folder(contract) / f"{contract}.sol" / f"{contract}.json")
        if family in self._units:
            if family not in self._compiled:
                self._compiled[family] = _json(self._units[family])
            return dict(self._compiled[family][contract])
        return _json(self._modules / PREBUILT[contract] / f"{contract}.json")


def signature(entry: Mapping[str, Any]) -> str:
    """The canonical signature of an ABI entry, e.g. `transfer(address,uint256)`."""
    return f"{entry['name']}({','.join(_types(entry['inputs']))})"


def selector(entry: Mapping[str, Any]) -> bytes:
    return keccak(text=signature(entry))[:4]


def _types(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [_type(i) for i in inputs]


def _type(item: Mapping[str, Any]) -> str:
    kind: str = item["type"]
    if kind.startswith("tuple"):
        return f"({','.join(_types(item['components']))}){kind.removeprefix('tuple')}"
    return kind


def _perp_folder(contract: str) -> str:
    return f"{PERP}/oracle-contracts/contracts" if "PriceFeed" in contract else f"{PERP}/contracts"


@cache
def _v302_folder(contract: str) -> str:
    return next(folder for folder, names in V302_FOLDERS.items() if contract in names)


def _json(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(path.read_bytes())
    return result
