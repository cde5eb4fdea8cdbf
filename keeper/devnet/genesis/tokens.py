"""The tokens: what they are worth at the start, and the risk parameters both markets list them with (mainnet-like)."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.devnet.genesis.builder import Builder
from keeper.devnet.names import DEPLOYER, TRANSMITTER, derived
from keeper.devnet.oracle import report
from keeper.types import Address

MIN_ANSWER, MAX_ANSWER = 1, 10**16
TREASURY = derived("treasury")
WETH_SUPPLY_WEI = 10**7 * 10**18


@dataclass(frozen=True, slots=True)
class Token:
    """`price`: USD, 8 decimals. `ltv`, `threshold`, `bonus`, `reserve_factor` and `curve` (optimal, base, slope 1, slope 2) in bps.
    `supply`: what the deep lenders hold in each market, in whole tokens."""

    symbol: str
    decimals: int
    price: int
    ltv: int
    threshold: int
    bonus: int
    reserve_factor: int
    curve: tuple[int, int, int, int]
    supply: int
    emode: int = 0

    @property
    def unit(self) -> int:
        return int(10**self.decimals)


TOKENS = (
    Token("WETH", 18, 2500 * 10**8, 8050, 8300, 10500, 1500, (9000, 0, 270, 8000), 40_000, 1),
    Token("WBTC", 8, 65_000 * 10**8, 7300, 7800, 10500, 2000, (8000, 0, 400, 30000), 800),
    Token("USDC", 6, 10**8, 7500, 7800, 10450, 1000, (9200, 0, 550, 4000), 80_000_000, 2),
    Token("DAI", 18, 10**8, 6300, 7700, 10500, 2500, (9200, 0, 550, 4000), 60_000_000, 2),
    Token("wstETH", 18, 3000 * 10**8, 7850, 8100, 10600, 1500, (4500, 0, 300, 8500), 20_000, 1),
    Token("LINK", 18, 15 * 10**8, 6600, 7100, 10700, 2000, (4500, 0, 700, 30000), 1_000_000),
)
BY_SYMBOL = {token.symbol: token for token in TOKENS}


@dataclass(frozen=True, slots=True)
class EMode:
    id: int
    label: str
    ltv: int
    threshold: int
    bonus: int


EMODES = (EMode(1, "ETH correlated", 9300, 9500, 10100), EMode(2, "Stablecoins", 9000, 9300, 10100))


def deploy_tokens(builder: Builder) -> None:
    """Tokens, and a price feed (aggregator behind a proxy) for each."""
    for token in TOKENS:
        args = () if token.symbol == "WETH" else (token.symbol, token.symbol, token.decimals)
        builder.deploy(f"token.{token.symbol}", *args)
        aggregator = builder.deploy(f"aggregator.{token.symbol}", 8, f"{token.symbol} / USD", MIN_ANSWER, MAX_ANSWER, TRANSMITTER)
        builder.deploy(f"feed.{token.symbol}", aggregator)
    builder.addresses["treasury"] = TREASURY
    builder.call("token.WETH", "deposit", value=WETH_SUPPLY_WEI)


def transmit_prices(builder: Builder, epoch: int) -> None:
    for token in TOKENS:
        args = report(token.price, builder.time_s, epoch)
        builder.call(f"aggregator.{token.symbol}", "transmit", *args, sender=TRANSMITTER)


def give(builder: Builder, symbol: str, to: Address, amount: int) -> None:
    """Queue what puts `amount` more of a token into an account."""
    if symbol == "WETH":
        builder.call("token.WETH", "transfer", to, amount, sender=DEPLOYER)
    else:
        builder.call(f"token.{symbol}", "mint(address,uint256)", to, amount)
