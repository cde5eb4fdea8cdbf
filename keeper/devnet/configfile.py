"""The ready keeper configuration of a running devnet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from keeper.devnet.anvil import CHAIN_ID
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR_KEY
from keeper.types import Address

TEMPLATE = """\
mode = "dry-run"
data_dir = "data"

[[chains]]
name = "devnet"
chain_id = {chain_id}
rpc_url = "{rpc}"
ws_url = "{ws}"
native_token = "{weth}"
block_time_s = {block_time_s}

[[chains.markets]]
name = "aave-v36"
adapter = "aave-v3"
address = "{aave_v36}"

[[chains.markets]]
name = "aave-v302"
adapter = "aave-v3"
address = "{aave_v302}"

[[chains.markets]]
name = "morpho"
adapter = "morpho-blue"
address = "{morpho}"

[chains.markets.options]
dollars = ["{usdc}", "{dai}"]
[chains.markets.options.feeds]
{feeds}

[[chains.markets]]
name = "perp"
adapter = "perp-v2"
address = "{perp}"

[[chains.markets]]
name = "yield"
adapter = "yield-v2"
address = "{yields}"
options = {{ reward_to = ["{beneficiary}"] }}

[[chains.venues]]
name = "uniswap"
adapter = "uniswap-v3"
address = "{uniswap}"

[chains.guard]
anchors = ["{usdc}", "{dai}"]
min_depth = 1000

[chains.executor]
owner = "{owner}"
beneficiary = "{beneficiary}"

[chains.signer]
key_file = "operator.key"
"""


def write_config(folder: Path, rpc: str, ws: str, block_time_s: int, addresses: Mapping[str, Address]) -> Path:
    """Write `keeper.toml`, with the operator's key beside it, into `folder`."""
    key = folder / "operator.key"
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(OPERATOR_KEY + "\n")
    path = folder / "keeper.toml"
    path.write_text(
        TEMPLATE.format(
            chain_id=CHAIN_ID,
            rpc=rpc,
            ws=ws,
            block_time_s=block_time_s,
            aave_v36=addresses["aave_v36.provider"],
            aave_v302=addresses["aave_v302.provider"],
            morpho=addresses["morpho.blue"],
            feeds=_feeds(addresses),
            perp=addresses["perp.clearing_house"],
            yields=addresses["yield.witch"],
            uniswap=addresses["uniswap.factory"],
            weth=addresses["token.WETH"],
            usdc=addresses["token.USDC"],
            dai=addresses["token.DAI"],
            owner=DEPLOYER,
            beneficiary=BENEFICIARY,
        )
    )
    return path


def without_auctions(text: str) -> str:
    """A devnet's config without the market whose deals take an hour: where what is earned is counted within minutes."""
    parts = text.split("\n[[chains.")
    return "\n[[chains.".join(part for part in parts if 'adapter = "yield-v2"' not in part)


def _feeds(addresses: Mapping[str, Address]) -> str:
    """Each token's, as lines of TOML."""
    tokens = [name.partition(".")[2] for name in addresses if name.partition(".")[0] == "token"]
    return "\n".join(f'"{addresses[f"token.{symbol}"]}" = ["{addresses[f"feed.{symbol}"]}"]' for symbol in tokens)
