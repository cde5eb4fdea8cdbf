"""`keeper adapters` and `keeper adapter new`: which protocols and venues this installation knows, what each can do and be told, and how
another one begins.

Nothing is declared twice: options are what an adapter asks for when it is opened, abilities those of the class that `open` says it returns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from inspect import getdoc
from pathlib import Path
from typing import Any, get_type_hints

from keeper.inventory.port import Custodial
from keeper.options import Option, asked_for
from keeper.ports import Auctioneer, Clocked, Witness
from keeper.scaffold import write

GROUPS = {"keeper.adapters": "market", "keeper.venues": "venue"}
ABILITIES = {
    "positions can be kept": Custodial,
    "auctions": Auctioneer,
    "changes at set times": Clocked,
    "remembers prices": Witness,
}

Row = dict[str, Any]


async def adapters() -> AsyncIterator[Row]:
    """One row per installed adapter: its name in a config, what it is for, who ships it, the first paragraph of its own words, what its
    markets can do, and its options (None if it asks a node before it has read them). One that does not load is said to be broken."""
    for group, kind in GROUPS.items():
        for plug in sorted(entry_points(group=group), key=lambda plug: plug.name):
            package = plug.dist
            named = {
                "name": plug.name,
                "for": kind,
                "package": package.name if package else "",
                "version": package.version if package else "",
            }
            yield named | await _described(plug)


def options(rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Of these adapters, one row an option."""
    for row in rows:
        if row["options"] is None:
            yield {"adapter": row["name"], "option": "?", "about": "not told: it asks a node before it has read them"}
        else:
            yield from ({"adapter": row["name"], **option} for option in row["options"])


async def _described(plug: EntryPoint) -> Row:
    """It is somebody else's package: whatever it raises."""
    try:
        kind = plug.load()
        about = " ".join((getdoc(kind) or "").partition("\n\n")[0].split())
        asked = await asked_for(kind().open)
    except Exception as broken:
        return {"about": f"cannot be loaded: {type(broken).__name__}: {' '.join(str(broken).split())}", "can": [], "options": []}
    return {"about": about, "can": _abilities(kind), "options": None if asked is None else [_shown(option) for option in asked]}


def _abilities(kind: Any) -> list[str]:
    try:
        made = get_type_hints(kind.open)["return"]
    except (KeyError, NameError):
        return []
    return [said for said, port in ABILITIES.items() if isinstance(made, type) and issubclass(made, port)]


def _shown(option: Option) -> Row:
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    return {"option": option.name, "is": option.wanted, "default": default, "about": option.about}


def new(name: str, parent: Path) -> list[Row]:
    """Write a package that passes its own tests; one row that says where and what next. Raises ConfigError."""
    files = write(name, parent)
    folder = parent / name
    return [{"adapter": name, "folder": str(folder), "files": len(files), "next": f"cd {folder} && pytest"}]
