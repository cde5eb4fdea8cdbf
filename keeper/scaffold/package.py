"""Writes a package under another name than the example's."""

from __future__ import annotations

import json
import keyword
import re
from importlib.util import find_spec
from pathlib import Path

from keeper.errors import ConfigError

TEMPLATE = Path(__file__).with_name("template.json")
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
EXAMPLE = "tiny-bank"


def write(name: str, parent: Path) -> list[Path]:
    """The files of a new adapter package in `parent/name`. Raises ConfigError when the name or the place cannot be used."""
    _require_free(name)
    folder, words = parent / name, _spellings(name)
    files = {folder / _renamed(path, words): _renamed(text, words) for path, text in json.loads(TEMPLATE.read_text()).items()}
    if folder.exists():
        raise ConfigError(f"{folder} is there already: choose another name, or another --path")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {(error.strerror or 'it fails').lower()}") from None
    return list(files)


def _require_free(name: str) -> None:
    """As a name of an adapter, and of a Python module."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"an adapter's name must be of lower-case letters and digits, in words joined by '-', was {name!r}")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module) or find_spec(module):
        raise ConfigError(f"{name!r} cannot be the adapter's name: Python has a module {module!r} already")


def _spellings(name: str) -> dict[str, str]:
    """How the example is called in code, in text and as an adapter → how this one is."""
    return dict(zip(_forms(EXAMPLE), _forms(name), strict=True))


def _forms(name: str) -> tuple[str, ...]:
    plain = name.replace("-", " ")
    return name, name.replace("-", "_"), plain.title().replace(" ", ""), plain, plain.capitalize()


def _renamed(text: str, words: dict[str, str]) -> str:
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)
