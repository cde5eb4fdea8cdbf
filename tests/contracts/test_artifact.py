"""The checked-in artifact is what the source compiles to."""

from __future__ import annotations

import hashlib
import sys

from keeper.contracts import load
from keeper.contracts.build import ARTIFACT, SOURCE, render


def test_the_source_reproduces_the_artifact_byte_for_byte() -> None:
    assert render() == ARTIFACT.read_text()


def test_the_artifact_names_its_source_and_compiler() -> None:
    artifact = load()
    assert artifact.source_sha256 == hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    assert artifact.compiler == {"name": "vyper", "version": "0.4.3", "evm_version": "cancun", "optimize": "gas"}


def test_the_runtime_code_fits_the_size_limit_of_contracts() -> None:
    assert len(load().bytecode) < 24_576


def test_loading_needs_no_compiler() -> None:
    """The loader and the codec name no compiler; only the build tool does."""
    for module in ("keeper.contracts", "keeper.execution.executor"):
        assert "vyper" not in vars(sys.modules[module])
