"""Compiles `executor.vy` into `executor.json` (a development tool: the only module that needs vyper).

The output depends on the source and the compiler version alone: no path, no date, no metadata hash.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

SOURCE = Path(__file__).with_name("executor.vy")
ARTIFACT = Path(__file__).with_name("executor.json")
SETTINGS = {"evm_version": "cancun", "optimize": "gas"}


def render() -> str:
    """The artifact's text, as it must stand in the file."""
    import vyper
    from vyper.compiler import compile_code
    from vyper.compiler.settings import OptimizationLevel, Settings

    source = SOURCE.read_bytes()
    settings = Settings(evm_version=SETTINGS["evm_version"], optimize=OptimizationLevel.from_string(SETTINGS["optimize"]))
    out = compile_code(source.decode(), output_formats=["abi", "bytecode", "layout"], settings=settings, no_bytecode_metadata=True)
    artifact = {
        "compiler": {"name": "vyper", "version": vyper.__version__, **SETTINGS},
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "operators_slot": out["layout"]["storage_layout"]["operators"]["slot"],
        "bytecode": out["bytecode"],
        "abi": out["abi"],
    }
    return json.dumps(artifact, indent=1) + "\n"


if __name__ == "__main__":
    ARTIFACT.write_text(render())
    print(f"wrote {ARTIFACT.name}")
