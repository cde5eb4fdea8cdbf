"""What goes onto a tape comes back as it was, and a damaged tape is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.errors import ConfigError
from keeper.recording.tape import Tape, plain, read_tape, shaped
from keeper.types import ChainUpdate, Landing, Simulation

updates = st.from_type(ChainUpdate)


@given(updates)
def test_a_chain_update_survives_the_round_trip(update: ChainUpdate) -> None:
    assert shaped(ChainUpdate, json.loads(json.dumps(plain(update)))) == update


@given(st.lists(st.from_type(Simulation)), st.lists(st.none() | st.binary()), st.from_type(Landing))
def test_replies_survive_the_round_trip(simulations: list[Simulation], replies: list[bytes | None], landing: Landing) -> None:
    for kind, value in ((list[Simulation], simulations), (list[bytes | None], replies), (Landing, landing)):
        assert shaped(kind, json.loads(json.dumps(plain(value)))) == value


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tape")
    tape.write("clock", 2**200)
    tape.write("clock", 2)
    tape.close()
    text = (tmp_path / "tape").read_text()
    (tmp_path / "tape").write_text(text[:-3])
    assert list(read_tape(tmp_path / "tape")) == [("clock", 2**200)]


@pytest.mark.parametrize("content", [b"not json\n", b"{}\n", b"\xff\xfe\n"])
def test_a_file_that_is_no_tape_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tape").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        list(read_tape(tmp_path / "tape"))
    assert "tape" in str(refused.value)
    assert "\n" not in str(refused.value)
