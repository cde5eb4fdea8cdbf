"""The keeper's own contracts, compiled: loaded from a checked-in artifact, so that running needs no compiler.

`python -m keeper.contracts.build` rebuilds the artifact from the source next to it; a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract. `bytecode` is creation code without constructor arguments; `operators_slot` is the base storage slot of the
    mapping `operators`; `compiler` names version and settings; `source_sha256` is of the source file's bytes."""

    abi: tuple[Mapping[str, Any], ...]
    bytecode: bytes
    operators_slot: int
    compiler: Mapping[str, str]
    source_sha256: str


NAMES = ("executor", "account")


@cache
def load(name: str = "executor") -> Artifact:
    """One of `NAMES`."""
    raw = json.loads(files(__package__).joinpath(f"{name}.json").read_bytes())
    return Artifact(
        abi=tuple(raw["abi"]),
        bytecode=bytes.fromhex(raw["bytecode"][2:]),
        operators_slot=raw["operators_slot"],
        compiler=raw["compiler"],
        source_sha256=raw["source_sha256"],
    )
