"""The devnet's names: which contract stands behind each, and who acts."""

from __future__ import annotations

from eth_utils.crypto import keccak

from keeper.types import Address

DEPLOYER = Address("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")  # 0: admin of all protocols, owner of the executor
OPERATOR = Address("0x70997970c51812dc3a010c7d01b50e0d17dc79c8")  # 1: the keeper's signing key
BENEFICIARY = Address("0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc")  # 2
TRANSMITTER = Address("0x90f79bf6eb2c4f870365e785982e1f101e93b906")  # 3: the oracles' only transmitter
TRADER = Address("0x15d34aaf54267db7d7c367839aaf71a00a2c6a65")  # 4: liquidity provider and arbitrageur
ACCOUNTS = (
    *(DEPLOYER, OPERATOR, BENEFICIARY, TRANSMITTER, TRADER),
    Address("0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc"),
    Address("0x976ea74026e726554db657fa54763abd0c3a0aa9"),
    Address("0x14dc79964da2c08b23698b3d3cc7ca32193d9955"),
    Address("0x23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f"),
    Address("0xa0ee7a142d267c1f36714e4a8f75612f20a79720"),
)
OPERATOR_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"  # public: anvil's default mnemonic

V302, V36 = "aave_v302", "aave_v36"
MARKETS = (V36, V302)

_MARKET = {
    "provider": ("v302:PoolAddressesProvider", "v36:PoolAddressesProvider"),
    "acl": ("v302:ACLManager", "v36:ACLManager"),
    "pool": ("v302:Pool", "v36:PoolInstance"),
    "configurator": ("v302:PoolConfigurator", "v36:PoolConfiguratorInstance"),
    "oracle": ("v302:AaveOracle", "v36:AaveOracle"),
    "data_provider": ("v302:AaveProtocolDataProvider", "v36:AaveProtocolDataProvider"),
    "liquidation_data_provider": ("", "v36:LiquidationDataProvider"),
    "atoken": ("v302:AToken", "v36:ATokenInstance"),
    "vtoken": ("v302:VariableDebtToken", "v36:VariableDebtTokenInstance"),
    "stoken": ("v302:StableDebtToken", ""),
}
_YIELD = {
    "cauldron": "Cauldron",
    "ladle": "Ladle",
    "witch": "Witch",
    "join": "Join",
    "fytoken": "FYToken",
    "namer": "SafeERC20Namer",
    "spot": "ChainlinkUSDMultiOracle",
    "rate": "AccumulatorMultiOracle",
}
PERP_MARKETS = {"ETH": "WETH", "BTC": "WBTC"}
"""Market → the token whose feed is its index."""

_PERP = {
    "factory": "UniswapV3Factory",
    "pool": "UniswapV3Pool",
    "quote": "perp:QuoteToken",
    "base": "perp:BaseToken",
    "feed": "perp:ChainlinkPriceFeedV3",
    "dispatcher": "perp:PriceFeedDispatcher",
    "config": "perp:ClearingHouseConfig",
    "insurance_fund": "perp:InsuranceFund",
    "market_registry": "perp:MarketRegistry",
    "order_book": "perp:OrderBook",
    "exchange": "perp:Exchange",
    "account_balance": "perp:AccountBalance",
    "vault": "perp:Vault",
    "collateral_manager": "perp:CollateralManager",
    "clearing_house": "perp:ClearingHouse",
    "delegate_approval": "perp:DelegateApproval",
}
_OTHERS = {
    "token": "MintableERC20",
    "feed": "own:proxy",
    "aggregator": "own:aggregator",
    "pool": "UniswapV3Pool",
    "uniswap.factory": "UniswapV3Factory",
    "uniswap.quoter": "QuoterV2",
    "uniswap.router": "SwapRouter02",
    "uniswap.nfpm": "NonfungiblePositionManager",
}
_MORPHO = {"blue": "morpho:Morpho", "irm": "own:morpho_irm", "oracle": "own:morpho_oracle", "token": "own:hostile_token"}
_HOSTILE = {
    "morpho.irm.wild": "own:hostile_irm",
    **dict.fromkeys(("morpho.oracle.liar", "morpho.oracle.mute", "morpho.oracle.toll", "morpho.oracle.frozen"), "own:hostile_oracle"),
}


def artifact_of(name: str) -> str:
    """The artifact behind a name such as "token.WETH", "aave_v36.pool" or "pool.WETH-USDC-500". Raises KeyError for an unknown name."""
    if name == "token.WETH":
        return "WETH9"
    head, _, rest = name.partition(".")
    if head in MARKETS:
        return _MARKET[rest.partition(".")[0]][MARKETS.index(head) == 0]
    if head == "morpho":
        return _HOSTILE.get(name) or _MORPHO[rest.partition(".")[0]]
    if head == "perp":
        return _PERP[rest.partition(".")[0]]
    if head == "yield":
        return f"yield:{_YIELD[rest.partition('.')[0]]}"
    return _OTHERS.get(name) or _OTHERS[head]


def derived(label: str) -> Address:
    """An address nobody has a key of; the devnet impersonates it."""
    return Address("0x" + keccak(text=f"keeper devnet: {label}")[-20:].hex())


PERP_ARBITRAGEUR = derived("perp arbitrageur")
"""Keeps the perpetual markets where their indexes are."""
