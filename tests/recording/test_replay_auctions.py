"""A run in which lots were waited for, by the word of a model outside, re-runs to the same plans without that model."""

from __future__ import annotations

import sys
from pathlib import Path

from keeper.config import load
from keeper.daemon import replay
from keeper.devnet import Devnet
from keeper.devnet.genesis.yields import MARKET
from keeper.recording.tape import read_tape
from tests.markets import config_of
from tests.planning.test_patience import start_auctions
from tests.recording.test_replay import run_through

BLOCKS = 30
EAGER_BPS = 20
EXAMPLE = Path(__file__).parents[2] / "docs" / "bidding_model.py"


async def test_a_replay_waits_where_the_run_did_and_asks_no_model(net: Devnet, tmp_path: Path) -> None:
    prices, config = await net.prices(), tmp_path / "keeper.toml"
    await net.set_prices({"WETH": prices["WETH"] * 97 // 100})
    await net.mine()
    await start_auctions(net)
    words = [sys.executable, str(EXAMPLE), str(EAGER_BPS)]
    command = ", ".join(f'"{word}"' for word in words)
    text = config_of(net.config.read_text(), MARKET).replace("operator.key", str(net.config.parent / "operator.key"))
    config.write_text(text.replace("[chains.guard]", f"[chains.auctions]\nmodel = [{command}]\nanswer_ms = 10000\n\n[chains.guard]"))
    settings = load(config, {"KEEPER_DATA_DIR": str(tmp_path / "data")})
    await run_through(net, settings, tmp_path / "tape", BLOCKS)
    entries = list(read_tape(tmp_path / "tape"))
    said = [value[1]["by"] for kind, value in entries if kind == "auction"]
    asked = [value[1] for kind, value in entries if kind == "consult"]
    assert {"model", "margin of rivals"} <= set(said)
    assert True in asked
    again = await replay(settings, tmp_path / "tape")
    assert len(again.recorded) > 3
    assert again.replayed == again.recorded
