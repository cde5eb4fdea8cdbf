"""The house rules that no linter knows: who may name a protocol, what never stands in a file, and a reason for every module."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KEEPER = ROOT / "keeper"
MODULES = sorted(KEEPER.rglob("*.py"))
PROTOCOL_ROOMS = {"adapters", "venues", "devnet", "testing"}
PROTOCOLS = re.compile("|".join(("aave", "uniswap", "morpho", "perp", "curie", "yield[_-]", "witch", "cauldron")), re.IGNORECASE)
ADAPTERS = sorted(path.parent for path in (KEEPER / "adapters").glob("*/__init__.py"))
INPUT_OUTPUT = re.compile(r"\bawait\b|\basync\b")
MOST_LINES_OF_INPUT_OUTPUT = 199
MACHINE_PATHS = re.compile("|".join(f"[\"'= ]/{place}/" for place in ("work", "root", "home", "tmp", "opt/pypi", "Users")))
REGISTRIES = re.compile(
    "|".join(re.escape(host) for host in ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "docker" + ".io", "ghcr" + ".io"))
)
SUFFIXES = {".py", ".toml", ".json", ".vy", ".sol", ".md", ".txt", ".cfg", ".ini", ".yml", ".yaml", ""}
CACHES = {".git", ".venv", "__pycache__", "build", "dist", "data"}


def ours() -> list[Path]:
    """Every text file of the project, without what tools leave behind."""
    folders = [ROOT / name for name in ("keeper", "tests", "config", "docs", ".ci")]
    files = [path for folder in folders for path in folder.rglob("*")] + list(ROOT.iterdir())
    return [
        path
        for path in files
        if path.is_file() and path.suffix in SUFFIXES and not (CACHES - {"build"}) & set(path.relative_to(ROOT).parts)
    ]


def found(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    texts = ((path, path.read_text(encoding="utf-8", errors="ignore")) for path in files)
    return [
        f"{path.relative_to(ROOT)}:{text[: match.start()].count(chr(10)) + 1}: {match[0]}"
        for path, text in texts
        for match in pattern.finditer(text)
    ]


def code(path: Path) -> str:
    """A module without comments and docstrings: those may cite their source."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                setattr(node, field, [s for s in statements if not _is_text(s)] or ([ast.Pass()] if statements else []))
    return ast.unparse(tree)


def _is_text(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def test_only_the_protocols_own_rooms_name_a_protocol() -> None:
    elsewhere = [path for path in MODULES if path.relative_to(KEEPER).parts[0] not in PROTOCOL_ROOMS]
    assert [str(path.relative_to(ROOT)) for path in elsewhere if PROTOCOLS.search(code(path))] == []


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda path: path.name)
def test_an_adapter_speaks_to_the_node_in_one_short_module(adapter: Path) -> None:
    speaking = [path for path in sorted(adapter.rglob("*.py")) if INPUT_OUTPUT.search(code(path))]
    assert [path.name for path in speaking] == ["discovery.py"]
    assert len(speaking[0].read_text().splitlines()) <= MOST_LINES_OF_INPUT_OUTPUT


def test_all_of_every_adapter_is_under_the_rule_against_input_and_output() -> None:
    """Discovery too: what it may ask, it asks of the reader that it is given."""
    assert "keeper.adapters" in _rule("pure", "source_modules")


def test_every_adapter_here_is_declared_and_no_other() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["keeper.adapters"]
    assert sorted(target.partition(":")[0] for target in declared.values()) == [f"keeper.adapters.{path.name}" for path in ADAPTERS]


def _rule(contract: str, field: str) -> list[str]:
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter")
    return rules[f"importlinter:contract:{contract}"][field].split()


def test_no_file_has_a_path_of_somebodys_machine() -> None:
    assert found(MACHINE_PATHS, ours()) == []


def test_no_file_names_a_registry() -> None:
    assert found(REGISTRIES, ours()) == []


def test_the_search_sees_what_it_looks_for() -> None:
    assert MACHINE_PATHS.search(f'open("/{"home"}/me/x")')
    assert PROTOCOLS.search(code(KEEPER / "adapters" / "aave_v3" / "__init__.py"))
    assert {KEEPER / "ports.py", ROOT / "Makefile", ROOT / "Dockerfile", ROOT / ".ci" / "run"} <= set(ours())
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_why_it_exists(path: Path) -> None:
    source = path.read_text()
    assert not source or ast.get_docstring(ast.parse(source)), f"{path.name} has no docstring"


def test_every_plug_in_the_package_declares_is_there() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    for group, plugs in declared.items():
        for name, target in plugs.items():
            assert [plug.value for plug in entry_points(group=group, name=name)] == [target]
            assert callable(next(iter(entry_points(group=group, name=name))).load())


def test_the_import_rules_cover_every_room() -> None:
    layers = " ".join(_rule("layers", "layers"))
    rooms = {path.name if path.is_dir() else path.stem for path in KEEPER.iterdir() if path.is_dir() or path.suffix == ".py"}
    named = {name.removeprefix("keeper.") for name in re.findall(r"keeper\.\w+", layers)}
    assert rooms - named - {"__init__", "__pycache__"} == set()
