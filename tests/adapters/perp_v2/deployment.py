"""Perpetual Protocol v2 2.6.0 put on the devnet from its own bytecode: two markets, ether as collateral, the devnet's own price feeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from eth_utils.crypto import keccak

from keeper.devnet import Devnet
from keeper.devnet.artifacts import Contract
from keeper.devnet.install import packages
from keeper.devnet.names import DEPLOYER, derived
from keeper.types import Address

CORE = "@perp/curie-deployments/optimism/core/artifacts"
FOLDERS = ("contracts", "oracle-contracts/contracts")
POOL = "@uniswap/v3-core/artifacts/contracts/UniswapV3Pool.sol/UniswapV3Pool.json"
GAS = 28_000_000
PRICES = {"ETH": "WETH", "BTC": "WBTC"}
"""Market → the devnet's symbol whose feed is its index."""

Q96 = 2**96
ROOM = 400


class Curie:
    """The contracts by name, and calls of them. Amounts are smallest units."""

    def __init__(self, net: Devnet, modules: Path) -> None:
        self.net, self._modules = net, modules
        self.addresses: dict[str, Address] = {"usdc": net.addresses["token.USDC"], "weth": net.addresses["token.WETH"]}
        self._contracts: dict[str, Contract] = {}

    def contract(self, kind: str) -> Contract:
        if kind not in self._contracts:
            paths = [self._modules / CORE / folder / f"{kind}.sol" / f"{kind}.json" for folder in FOLDERS]
            path = self._modules / POOL if kind == "UniswapV3Pool" else next(path for path in paths if path.exists())
            self._contracts[kind] = Contract(kind, orjson.loads(path.read_bytes()))
        return self._contracts[kind]

    def data(self, name: str, function: str, *args: Any) -> bytes:
        return self.contract(KIND.get(name.partition(".")[0], "")).encode(function, args)

    async def deploy(self, name: str, kind: str, *args: Any, sender: Address = DEPLOYER) -> Address:
        receipt = await self.net.transact(sender, None, self.contract(kind).creation(args, {}), gas=GAS)
        self.addresses[name] = Address(receipt["contractAddress"].lower())
        return self.addresses[name]

    async def call(self, name: str, function: str, *args: Any, sender: Address = DEPLOYER) -> dict[str, Any]:
        """Raises RpcError on a revert."""
        return await self.net.transact(sender, self.addresses[name], self.data(name, function, *args), gas=GAS)

    async def token(self, name: str, function: str, *args: Any, sender: Address = DEPLOYER) -> dict[str, Any]:
        return await self.net.call(sender, f"token.{name}", function, *args)


KIND = {
    "quote": "QuoteToken",
    "base": "BaseToken",
    "config": "ClearingHouseConfig",
    "fund": "InsuranceFund",
    "registry": "MarketRegistry",
    "order_book": "OrderBook",
    "exchange": "Exchange",
    "balances": "AccountBalance",
    "vault": "Vault",
    "manager": "CollateralManager",
    "house": "ClearingHouse",
    "delegate": "DelegateApproval",
    "pool": "UniswapV3Pool",
    "feed": "ChainlinkPriceFeedV3",
    "dispatcher": "PriceFeedDispatcher",
}


async def deployed(net: Devnet) -> Curie:
    curie = Curie(net, await packages(lambda step: None))
    await _core(curie)
    for market, symbol in PRICES.items():
        await _market(curie, market, symbol)
    await _collateral(curie)
    head = await net.request("eth_getBlockByNumber", "latest", False)
    await net.mine(int(head["timestamp"], 16) + 1801)
    return curie


async def _core(curie: Curie) -> None:
    usdc, factory = curie.addresses["usdc"], curie.net.addresses["uniswap.factory"]
    owner = await _high_deployer(curie)
    await curie.deploy("quote", "QuoteToken", sender=owner)
    await curie.call("quote", "initialize", "vUSD", "vUSD", sender=owner)
    for name in ("config", "fund", "registry", "order_book", "exchange", "balances", "vault", "manager", "house", "delegate"):
        await curie.deploy(name, KIND[name])
    at = curie.addresses
    await curie.call("config", "initialize")
    await curie.call("fund", "initialize", usdc)
    await curie.call("registry", "initialize", factory, at["quote"])
    await curie.call("order_book", "initialize", at["registry"])
    await curie.call("exchange", "initialize", at["registry"], at["order_book"], at["config"])
    await curie.call("order_book", "setExchange", at["exchange"])
    await curie.call("balances", "initialize", at["config"], at["order_book"])
    await curie.call("exchange", "setAccountBalance", at["balances"])
    await curie.call("vault", "initialize", at["fund"], at["config"], at["balances"], at["exchange"])
    await curie.call("balances", "setVault", at["vault"])
    await curie.call("fund", "setVault", at["vault"])
    ratios = (5, 750_000, 500_000, 2_000, 30_000, 10_000 * 10**6, 500 * 10**6)
    await curie.call("manager", "initialize", at["config"], at["vault"], *ratios)
    await curie.call("vault", "setCollateralManager", at["manager"])
    await curie.call("vault", "setWETH9", at["weth"])
    names = ("config", "vault", "quote")
    await curie.call("house", "initialize", *(at[n] for n in names), factory, at["exchange"], at["balances"], at["fund"])
    for name in ("registry", "order_book", "exchange", "balances", "vault"):
        await curie.call(name, "setClearingHouse", at["house"])
    await curie.call("delegate", "initialize")
    await curie.call("house", "setDelegateApproval", at["delegate"])
    await curie.call("config", "setSettlementTokenBalanceCap", 2**255)
    await curie.call("quote", "addWhitelist", at["house"], sender=owner)
    await curie.call("quote", "mintMaximumTo", at["house"], sender=owner)
    curie.addresses["quote owner"] = owner


async def _high_deployer(curie: Curie) -> Address:
    """The quote token must lie above every base token."""
    for number in range(10_000):
        owner = derived(f"quote {number}")
        if keccak(bytes.fromhex("d694" + owner[2:] + "80"))[12] >= 0xFC:
            await curie.net.request("anvil_setBalance", owner, hex(10**20))
            return owner
    raise AssertionError("no deployer found")


async def _feed(curie: Curie, name: str, symbol: str) -> Address:
    return await curie.deploy(f"feed.{name}", "ChainlinkPriceFeedV3", curie.net.addresses[f"feed.{symbol}"], 86_400, 900)


async def _market(curie: Curie, market: str, symbol: str) -> None:
    at, base, pool = curie.addresses, f"base.{market}", f"pool.{market}"
    await curie.deploy(f"dispatcher.{market}", "PriceFeedDispatcher", await _feed(curie, market, symbol))
    await curie.deploy(base, "BaseToken")
    await curie.call(base, "initialize", f"v{market}", f"v{market}", at[f"dispatcher.{market}"])
    assert at[base] < at["quote"]
    await curie.call(base, "addWhitelist", at["house"])
    await curie.call(base, "mintMaximumTo", at["house"])
    await curie.net.call(DEPLOYER, "uniswap.factory", "createPool", at[base], at["quote"], 3000)
    at[pool] = (await curie.net.read("uniswap.factory", "getPool", at[base], at["quote"], 3000))[0]
    await curie.call(base, "addWhitelist", at[pool])
    await curie.call("quote", "addWhitelist", at[pool], sender=at["quote owner"])
    answer = (await curie.net.prices())[symbol]
    await curie.call(pool, "initialize", _root(answer))
    await curie.call(pool, "increaseObservationCardinalityNext", ROOM)
    await curie.call("registry", "addPool", at[base], 3000)
    await curie.call("registry", "setFeeRatio", at[base], 1000)
    await curie.call("registry", "setInsuranceFundFeeRatio", at[base], 100_000)
    await curie.call("exchange", "setMaxTickCrossedWithinBlock", at[base], 1000)


def _root(answer: int) -> int:
    from math import isqrt

    return isqrt(answer * Q96 * Q96 // 10**8)


async def _collateral(curie: Curie) -> None:
    feed = await _feed(curie, "weth", "WETH")
    await curie.call("manager", "addCollateral", curie.addresses["weth"], (feed, 700_000, 100_000, 10**26))


def members(names: Sequence[str]) -> list[Address]:
    return [derived(f"perp {name}") for name in names]
