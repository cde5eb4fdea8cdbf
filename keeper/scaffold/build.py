"""Packs `tests/example_adapter` into `template.json`, from which new adapters are written (a development tool).

What is written is therefore what is linted, typed and tested here, but for its name.
"""

from __future__ import annotations

import json
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "tests" / "example_adapter"
TEMPLATE = Path(__file__).with_name("template.json")
SUFFIXES = {".md", ".py", ".toml", ".typed", ".vy"}


def render() -> str:
    """The template's text, as it must stand in the file: path → content."""
    files = {path.relative_to(EXAMPLE).as_posix(): path for path in sorted(EXAMPLE.rglob("*")) if path.suffix in SUFFIXES}
    return json.dumps({name: path.read_text() for name, path in files.items() if not _made(name)}, indent=1) + "\n"


def _made(name: str) -> bool:
    """By pip or pytest, not by us."""
    return ".egg-info" in name or name.startswith((".", "build/"))


if __name__ == "__main__":
    TEMPLATE.write_text(render())
    print(f"wrote {TEMPLATE.name}")
