"""What can be set, as frozen models. Field order is the order of the example file; units are in the names, amounts are wei.

Validation needs a context: `{"base": folder of the file, "env": environment, "path": the file}`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, PrivateAttr, ValidationInfo, model_validator

from keeper.config.base import Table, refuse_twins
from keeper.config.endpoints import ChannelSettings, NodeSettings, SignerSettings, needs_one_url, with_urls
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
    WsUrl,
    one_of,
    plugin,
    refuse,
    refuse_all,
)
from keeper.config.guard import GuardSettings
from keeper.config.inventory import InventorySettings
from keeper.secret import Secret

Mode = Annotated[Literal["dry-run", "live"], one_of("dry-run", "live")]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], one_of("debug", "info", "warning", "error")]
LogFormat = Annotated[Literal["console", "json"], one_of("console", "json")]


class MarketSettings(Table):
    """A deployment of a protocol whose accounts are watched."""

    name: Name
    """Unique in the chain and stable: the prefix of the market's tables."""
    adapter: Annotated[str, plugin("keeper.adapters", "an installed adapter")]
    address: AddressText
    """The contract discovery starts from (see the adapter)."""
    first_block: Whole | None = None
    """Block of the first event; found by discovery when absent."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What else the adapter wants to know (see the adapter)."""


class VenueSettings(Table):
    """Where seized collateral is sold."""

    name: Name
    """Unique in the chain and stable: the prefix of the venue's tables."""
    adapter: Annotated[str, plugin("keeper.venues", "an installed venue")]
    address: AddressText
    """The contract discovery starts from (see the venue)."""
    first_block: Whole | None = None
    """Block of the first event; found by discovery when absent."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What else the venue wants to know (see the venue)."""


class ExecutorSettings(Table):
    """Our contract. Live needs its address; `owner` and `beneficiary` are used by `keeper deploy` and by dry-run."""

    address: AddressText | None = None
    owner: AddressText | None = None
    """Cold: adds and revokes operators."""
    beneficiary: AddressText | None = None
    """Where every profit goes."""


class BiddingSettings(Table):
    """What a liquidation may pay for its place in the block."""

    policy: Annotated[str, plugin("keeper.bidding", "an installed bidding policy")] = "expected"
    """"expected": what promises most, by what won so far; "share": always the same share of the profit."""
    channel: Annotated[Literal["tip", "builder", "refund", "first_come"], one_of("tip", "builder", "refund", "first_come")] = "tip"
    """What decides who is first, and what losing costs: "tip" in a public pool, "first_come" with a sequencer that takes no bids."""
    profit_share_bps: Bps = 3000
    """With "share": of the expected profit, offered as priority fee."""
    min_priority_fee_wei: Wei = 100_000_000
    """Per gas."""
    max_priority_fee_wei: Wei = 2_000_000_000_000
    """Per gas."""
    max_fee_wei: Wei = 3_000_000_000_000
    """Per gas, base fee included: the hard cap."""
    min_profit_wei: Wei = 0
    """Least profit after gas."""
    max_bid_wei: Wei = 2 * 10**18
    """A transaction's priority fee in all, beyond the least; the same for a block's and a day's."""
    max_bid_per_block_wei: Wei = 10 * 10**18
    max_bid_per_day_wei: Wei = 50 * 10**18
    """In the last 24 hours, without bids that are known to have lost."""
    model: Command = ()
    """A program of your own that says what to bid, run in the folder of this file. None: the policy's word holds."""
    answer_ms: Count = 50
    """How long the program is waited for."""

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


class LimitSettings(Table):
    """How much may be under way at once."""

    max_in_flight: Count = 32
    """Transactions sent and not yet settled."""
    max_plans_per_block: Count = 64
    max_gas_per_block: Count = 20_000_000
    resend_after_blocks: Count = 3
    """A transaction still pending after so many blocks is replaced."""


class BreakerSettings(Table):
    """What stops all sending until `keeper resume`; 0: never."""

    reverts_in_a_row: Whole = 5
    """Transactions that reverted for no reason anybody can explain. Being late is none."""
    loss_per_hour_wei: Wei = 10**18
    gas_per_day_wei: Wei = 60 * 10**18
    """For all transactions, tips included."""


SWEEP_WORTH_GAS = 1_000_000
"""Less than so much gas costs is dust: a transfer takes between a tenth and a fiftieth of it."""


class GasMoneySettings(Table):
    """The ether that signers keep for gas."""

    least_wei: Wei = 5 * 10**16
    """A signer with less is filled up by another."""
    float_wei: Wei = 2 * 10**17
    """So far; no signer gives away what it needs for that itself."""
    sweep_above_wei: Wei | None = None
    """A signer with so much more than its float sends all that is beyond it to the beneficiary. None: never."""
    sweep_every_s: Whole = 86_400
    """From one sweep to the next at least."""
    max_base_fee_wei: Wei = 50 * 10**9
    """Per gas; while it is higher nothing is moved."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least_wei >= self.float_wei:
            raise refuse(f"must be less than float_wei ({self.float_wei}), was {self.least_wei}", "least_wei")
        worth_wei = SWEEP_WORTH_GAS * self.max_base_fee_wei
        if self.sweep_above_wei is not None and self.sweep_above_wei < worth_wei:
            least = f"at least {worth_wei}, {SWEEP_WORTH_GAS} gas at max_base_fee_wei"
            raise refuse(f"must be {least}: less is not worth its gas, was {self.sweep_above_wei}", "sweep_above_wei")
        return self


class LookaheadSettings(Table):
    """Oracle updates that wait in the mempool: what they make due is sent to land right behind them."""

    enabled: Flag = False
    """It needs ws_url, a node that tells of what waits, and eth_simulateV1."""
    max_at_stake_per_day_wei: Wei = 10**17
    """What may be lost in 24 hours to updates that do not come."""
    answer_bps: Bps = 9500
    """Of what a place is worth, the most that is offered for it against a rival whose bid waits there, too; 0: no bid is answered."""


class AuctionSettings(Table):
    """When to take lots whose price falls with the clock."""

    model: Command = ()
    """A bidding model of your own: a program and its arguments, run in the folder of this file. None: the one that is built in."""
    answer_ms: Count = 500
    """How long the program is waited for; then the one that is built in has the word."""


class ChainSettings(Table):
    """One chain: its node, what is watched there, and how it is acted on."""

    model_config = ConfigDict(json_schema_extra=needs_one_url)

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
    nodes: tuple[NodeSettings, ...] = ()
    """Further nodes of the same chain."""
    native_token: AddressText
    """The token gas is paid in, as the markets know it (wrapped): profits are compared with gas at their oracle price."""
    block_time_s: Count = 12
    confirmations: Whole = 2
    """Blocks on top of a receipt before it is settled."""
    first_block: Whole | None = None
    """Default for the markets and venues below."""
    audit_accounts: Whole = 4
    """Accounts compared with the chain at every head; 0: off."""
    deny_tokens: Addresses = ()
    """Tokens never to be repaid, seized or passed through on the way."""
    markets: Annotated[tuple[MarketSettings, ...], *AT_LEAST_ONE]
    venues: tuple[VenueSettings, ...] = ()
    executor: ExecutorSettings | None = None
    signer: SignerSettings | None = None
    more_signers: tuple[SignerSettings, ...] = ()
    """Further operators: what goes out by different ones does not wait for each other."""
    gas_money: GasMoneySettings | None = None
    """None: whoever runs the keeper fills the signers up."""
    bidding: BiddingSettings = BiddingSettings()
    limits: LimitSettings = LimitSettings()
    channels: tuple[ChannelSettings, ...] = ()
    """None: the node's public mempool."""
    breakers: BreakerSettings = BreakerSettings()
    lookahead: LookaheadSettings = LookaheadSettings()
    auctions: AuctionSettings = AuctionSettings()
    inventory: tuple[InventorySettings, ...] = ()
    guard: GuardSettings = GuardSettings()

    @model_validator(mode="before")
    @classmethod
    def _read_environment(cls, data: Any, info: ValidationInfo) -> Any:
        return with_urls(dict(data), dict(info.context["env"])) if isinstance(data, dict) and info.context else data

    @model_validator(mode="after")
    def _distinct_sources(self) -> Self:
        refuse_twins(
            "markets and venues must differ in name",
            "",
            [*(market.name for market in self.markets), *(venue.name for venue in self.venues)],
        )
        if self.more_signers and self.signer is None:
            raise refuse("needs signer", "more_signers")
        if self.lookahead.enabled and self.ws_url is None:
            raise refuse("needs ws_url", "lookahead.enabled")
        refuse_twins("must differ in name, also from the chain", "nodes", [node.name for node in self.all_nodes])
        refuse_twins("must differ in name", "channels", [channel.name for channel in self.channels])
        refuse_twins("must differ in market", "inventory", [item.market for item in self.inventory])
        if strangers := {item.market for item in self.inventory} - {market.name for market in self.markets}:
            raise refuse(f"must name a market of this chain, was {min(strangers)!r}", "inventory")
        return self

    @property
    def all_nodes(self) -> tuple[NodeSettings, ...]:
        """The chain's own first."""
        return NodeSettings(name=self.name, rpc_url=self.rpc_url, ws_url=self.ws_url), *self.nodes


class Settings(Table):
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
        urls = [url for chain in self.chains for node in chain.all_nodes for url in (node.rpc_url, node.ws_url)]
        urls += [channel.url for chain in self.chains for channel in chain.channels]
        return tuple(url for url in urls if url is not None)

    def model_post_init(self, context: Any, /) -> None:
        if context:
            self._path = Path(context["path"])

    @model_validator(mode="before")
    @classmethod
    def _rooted(cls, data: Any) -> Any:
        return {"data_dir": "data", **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_twins("must differ in name", "chains", [chain.name for chain in self.chains])
        refuse_twins("must differ in chain_id", "chains", [chain.chain_id for chain in self.chains])
        if self.mode == "live" and (problems := _missing_for_live(self.chains)):
            raise refuse_all(problems)
        return self


def _missing_for_live(chains: tuple[ChainSettings, ...]) -> list[tuple[str, str]]:
    problems = []
    for index, chain in enumerate(chains):
        if chain.signer is None:
            problems.append((f"chains.{index}.signer", 'is missing: mode "live" needs the key that signs'))
        if chain.executor is None:
            problems.append((f"chains.{index}.executor", 'is missing: mode "live" needs the executor contract (see `keeper deploy`)'))
    return problems
