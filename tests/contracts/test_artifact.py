"""The checked-in artifact is what the source compiles to."""

from __future__ import annotations

import hashlib
import subprocess
import sys

from keeper.contracts import load
from keeper.contracts.build import ARTIFACT, SOURCE, render

WITHOUT_VYPER = """
import sys
sys.modules["vyper"] = None
from keeper.execution.executor import deploy_data
print(len(deploy_data("0x" + "11" * 20, "0x" + "22" * 20, [])))
"""


def test_the_source_reproduces_the_artifact_byte_for_byte() -> None:
    assert render() == ARTIFACT.read_text()


def test_the_artifact_names_its_source_and_compiler() -> None:
    artifact = load()
    assert artifact.source_sha256 == hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    assert artifact.compiler == {"name": "vyper", "version": "0.4.3", "evm_version": "cancun", "optimize": "gas"}


def test_the_runtime_code_fits_the_size_limit_of_contracts() -> None:
    assert len(load().bytecode) < 24_576


def test_loading_needs_no_compiler() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_VYPER], capture_output=True, text=True, check=True)
    assert int(run.stdout) == len(load().bytecode) + 4 * 32
