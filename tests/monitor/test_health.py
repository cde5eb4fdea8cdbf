"""The heartbeat: what a container's health check sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.monitor import health


def test_alive_means_a_recent_sign_of_life(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    health.touch(tmp_path)
    assert health.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("healthy: last sign of life 0 s ago")


def test_an_old_sign_of_life_is_unhealthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    health.touch(tmp_path)
    now = (tmp_path / health.FILE).stat().st_mtime
    os.utime(tmp_path / health.FILE, (now - 60, now - 60))
    assert health.main([str(tmp_path), "--max-age", "30"]) == 1
    assert "unhealthy: last sign of life 60 s ago (limit 30 s)" in capsys.readouterr().out
    assert health.main([str(tmp_path), "--max-age", "90"]) == 0


def test_no_sign_of_life_is_unhealthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KEEPER_DATA_DIR", str(tmp_path / "none"))
    assert health.main([]) == 1
    assert "no sign of life yet" in capsys.readouterr().out


def test_a_second_touch_renews_the_first(tmp_path: Path) -> None:
    health.touch(tmp_path)
    os.utime(tmp_path / health.FILE, (0, 0))
    health.touch(tmp_path)
    age = health.age_s(tmp_path, (tmp_path / health.FILE).stat().st_mtime)
    assert age == 0


def test_it_runs_as_a_module_and_imports_next_to_nothing(tmp_path: Path) -> None:
    code = f"import sys; from keeper.monitor import health; print(health.main([{str(tmp_path)!r}])); print('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()[1:] == [
        "1",
        "False",
    ]
    assert subprocess.run([sys.executable, "-m", "keeper.monitor.health", str(tmp_path)], capture_output=True, check=False).returncode == 1
