"""Compiles each contract `NAME.vy` into `NAME.json` (a development tool: the only module that needs vyper).

The output depends on the source and the compiler version alone: no path, no date, no metadata hash.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from keeper.contracts import NAMES

SETTINGS = {"evm_version": "cancun", "optimize": "gas"}


def source(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.vy")


def artifact(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.json")


def render(name: str) -> str:
    """The artifact's text, as it must stand in the file."""
    import vyper
    from vyper.compiler import compile_code
    from vyper.compiler.settings import OptimizationLevel, Settings

    text = source(name).read_bytes()
    settings = Settings(evm_version=SETTINGS["evm_version"], optimize=OptimizationLevel.from_string(SETTINGS["optimize"]))
    out = compile_code(text.decode(), output_formats=["abi", "bytecode", "layout"], settings=settings, no_bytecode_metadata=True)
    content = {
        "compiler": {"name": "vyper", "version": vyper.__version__, **SETTINGS},
        "source_sha256": hashlib.sha256(text).hexdigest(),
        "operators_slot": out["layout"]["storage_layout"]["operators"]["slot"],
        "bytecode": out["bytecode"],
        "abi": out["abi"],
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    for name in NAMES:
        artifact(name).write_text(render(name))
        print(f"wrote {artifact(name).name}")
