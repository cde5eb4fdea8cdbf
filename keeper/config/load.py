"""From a TOML file and the environment to settings, or to one clear line per mistake."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from keeper.config.fields import REFUSED, given, nearest
from keeper.config.settings import Settings
from keeper.errors import ConfigError
from keeper.secret import hide

PREFIX: Final = "KEEPER_"
_EXAMPLE: Final = "config/keeper.example.toml"
_EXPECTED: Final = {"model_type": "a table", "dict_type": "a table", "tuple_type": "a list of tables"}

Tree = dict[str, Any]
Location = tuple[str | int, ...]


def load(path: Path, env: Mapping[str, str]) -> Settings:
    """Validated settings of a file, with `KEEPER_…` overrides from `env`. Hides its secrets. Raises ConfigError, a line per mistake."""
    tree = _read(path)
    overrides = dict(_overrides(env))
    for location, variable in overrides.items():
        _override(tree, location, variable, env[variable])
    try:
        settings = Settings.model_validate(tree, context={"base": path.parent.absolute(), "env": env, "path": path})
    except ValidationError as error:
        lines = [line for detail in error.errors(include_url=False) for line in _lines(detail, path, overrides)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None
    hide(*settings.secrets())
    return settings


def show(settings: Settings, as_json: bool = False) -> str:
    """The settings in force, secrets masked: as TOML, or as one line of JSON with integers as strings."""
    tree = settings.model_dump(mode="json", exclude_none=True)
    return json.dumps(_stringed(tree), ensure_ascii=False) if as_json else "\n".join(_toml(tree, ()))


def schema() -> Tree:
    """JSON Schema of the config file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}


def require_live(settings: Settings) -> None:
    """Raises ConfigError, one line per reason why these settings must not send transactions."""
    problems = [] if settings.mode == "live" else [f'mode must be "live" for --live, was "{settings.mode}"']
    for index, chain in enumerate(settings.chains):
        if chain.signer is None:
            problems.append(f"chains.{index}.signer is missing: --live needs the key that signs")
        if chain.executor is None or chain.executor.address is None:
            problems.append(f"chains.{index}.executor.address is missing: --live needs the deployed executor (see `keeper deploy`)")
    if problems:
        raise ConfigError("\n".join(f"{settings.path}: {problem}" for problem in problems))


# --- reading ------------------------------------------------------------------------------------------------------


def _read(path: Path) -> Tree:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name one with --config, or start from a copy of {_EXAMPLE}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, must be a TOML file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not a text file, must be TOML in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return _parse(text, path)


def _parse(text: str, path: Path) -> Tree:
    if not text.strip():
        raise ConfigError(f"{path}: is empty; start from a copy of {_EXAMPLE}")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None


# --- the environment ----------------------------------------------------------------------------------------------


def _overrides(env: Mapping[str, str]) -> Iterator[tuple[Location, str]]:
    for variable in sorted(name for name in env if name.startswith(PREFIX)):
        parts = variable.removeprefix(PREFIX).lower().split("__")
        if parts[0] in Settings.model_fields:
            yield tuple(int(part) if part.isdecimal() else part for part in parts), variable
        elif close := get_close_matches(parts[0], Settings.model_fields, n=1, cutoff=0.8):
            raise ConfigError(f"environment variable {variable}: names no setting, did you mean {PREFIX}{close[0].upper()}?")


def _override(tree: Tree, location: Location, variable: str, value: str) -> None:
    node: Any = tree
    for depth, part in enumerate(location[:-1], 1):
        if _table(location[:depth]) is None:
            raise _no_setting(variable)
        node = _descend(node, part, variable, location[depth])
    last = location[-1]
    if not isinstance(node, dict) or not isinstance(last, str):
        raise _no_setting(variable)
    node.pop(last.removesuffix("_env") if last.endswith("_url_env") else f"{last}_env", None)
    node[last] = value


def _descend(node: Any, part: str | int, variable: str, below: str | int) -> Any:
    if isinstance(node, dict) and isinstance(part, str):
        return node.setdefault(part, [] if isinstance(below, int) else {})
    if isinstance(node, list) and isinstance(part, int):
        if part < len(node):
            return node[part]
        raise ConfigError(f"environment variable {variable}: there is no entry {part}; the file has {len(node)}, numbered from 0")
    raise _no_setting(variable)


def _no_setting(variable: str) -> ConfigError:
    return ConfigError(f"environment variable {variable}: names no setting; lists are numbered from 0, as in KEEPER_CHAINS__0__RPC_URL")


def _table(location: Location) -> type[BaseModel] | None:
    """The model of the table at this place, None if there is no table."""
    model: type[BaseModel] | None = Settings
    for part in location:
        if isinstance(part, str):
            field = model.model_fields.get(part) if model else None
            model = next(_models(field.annotation), None) if field else None
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


# --- errors -------------------------------------------------------------------------------------------------------


def _lines(detail: ErrorDetails, path: Path, overrides: Mapping[Location, str]) -> Iterator[str]:
    location = detail["loc"]
    origin = f"environment variable {overrides[location]}" if location in overrides else str(path)
    for key, message in _problems(detail):
        dotted = ".".join([*map(str, location), *([key] if key else [])])
        yield f"{origin}: {dotted} {message}" if dotted else f"{origin}: {message}"


def _problems(detail: ErrorDetails) -> list[tuple[str, str]]:
    kind = detail["type"]
    if kind == REFUSED:
        problems: list[tuple[str, str]] = detail["ctx"]["problems"]
        return problems
    if kind == "missing":
        return [("", "is missing")]
    if kind == "extra_forbidden":
        table = _table(detail["loc"][:-1]) or Settings
        return [("", f"is not a known key, {nearest(str(detail['loc'][-1]), list(table.model_fields))}")]
    return [("", f"must be {_EXPECTED.get(kind, 'valid')}, was {_kind(detail['input'])}")]


def _kind(value: object) -> str:
    """What a value is, not what it says: a whole table in the wrong place may hold secrets."""
    return (
        given(value)
        if isinstance(value, dict | list | bool)
        else {str: "text", int: "a number", float: "a number"}.get(type(value), "something else")
    )


# --- showing ------------------------------------------------------------------------------------------------------


def _stringed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stringed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_stringed(inner) for inner in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _toml(table: Tree, path: tuple[str, ...]) -> Iterator[str]:
    """Scalars first, then tables, as TOML demands."""
    for key, value in table.items():
        if not _is_table(value):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in table.items():
        name = ".".join((*path, key))
        if isinstance(value, dict):
            yield from ("", f"[{name}]", *_toml(value, (*path, key)))
        elif _is_table(value):
            for entry in value:
                yield from ("", f"[[{name}]]", *_toml(entry, (*path, key)))


def _is_table(value: Any) -> bool:
    """Or a list of some."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(entry, dict) for entry in value))
