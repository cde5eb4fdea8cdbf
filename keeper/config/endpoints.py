"""Who is talked to, and by which key: nodes, ways to the builders, signers. All of it is secret, and may be in the environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, ValidationInfo, model_validator

from keeper.config.base import Table
from keeper.config.fields import Count, FilePath, HttpUrl, Name, Variable, WsUrl, one_of, refuse


def with_urls(chain: dict[str, Any], env: dict[str, str], keys: Sequence[str] = ("rpc_url", "ws_url")) -> dict[str, Any]:
    for key in keys:
        variable = chain.get(f"{key}_env")
        if not isinstance(variable, str):
            continue
        if key in chain:
            raise refuse(f"must not be given together with {key}", f"{key}_env")
        if not env.get(variable):
            raise refuse(_unset(variable), f"{key}_env")
        chain[key] = env[variable]
    return chain


def _unset(variable: str) -> str:
    if not variable.isidentifier():
        return "must be the NAME of an environment variable, not the value itself"
    return f"names the environment variable {variable}, which is not set"


def needs_one_url(schema: dict[str, Any]) -> None:
    schema["required"].remove("rpc_url")
    schema["anyOf"] = [{"required": ["rpc_url"]}, {"required": ["rpc_url_env"]}]


class SignerSettings(Table):
    """Where the operator's private key is. Exactly one of `keystore`, `key_file` and `key_env`."""

    keystore: FilePath | None = None
    """Encrypted JSON keystore, version 3."""
    password_file: FilePath | None = None
    """The keystore's password, in a file."""
    password_env: Variable | None = None
    """The keystore's password, in an environment variable of this name."""
    key_file: FilePath | None = None
    """The key as 64 hex digits, in a file only its owner can read."""
    key_env: Variable | None = None
    """The key as 64 hex digits, in an environment variable of this name."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = self._given("keystore", "key_file", "key_env")
        passwords = self._given("password_file", "password_env")
        if len(sources) != 1:
            raise refuse(f"must give exactly one of keystore, key_file and key_env, was given {_listed(sources)}")
        if self.keystore is None and passwords:
            raise refuse(f"must give {_listed(passwords)} only with keystore")
        if self.keystore is not None and len(passwords) != 1:
            raise refuse(f"must give exactly one of password_file and password_env with keystore, was given {_listed(passwords)}")
        return self

    def _given(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]


class NodeSettings(Table):
    """A further node of the chain: asked when the others fail, lag or are slow, and sent every public transaction, too."""

    name: Name
    rpc_url: HttpUrl
    """A secret, like the chain's own."""
    rpc_url_env: Variable | None = None
    """Name of the environment variable that holds rpc_url."""
    ws_url: WsUrl | None = None
    """A secret, like the chain's own. Whichever node tells of a block first is heard."""
    ws_url_env: Variable | None = None
    """Name of the environment variable that holds ws_url."""

    model_config = ConfigDict(json_schema_extra=needs_one_url)

    @model_validator(mode="before")
    @classmethod
    def _read_environment(cls, data: Any, info: ValidationInfo) -> Any:
        return with_urls(dict(data), dict(info.context["env"])) if isinstance(data, dict) and info.context else data


class ChannelSettings(Table):
    """A way to the block builders. Everything is sent over all of them; what comes behind an oracle update over bundles alone, if any."""

    name: Name
    kind: Annotated[Literal["public", "private", "bundle"], one_of("public", "private", "bundle")]
    """"public": eth_sendRawTransaction, at any node or protected endpoint; "private": eth_sendPrivateTransaction; "bundle":
    eth_sendBundle."""
    url: HttpUrl | None = None
    """A secret, like rpc_url. None: the chain's own node."""
    url_env: Variable | None = None
    """Name of the environment variable that holds url."""
    auth: SignerSettings | None = None
    """The key that signs what is sent there, in a header: who you are to the builder, no key with money. None: one made up at the start."""
    blocks: Count = 1
    """"private" and "bundle": in how many blocks it may land; then it is planned anew."""
    simulate: Annotated[Literal["always", "unless_proven", "never"], one_of("always", "unless_proven", "never")] = "always"
    """Whether the node must prove a plan before it is sent. "unless_proven": not in markets where it agreed `proofs` times in a row; it is
    asked beside the sending, and the first disagreement ends that. Where a revert costs nothing: not with "public". With several channels
    the strictest holds."""
    proofs: Count = 50

    @model_validator(mode="before")
    @classmethod
    def _read_environment(cls, data: Any, info: ValidationInfo) -> Any:
        return with_urls(dict(data), dict(info.context["env"]), ("url",)) if isinstance(data, dict) and info.context else data

    @model_validator(mode="after")
    def _free_to_fail(self) -> Self:
        if self.kind == "public" and self.simulate == "unless_proven":
            raise refuse('must be "always" or "never" with kind "public": what reverts there costs its gas', "simulate")
        return self


def _listed(names: list[str]) -> str:
    return " and ".join(names) if names else "none"
