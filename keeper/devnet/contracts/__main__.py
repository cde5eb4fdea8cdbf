"""Compile the devnet's Vyper sources into the artifacts beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vyper import compile_code

HERE = Path(__file__).parent


def compile_source(source: Path) -> dict[str, Any]:
    """The artifact of one source: `abi` and `bytecode`."""
    output = compile_code(source.read_text(), output_formats=["abi", "bytecode"])
    return {"abi": output["abi"], "bytecode": output["bytecode"]}


def main() -> None:
    for source in sorted(HERE.glob("*.vy")):
        source.with_suffix(".json").write_text(json.dumps(compile_source(source), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
