"""The checked-in artifact is what the source compiles to."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from keeper.contracts import NAMES, load
from keeper.contracts.build import artifact, render, source

WITHOUT_VYPER = """
import sys
sys.modules["vyper"] = None
from keeper.execution.executor import deploy_data
print(len(deploy_data("0x" + "11" * 20, "0x" + "22" * 20, [])))
"""


EACH = pytest.mark.parametrize("name", NAMES)


@EACH
def test_the_source_reproduces_the_artifact_byte_for_byte(name: str) -> None:
    assert render(name) == artifact(name).read_text()


@EACH
def test_the_artifact_names_its_source_and_compiler(name: str) -> None:
    made = load(name)
    assert made.source_sha256 == hashlib.sha256(source(name).read_bytes()).hexdigest()
    assert made.compiler == {"name": "vyper", "version": "0.4.3", "evm_version": "cancun", "optimize": "gas"}


@EACH
def test_the_runtime_code_fits_the_size_limit_of_contracts(name: str) -> None:
    assert len(load(name).bytecode) < 24_576


def test_loading_needs_no_compiler() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_VYPER], capture_output=True, text=True, check=True)
    assert int(run.stdout) == len(load().bytecode) + 4 * 32
