"""The config's words in the terms of the rooms they are about, which know no config."""

from __future__ import annotations

from dataclasses import fields
from importlib.metadata import entry_points
from typing import cast

from keeper.bidding.budget import Purse
from keeper.bidding.caps import Caps
from keeper.bidding.channels import Channel
from keeper.bidding.odds import Odds
from keeper.bidding.policies import Terms
from keeper.config.guard import GuardSettings
from keeper.config.inventory import InventorySettings
from keeper.config.settings import BiddingSettings, BreakerSettings, ChainSettings
from keeper.errors import ConfigError
from keeper.execution import rivalry, treasurer
from keeper.execution.breakers import Breakers
from keeper.execution.gas_money import GasMoney
from keeper.execution.trust import Trust, strictest
from keeper.inventory.inventory import House, HouseMarket
from keeper.inventory.limits import Limits
from keeper.inventory.policy import Mode
from keeper.inventory.policy import Policy as Holding
from keeper.inventory.port import Holdable
from keeper.ports import BidPolicy, Market
from keeper.risk.sanity import Policy, Rules


def policy(guard: GuardSettings) -> Policy:
    """The config's words as the guard's rules: a token's exceptions stand on what holds for all."""
    names = [field.name for field in fields(Rules)]
    shared = guard.model_dump(include=set(names))
    tokens = {item.token: Rules(**(shared | item.model_dump(include=set(names), exclude_none=True))) for item in guard.tokens}
    return Policy(Rules(**shared), tokens, guard.anchors, guard.twap_window_s, guard.min_depth)


def purse(bidding: BiddingSettings) -> Purse:
    return Purse(bidding.max_bid_wei, bidding.max_bid_per_block_wei, bidding.max_bid_per_day_wei)


def bid_policy(bidding: BiddingSettings, odds: Odds, channel: Channel | None = None) -> BidPolicy:
    """The installed policy of that name; for that channel, or the configured one."""
    make = next(iter(entry_points(group="keeper.bidding", name=bidding.policy))).load()
    made: BidPolicy = make(Terms(caps(bidding), channel or Channel(bidding.channel), bidding.profit_share_bps, odds))
    return made


def caps(bidding: BiddingSettings) -> Caps:
    return Caps(**bidding.model_dump(include={field.name for field in fields(Caps)}))


def behind(chain: ChainSettings) -> Channel:
    """Where it is decided who comes right behind an oracle's update."""
    tied = any(channel.kind == "bundle" for channel in chain.channels)
    return Channel.BUILDER if tied else Channel(chain.bidding.channel)


def answers(chain: ChainSettings) -> rivalry.Terms:
    bidding = chain.bidding
    return rivalry.Terms(chain.lookahead.answer_bps, bidding.min_priority_fee_wei, bidding.max_priority_fee_wei)


def gas_money(chain: ChainSettings) -> treasurer.Terms | None:
    wanted = chain.gas_money
    if wanted is None:
        return None
    tip_wei = chain.bidding.min_priority_fee_wei
    max_fee_wei = min(wanted.max_base_fee_wei + tip_wei, chain.bidding.max_fee_wei)
    money = GasMoney(wanted.least_wei, wanted.float_wei, wanted.sweep_above_wei)
    return treasurer.Terms(money, max_fee_wei, tip_wei, wanted.sweep_every_s)


def breakers(settings: BreakerSettings) -> Breakers:
    return Breakers(**settings.model_dump())


def house(item: InventorySettings, market: Market, chain: ChainSettings) -> House:
    """Limits are told in whole units. Raises ConfigError for a market where nothing can be held."""
    if not isinstance(market, Holdable):
        raise ConfigError(keeps_nothing(chain, market.name))
    named = item.model_dump()
    holding = Holding(
        mode=Mode(item.mode),
        volatility=item.volatility_percent / 100,
        **{name: named[name] for name in ("deadline_blocks", "hold_blocks", "cost_cap_bps", "hard_cap_bps", "band_bps", "inner_bps")},
    )
    limits = Limits(item.per_market * 10**18, item.in_all * 10**18, item.shock_bps, item.cushion_bps)
    hedges: dict[str, tuple[tuple[str, int], ...]] = {}
    for hedge in item.hedges:
        hedges[hedge.target] = *hedges.get(hedge.target, ()), (hedge.against, hedge.beta_bps)
    return House(cast("HouseMarket", market), item.account, holding, limits, hedges)


def keeps_nothing(chain: ChainSettings, market: str) -> str:
    """What is wrong with naming a market where nothing can be held."""
    return f"chains.{chain.name}.inventory: no position can be kept on {market}: name another market, or none"


def trust(chain: ChainSettings) -> Trust:
    """What is sent goes over all channels: the strictest of them decides."""
    return Trust(
        strictest([channel.simulate for channel in chain.channels]), max((channel.proofs for channel in chain.channels), default=0)
    )
