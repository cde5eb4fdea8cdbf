"""`keeper adapters` and `keeper adapter new`: which protocols and venues this installation knows, and how another one begins."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from inspect import getdoc
from pathlib import Path
from typing import Any

from keeper.scaffold import write

GROUPS = {"keeper.adapters": "market", "keeper.venues": "venue"}

Row = dict[str, Any]


def adapters() -> Iterator[Row]:
    """One row per installed adapter: its name in a config, what it is for, who ships it, and the first paragraph of its own words."""
    for group, kind in GROUPS.items():
        for plug in sorted(entry_points(group=group), key=lambda plug: plug.name):
            package = plug.dist
            yield {
                "name": plug.name,
                "for": kind,
                "package": package.name if package else "",
                "version": package.version if package else "",
                "about": _about(plug),
            }


def _about(plug: EntryPoint) -> str:
    """One that does not load is said to be broken: it is somebody else's package."""
    try:
        text = getdoc(plug.load()) or ""
    except Exception as broken:
        return f"cannot be loaded: {type(broken).__name__}: {' '.join(str(broken).split())}"
    return " ".join(text.partition("\n\n")[0].split())


def new(name: str, parent: Path) -> list[Row]:
    """Write a package that passes its own tests; one row that says where and what next. Raises ConfigError."""
    files = write(name, parent)
    folder = parent / name
    return [{"adapter": name, "folder": str(folder), "files": len(files), "next": f"cd {folder} && pytest"}]
