"""`keeper bench` on the command line: what it prints, and how mistakes end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.bench.session import Options, chosen
from keeper.bench.stages import STAGES
from keeper.commands.bench import cells
from keeper.errors import ConfigError

KEEPER = Path(sys.executable).with_name("keeper")
KEYS = ["measure", "accounts", "n", "median_us", "p99_us", "baseline", "baseline_us", "ratio"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([KEEPER, "bench", *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_json_is_the_setting_and_then_one_object_a_figure() -> None:
    done = bench("--accounts", "300,1k", "--only", "full-pass,sign", "--seed", "9", "--json")
    assert done.returncode == 0, done.stderr
    setting, *figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(setting) == ["machine", "versions", "book"]
    assert setting["book"]["seed"] == "9"
    assert set(setting["machine"]) == {"cpu", "cores", "memory_gb", "load", "system"}
    assert {"keeper", "python", "numpy", "anvil"} <= set(setting["versions"])
    assert [list(figure) for figure in figures] == [KEYS] * 3
    assert [(figure["measure"], figure["accounts"]) for figure in figures] == [("sign", "0"), ("full-pass", "300"), ("full-pass", "1000")]
    assert all(0 < figure["median_us"] <= figure["p99_us"] for figure in figures)
    assert all(figure["ratio"] == pytest.approx(figure["baseline_us"] / figure["median_us"], rel=1e-2) for figure in figures)
    assert "full-pass, 300 accounts" in done.stderr


def test_the_table_has_the_machine_the_book_and_every_figure() -> None:
    done = bench("--accounts", "300", "--only", "full-pass", "--no-devnet")
    assert done.returncode == 0, done.stderr
    machine, versions, book, held, *table = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
    assert machine.startswith("cpu ")
    assert versions.startswith("keeper ")
    assert book.startswith("book: seed 1; staked loops 10%")
    assert "WETH " in held
    assert table[0].split() == ["measure", "accounts", "n", "median", "p99", "baseline", "takes", "ratio"]
    assert [line for line in table if "full-pass" in line and "textbook numpy" in line and " us " in line]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--accounts", "1k,x"],
            "keeper bench: Invalid value for '--accounts': must be sizes from 100 to 10m such as 1k,1m, was '1k,x'",
        ),
        (["--accounts", "99"], "keeper bench: Invalid value for '--accounts': must be sizes"),
        (["--accounts", "11m"], "keeper bench: Invalid value for '--accounts': must be sizes"),
        (["--accounts", ""], "keeper bench: Invalid value for '--accounts': must be sizes"),
        (["--accounts", "-5k"], "keeper bench: Invalid value for '--accounts': must be sizes"),
        (["--only", "sing"], "keeper: no measure is named 'sing': there are 'full-pass'"),
        (["--only", "scan-per-account", "--no-devnet"], "keeper: nothing to measure: what was asked for needs a devnet"),
        (["--seed", "-1"], "keeper bench: Invalid value for '--seed'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments: list[str], message: str) -> None:
    done = bench(*arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith(message)


def test_all_measures_are_chosen_unless_some_are_named_and_the_devnets_can_be_left_out() -> None:
    names = {measure.name for measure in chosen(Options((10_000,)))}
    offline = {measure.name for measure in chosen(Options((10_000,), devnet=False))}
    assert names - offline == {"scan-per-account", "oracle-warm", "oracle-cold", *(f"stage-{name}" for name in STAGES)}
    assert [measure.name for measure in chosen(Options((1000,), ("sign",)))] == ["sign"]
    with pytest.raises(ConfigError, match="another size"):
        chosen(Options((1000,), ("resident-rows",)))


def test_times_are_shown_in_units_that_fit_them() -> None:
    row = {
        "measure": "m",
        "accounts": 1000,
        "n": 5,
        "median_us": 0.0471,
        "p99_us": 12.3,
        "baseline": "b",
        "baseline_us": 4500.0,
        "ratio": 95541.4,
    }
    assert cells(row) == ("m", "1,000", "5", "47.1 ns", "12.3 us", "b", "4.5 ms", "95,541")
    sizes = {"median_mb": 88.4, "p99_mb": 90.0, "baseline": None, "baseline_mb": None, "ratio": None}
    assert cells({"measure": "m", "accounts": 0, "n": 3, **sizes}) == ("m", "", "3", "88.4 MB", "90 MB", "", "", "")
