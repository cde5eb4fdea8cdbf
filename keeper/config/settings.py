"""What can be set, as frozen models. Field order is the order of the example file; units are in the names, amounts are wei.

Validation needs a context: `{"base": folder of the file, "env": environment, "path": the file}`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationInfo, field_validator, model_validator

from keeper.config.fields import (
    AT_LEAST_ONE,
    Addresses,
    AddressText,
    Bps,
    Command,
    Count,
    FilePath,
    Flag,
    HttpUrl,
    Name,
    Port,
    Variable,
    Wei,
    Whole,
    Window,
    WsUrl,
    one_of,
    plugin,
    refuse,
    refuse_all,
)
from keeper.secret import Secret

Mode = Annotated[Literal["dry-run", "live"], one_of("dry-run", "live")]
Ruling = Annotated[Literal["trade", "alert", "hold"], one_of("trade", "alert", "hold")]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], one_of("debug", "info", "warning", "error")]
LogFormat = Annotated[Literal["console", "json"], one_of("console", "json")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class MarketSettings(_Table):
    """A deployment of a protocol whose accounts are watched."""

    name: Name
    """Unique in the chain and stable: the prefix of the market's tables."""
    adapter: Annotated[str, plugin("keeper.adapters", "an installed adapter")]
    address: AddressText
    """The contract discovery starts from (see the adapter)."""
    first_block: Whole | None = None
    """Block of the first event; found by discovery when absent."""
    options: dict[str, Any] = {}
    """What else the adapter wants to know (see the adapter)."""


class VenueSettings(_Table):
    """Where seized collateral is sold."""

    name: Name
    """Unique in the chain and stable: the prefix of the venue's tables."""
    adapter: Annotated[str, plugin("keeper.venues", "an installed venue")]
    address: AddressText
    """The contract discovery starts from (see the venue)."""
    first_block: Whole | None = None
    """Block of the first event; found by discovery when absent."""
    options: dict[str, Any] = {}
    """What else the venue wants to know (see the venue)."""


class ExecutorSettings(_Table):
    """Our contract. Live needs its address; `owner` and `beneficiary` are used by `keeper deploy` and by dry-run."""

    address: AddressText | None = None
    owner: AddressText | None = None
    """Cold: adds and revokes operators."""
    beneficiary: AddressText | None = None
    """Where every profit goes."""


class SignerSettings(_Table):
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


class BiddingSettings(_Table):
    """What a liquidation may pay for its place in the block."""

    profit_share_bps: Bps = 3000
    """Share of the expected profit offered as priority fee at most."""
    min_priority_fee_wei: Wei = 100_000_000
    """Per gas."""
    max_priority_fee_wei: Wei = 50_000_000_000
    """Per gas."""
    max_fee_wei: Wei = 500_000_000_000
    """Per gas, base fee included: the hard cap."""
    min_profit_wei: Wei = 0
    """Least profit after gas."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_priority_fee_wei > self.max_priority_fee_wei:
            raise refuse(
                f"must be at most max_priority_fee_wei ({self.max_priority_fee_wei}), was {self.min_priority_fee_wei}",
                "min_priority_fee_wei",
            )
        if self.max_priority_fee_wei > self.max_fee_wei:
            raise refuse(f"must be at most max_fee_wei ({self.max_fee_wei}), was {self.max_priority_fee_wei}", "max_priority_fee_wei")
        return self


class GuardTokenSettings(_Table):
    """One token's exceptions from the guard's settings; what is absent is as for all tokens."""

    token: AddressText
    stale: Ruling | None = None
    clamp: Ruling | None = None
    jump: Ruling | None = None
    apart: Ruling | None = None
    disagree: Ruling | None = None
    heartbeat_s: Count | None = None
    max_jump_bps: Whole | None = None
    max_apart_bps: Whole | None = None
    max_disagree_bps: Whole | None = None
    spot_confirms: Flag | None = None
    second: AddressText | None = None
    """A second source: an AggregatorV3 in the market's currency, read at every head."""


class GuardSettings(_Table):
    """When a price is doubted, and what is done about it: trade, alert or hold."""

    stale: Ruling = "alert"
    """The aggregator has been silent for longer than `heartbeat_s`."""
    clamp: Ruling = "hold"
    """The aggregator's answer is at its least or most."""
    jump: Ruling = "hold"
    """One update moved the price by more than `max_jump_bps`, and the pools did not follow."""
    apart: Ruling = "hold"
    """The price is more than `max_apart_bps` from what deep pools trade at."""
    disagree: Ruling = "hold"
    """The price is more than `max_disagree_bps` from the token's second source."""
    heartbeat_s: Count = 90_000
    max_jump_bps: Whole = 2000
    max_apart_bps: Whole = 1000
    max_disagree_bps: Whole = 500
    spot_confirms: Flag = True
    """In a crash the pools' mean lags: a price between it and where the pools stand now is not apart, and no jump. false: only the mean."""
    twap_window_s: Window = 1800
    min_depth: Whole = 10_000
    """What a pool must pay out until its price is 2 % off to be a witness, in whole units of the market's currency."""
    anchors: Addresses = ()
    """Tokens (stablecoins) in which pools' prices are read, at their own oracle price. None: the native token alone."""
    tokens: tuple[GuardTokenSettings, ...] = ()

    @field_validator("tokens")
    @classmethod
    def _distinct(cls, tokens: tuple[GuardTokenSettings, ...]) -> tuple[GuardTokenSettings, ...]:
        _refuse_twins("must differ in token", "", [item.token for item in tokens])
        return tokens


class LimitSettings(_Table):
    """How much may be under way at once."""

    max_in_flight: Count = 32
    """Transactions sent and not yet settled."""
    max_plans_per_block: Count = 64
    max_gas_per_block: Count = 20_000_000
    resend_after_blocks: Count = 3
    """A transaction still pending after so many blocks is replaced."""


class AuctionSettings(_Table):
    """When to take lots whose price falls with the clock."""

    model: Command = ()
    """A bidding model of your own: a program and its arguments, run in the folder of this file. None: the one that is built in."""
    answer_ms: Count = 500
    """How long the program is waited for; then the one that is built in has the word."""


def _needs_one_url(schema: dict[str, Any]) -> None:
    schema["required"].remove("rpc_url")
    schema["anyOf"] = [{"required": ["rpc_url"]}, {"required": ["rpc_url_env"]}]


class ChainSettings(_Table):
    """One chain: its node, what is watched there, and how it is acted on."""

    model_config = ConfigDict(json_schema_extra=_needs_one_url)

    name: Name
    chain_id: Count
    """Checked against the node's at the start."""
    rpc_url: HttpUrl
    """HTTP endpoint of the node. A secret: use rpc_url_env when it holds an API key."""
    rpc_url_env: Variable | None = None
    """Name of the environment variable that holds rpc_url."""
    ws_url: WsUrl | None = None
    """WebSocket endpoint for new blocks. A secret, like rpc_url."""
    ws_url_env: Variable | None = None
    """Name of the environment variable that holds ws_url."""
    native_token: AddressText
    """The token gas is paid in, as the markets know it (wrapped): profits are compared with gas at their oracle price."""
    block_time_s: Count = 12
    confirmations: Whole = 2
    """Blocks on top of a receipt before it is settled."""
    first_block: Whole | None = None
    """Default for the markets and venues below."""
    audit_accounts: Whole = 4
    """Accounts compared with the chain at every head; 0: off."""
    markets: Annotated[tuple[MarketSettings, ...], *AT_LEAST_ONE]
    venues: tuple[VenueSettings, ...] = ()
    executor: ExecutorSettings | None = None
    signer: SignerSettings | None = None
    bidding: BiddingSettings = BiddingSettings()
    limits: LimitSettings = LimitSettings()
    auctions: AuctionSettings = AuctionSettings()
    guard: GuardSettings = GuardSettings()

    @model_validator(mode="before")
    @classmethod
    def _read_environment(cls, data: Any, info: ValidationInfo) -> Any:
        return _with_urls(dict(data), dict(info.context["env"])) if isinstance(data, dict) and info.context else data

    @model_validator(mode="after")
    def _distinct_sources(self) -> Self:
        _refuse_twins(
            "markets and venues must differ in name",
            "",
            [*(market.name for market in self.markets), *(venue.name for venue in self.venues)],
        )
        return self


class Settings(_Table):
    """Everything the keeper is told. Built by `keeper.config.load`."""

    mode: Mode = "dry-run"
    """"live" sends transactions, and only together with `keeper run --live`."""
    data_dir: FilePath = Path("data")
    """Databases and heartbeat; relative to this file."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "console"
    metrics_port: Port = 0
    """Prometheus metrics on this port; 0: off."""
    chains: Annotated[tuple[ChainSettings, ...], *AT_LEAST_ONE]

    _path: Path = PrivateAttr(default=Path("keeper.toml"))

    @property
    def path(self) -> Path:
        """The file these settings came from."""
        return self._path

    def secrets(self) -> tuple[Secret, ...]:
        return tuple(url for chain in self.chains for url in (chain.rpc_url, chain.ws_url) if url is not None)

    def model_post_init(self, context: Any, /) -> None:
        if context:
            self._path = Path(context["path"])

    @model_validator(mode="before")
    @classmethod
    def _rooted(cls, data: Any) -> Any:
        return {"data_dir": "data", **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_twins("must differ in name", "chains", [chain.name for chain in self.chains])
        _refuse_twins("must differ in chain_id", "chains", [chain.chain_id for chain in self.chains])
        if self.mode == "live" and (problems := _missing_for_live(self.chains)):
            raise refuse_all(problems)
        return self


def _with_urls(chain: dict[str, Any], env: dict[str, str]) -> dict[str, Any]:
    for key in ("rpc_url", "ws_url"):
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


def _refuse_twins(rule: str, key: str, values: Iterable[object]) -> None:
    twins = [value for value, count in Counter(values).items() if count > 1]
    if twins:
        raise refuse(f"{rule}, was given {twins[0]!r} more than once", key)


def _missing_for_live(chains: tuple[ChainSettings, ...]) -> list[tuple[str, str]]:
    problems = []
    for index, chain in enumerate(chains):
        if chain.signer is None:
            problems.append((f"chains.{index}.signer", 'is missing: mode "live" needs the key that signs'))
        if chain.executor is None:
            problems.append((f"chains.{index}.executor", 'is missing: mode "live" needs the executor contract (see `keeper deploy`)'))
    return problems


def _listed(names: list[str]) -> str:
    return " and ".join(names) if names else "none"
