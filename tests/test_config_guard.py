"""The guard's settings: what holds for all tokens, the exceptions, and mistakes in them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from keeper.config import load, show
from keeper.config.guard import GuardSettings
from keeper.risk.sanity import Check, Policy, Rules, Ruling
from keeper.terms import policy
from tests.test_config import FACTORY, MINIMAL, PROVIDER, WRAPPED, read, refusal

GUARD = "KEEPER_CHAINS__0__GUARD__"


def test_the_defaults_hold_what_looks_wrong_and_only_tell_of_what_is_old(tmp_path: Path) -> None:
    guard = read(tmp_path, MINIMAL).chains[0].guard
    assert guard == GuardSettings()
    assert policy(guard) == Policy()
    assert {check: policy(guard).rules.ruling(check) for check in Check} == {
        check: Ruling.ALERT if check is Check.STALE else Ruling.HOLD for check in Check
    }


def test_the_example_file_differs_from_the_defaults_by_its_anchors_alone() -> None:
    example = load(Path(__file__).parent.parent / "config" / "keeper.example.toml", {}).chains[0].guard
    assert len(example.anchors) == 3
    assert example.model_copy(update={"anchors": ()}) == GuardSettings()


def test_an_exception_stands_on_what_holds_for_all_tokens(tmp_path: Path) -> None:
    text = f"""{MINIMAL}
[chains.guard]
jump = "alert"
heartbeat_s = 5000
[[chains.guard.tokens]]
token = "{WRAPPED}"
heartbeat_s = 3600
second = "{FACTORY}"
"""
    made = policy(read(tmp_path, text).chains[0].guard)
    assert made.rules == Rules(jump=Ruling.ALERT, heartbeat_s=5000)
    token, other = read(tmp_path, text).chains[0].native_token, read(tmp_path, text).chains[0].markets[0].address
    assert made.of(token) == Rules(jump=Ruling.ALERT, heartbeat_s=3600, second=read(tmp_path, text).chains[0].guard.tokens[0].second)
    assert made.of(other) == made.rules


def test_the_environment_gives_anchors_with_commas_and_words_for_yes_and_no(tmp_path: Path) -> None:
    env = {f"{GUARD}ANCHORS": f"{WRAPPED}, {PROVIDER}", f"{GUARD}SPOT_CONFIRMS": "False", f"{GUARD}APART": "trade"}
    guard = read(tmp_path, MINIMAL, **env).chains[0].guard
    assert (guard.anchors, guard.spot_confirms, guard.apart) == ((WRAPPED.lower(), PROVIDER.lower()), False, "trade")


def test_what_is_shown_can_be_read_again(tmp_path: Path) -> None:
    tables = f'[chains.guard]\nanchors = ["{WRAPPED}"]\n[[chains.guard.tokens]]\ntoken = "{FACTORY}"\nclamp = "trade"\n'
    settings = read(tmp_path, MINIMAL + tables)
    shown = tomllib.loads(show(settings))["chains"][0]["guard"]
    assert GuardSettings.model_validate(shown) == settings.chains[0].guard


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('jump = "sell"', "guard.jump must be one of trade, alert, hold, halt, was 'sell'"),
        ("heartbeat_s = 0", "guard.heartbeat_s must be an integer of 1 or more, was 0"),
        ("twap_window_s = 7200", "guard.twap_window_s must be an integer from 60 to 3600, was 7200"),
        ('spot_confirms = "maybe"', "guard.spot_confirms must be true or false, was 'maybe'"),
        ("spot_confirms = 1", "guard.spot_confirms must be true or false, was 1"),
        ("anchors = 5", "guard.anchors must be a list of addresses, was 5"),
        ('anchors = ["0x12"]', "guard.anchors.0 must be"),
        ("max_jump = 5", "guard.max_jump is not a known key, did you mean 'max_jump_bps'?"),
        ('tokens = [{stale = "hold"}]', "guard.tokens.0.token is missing"),
        (f'tokens = [{{token = "{WRAPPED}"}}, {{token = "{WRAPPED}"}}]', "guard.tokens must differ in token"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, line: str, words: str) -> None:
    assert f"FILE: chains.0.{words}" in refusal(tmp_path, f"{MINIMAL}\n[chains.guard]\n{line}\n")
