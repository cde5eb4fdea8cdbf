"""What each event log changes: pure, by fixed word positions, applied strictly in log order from the market's first block.

A contract is only believed in the roles it has in this view.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from keeper.adapters.yield_v2.cells import ART, ILK, INK, SERIES, Auction, Cells, Deployment
from keeper.adapters.yield_v2.codec import account_of, log_id, log_word, selector, signed, to_address, topic, topic_address, topic_id
from keeper.errors import Transient
from keeper.ports import View
from keeper.types import Address, Log, LogFilter, Write

Handler = Callable[[Cells, Log, View], list[Write]]
Role = Mapping[str, Handler]

CAULDRON_ROLES = {
    f"0x{selector(signature).hex()}": signature.partition("(")[0]
    for signature in ("give(bytes12,address)", "slurp(bytes12,uint128,uint128)")
}
JOIN_ROLES = {
    f"0x{selector(signature).hex()}": signature.partition("(")[0] for signature in ("exit(address,uint128)", "join(address,uint128)")
}
NO, YES = 1, 2


class Applier:
    """Log by log, the cells it changes. Holds for every view of the same shape as the one given."""

    def __init__(self, deployment: Deployment, cells: Cells, view: View) -> None:
        self._cells = cells
        self._roles = {address: _merged(roles) for address, roles in _roles(deployment, cells, view).items()}

    def __call__(self, log: Log, view: View) -> list[Write]:
        """None for a log of a contract or kind that is not followed. Raises Transient for one that lacks words: no contract emits it."""
        handlers = self._roles.get(log.address, {}).get(log.topics[0], ()) if log.topics else ()
        try:
            return [write for handler in handlers for write in handler(self._cells, log, view)]
        except IndexError:
            raise Transient(f"a log of {log.address} in block {log.block_number} is cut short: the node sent a part of it") from None


def filters(deployment: Deployment, cells: Cells, view: View) -> tuple[LogFilter, ...]:
    """One for each contract that is followed."""
    since = _since(deployment, cells, view)
    roles = _roles(deployment, cells, view)
    return tuple(
        LogFilter(address, frozenset(_merged(tables)), since.get(address, deployment.first_block)) for address, tables in roles.items()
    )


def reshapes(cells: Cells, writes: Iterable[Write]) -> bool:
    """Whether these writes may change who is followed, or in what role."""
    shaping = cells.shaping
    for table, key, _ in writes:
        if table in shaping or (table == cells.source and key[1] == "aggregator") or (table == cells.market and key[0] == "ladle"):
            return True
    return False


def _merged(roles: Iterable[Role]) -> dict[str, list[Handler]]:
    found: dict[str, list[Handler]] = defaultdict(list)
    for role in roles:
        for topic0, handler in role.items():
            found[topic0].append(handler)
    return dict(found)


def _roles(deployment: Deployment, cells: Cells, view: View) -> dict[Address, list[Role]]:
    """Who is followed, and as what; one contract may be several."""
    ladle = cells.ladle(view, deployment)
    found: dict[Address, list[Role]] = defaultdict(list)
    granted = partial(_granted, deployment.witch)
    found[deployment.witch].append(WITCH)
    found[deployment.cauldron] += [CAULDRON, {GRANTED: partial(granted, YES), REVOKED: partial(granted, NO)}]
    found[ladle].append(LADLE)
    joined = partial(_joined, deployment.witch)
    for join in {view.get(cells.join, key) for key in view.keys(cells.join) if key[0] == ladle}:
        found[to_address(join)].append({GRANTED: partial(joined, YES), REVOKED: partial(joined, NO)})
    for key in view.keys(cells.oracle):
        found[Address(str(key[0]))].append(ORACLE)
    for source in {view.get(cells.quoted, key) for key in view.keys(cells.quoted)}:
        aggregator = view.get(cells.source, (to_address(source), "aggregator"))
        if aggregator:
            found[to_address(aggregator)].append({ANSWERED: partial(_answered, to_address(source))})
    return found


def _since(deployment: Deployment, cells: Cells, view: View) -> dict[Address, int]:
    """From which block on, where that is not the market's first."""
    found = {Address(str(key[0])): view.get(cells.oracle, key) - 1 for key in view.keys(cells.oracle)}
    for join in {view.get(cells.join, key) for key in view.keys(cells.join)}:
        found[to_address(join)] = view.get(cells.held, (to_address(join), "since"))
    for source in {view.get(cells.quoted, key) for key in view.keys(cells.quoted)}:
        name = to_address(source)
        found[to_address(view.get(cells.source, (name, "aggregator")))] = view.get(cells.source, (name, "since")) - 1
    return found


# --- Cauldron: vaults ---------------------------------------------------------------------------------------------


def _built(cells: Cells, log: Log, view: View) -> list[Write]:
    account = account_of(log.topics[1])
    terms: list[Write] = [(cells.vault, (SERIES, account), topic_id(log.topics[3])), (cells.vault, (ILK, account), log_id(log, 0))]
    return [*terms, *cells.owned_by(account, topic_address(log.topics[2]))]


def _tweaked(cells: Cells, log: Log, view: View) -> list[Write]:
    account = account_of(log.topics[1])
    return [(cells.vault, (SERIES, account), topic_id(log.topics[2])), (cells.vault, (ILK, account), topic_id(log.topics[3]))]


def _destroyed(cells: Cells, log: Log, view: View) -> list[Write]:
    """It is empty."""
    account = account_of(log.topics[1])
    return [(cells.vault, (field, account), 0) for field in range(ILK + 1)]


def _given(cells: Cells, log: Log, view: View) -> list[Write]:
    return cells.owned_by(account_of(log.topics[1]), topic_address(log.topics[2]))


def _poured(cells: Cells, log: Log, view: View) -> list[Write]:
    return _moved(cells, view, account_of(log.topics[1]), signed(log_word(log, 0)), signed(log_word(log, 1)))


def _stirred(cells: Cells, log: Log, view: View) -> list[Write]:
    ink, art = log_word(log, 0), log_word(log, 1)
    paid, got = account_of(log.topics[1]), account_of(log.topics[2])
    return [*_moved(cells, view, paid, -ink, -art), *_moved(cells, view, got, ink, art)]


def _moved(cells: Cells, view: View, account: Address, ink: int, art: int) -> list[Write]:
    changes = ((INK, ink), (ART, art))
    return [(cells.vault, (field, account), view.get(cells.vault, (field, account)) + change) for field, change in changes if change]


def _rolled(cells: Cells, log: Log, view: View) -> list[Write]:
    account = account_of(log.topics[1])
    return [(cells.vault, (SERIES, account), topic_id(log.topics[2])), (cells.vault, (ART, account), log_word(log, 0))]


# --- Cauldron: governance -----------------------------------------------------------------------------------------


def _asset_added(cells: Cells, log: Log, view: View) -> list[Write]:
    return [(cells.asset, (topic_id(log.topics[1]),), int(log.topics[2], 16))]


def _series_added(cells: Cells, log: Log, view: View) -> list[Write]:
    series = topic_id(log.topics[1])
    return [(cells.series, (series, "base"), topic_id(log.topics[2])), (cells.series, (series, "fytoken"), int(log.topics[3], 16))]


def _series_matured(cells: Cells, log: Log, view: View) -> list[Write]:
    return [(cells.series, (topic_id(log.topics[1]), "rate"), log_word(log, 0))]


def _spot_oracle_added(cells: Cells, log: Log, view: View) -> list[Write]:
    """An oracle is followed from the first pair on that it is given for."""
    base, ilk, oracle = topic_id(log.topics[1]), topic_id(log.topics[2]), topic_address(log.topics[3])
    pair: list[Write] = [(cells.spot, (base, ilk, "oracle"), int(oracle, 16)), (cells.spot, (base, ilk, "ratio"), log_word(log, 0))]
    return pair if view.get(cells.oracle, (oracle,)) else [*pair, (cells.oracle, (oracle,), log.block_number + 1)]


def _rate_oracle_added(cells: Cells, log: Log, view: View) -> list[Write]:
    """What another oracle has accumulated says nothing of this one's: it is read at the head."""
    base = topic_id(log.topics[1])
    forgotten: list[Write] = [(cells.rate, (base, field), 0) for field in ("per_second", "stored", "at")]
    return [(cells.lender, (base,), int(log.topics[2], 16)), *forgotten]


def _debt_limits_set(cells: Cells, log: Log, view: View) -> list[Write]:
    least = log_word(log, 1) * 10 ** min(log_word(log, 2), 77)
    return [(cells.least, (topic_id(log.topics[1]), topic_id(log.topics[2])), least)]


def _granted(witch: Address, value: int, cells: Cells, log: Log, view: View) -> list[Write]:
    """Calls are paused by taking them from the Witch."""
    function = CAULDRON_ROLES.get(log.topics[1][:10])
    return [(cells.role, (function,), int(value == YES))] if function and topic_address(log.topics[2]) == witch else []


def _joined(witch: Address, value: int, cells: Cells, log: Log, view: View) -> list[Write]:
    function = JOIN_ROLES.get(log.topics[1][:10])
    return [(cells.held, (log.address, function), value)] if function and topic_address(log.topics[2]) == witch else []


# --- Ladle, oracles -----------------------------------------------------------------------------------------------


def _join_added(cells: Cells, log: Log, view: View) -> list[Write]:
    join = topic_address(log.topics[2])
    added: Write = (cells.join, (log.address, topic_id(log.topics[1])), int(join, 16))
    known = view.get(cells.held, (join, "since"))
    return [added] if known else [added, (cells.held, (join, "since"), log.block_number)]


def _source_set(cells: Cells, log: Log, view: View) -> list[Write]:
    asset, source = topic_id(log.topics[1]), topic_address(log.topics[2])
    since: list[Write] = [] if view.get(cells.source, (source, "since")) else [(cells.source, (source, "since"), log.block_number + 1)]
    return [(cells.quoted, (log.address, asset), int(source, 16)), *since]


def _answered(source: Address, cells: Cells, log: Log, view: View) -> list[Write]:
    """An answer is the price of a source that passes its aggregator's on unchanged; another's waits for the head's read."""
    answer = max(signed(int(log.topics[1], 16)), 0)
    said: list[Write] = [(cells.source, (source, "answer"), answer), (cells.source, (source, "at"), log_word(log, 0))]
    return said if view.get(cells.source, (source, "strange")) else [*said, *priced(cells, view, source, answer)]


def priced(cells: Cells, view: View, source: Address, price: int) -> list[Write]:
    """A price, and the one before if it moved."""
    last = view.get(cells.source, (source, "price"))
    moved: list[Write] = [(cells.source, (source, "before"), last)] if last != price else []
    return [(cells.source, (source, "price"), price), *moved]


# --- Witch --------------------------------------------------------------------------------------------------------


def _auctioned(cells: Cells, log: Log, view: View) -> list[Write]:
    auction = Auction(
        start_s=log_word(log, 1),
        ink=log_word(log, 3),
        art=log_word(log, 4),
        owner=to_address(log_word(log, 0)),
        auctioneer=to_address(log_word(log, 5)),
        base=log_id(log, 2),
        ilk=log_id(log, 6),
        series=log_id(log, 7),
    )
    return [*cells.auctioned(account_of(log.topics[1]), auction), cells.on_auction(view, auction, auction.ink)]


def _ended(cells: Cells, log: Log, view: View) -> list[Write]:
    """Bought up, cancelled or cleared."""
    return cells.ended(view, account_of(log.topics[1]))


def _bought(cells: Cells, log: Log, view: View) -> list[Write]:
    """Of an auction that goes on; the last purchase follows its end."""
    account, ink, art = account_of(log.topics[1]), log_word(log, 0), log_word(log, 1)
    auction = cells.auction_of(view, account)
    if auction is None:
        return []
    left = Auction(auction.start_s, auction.ink - ink, auction.art - art, *_parties(auction))
    return [*cells.auctioned(account, left), cells.on_auction(view, auction, -ink)]


def _parties(auction: Auction) -> tuple[Address, Address, int, int, int]:
    return auction.owner, auction.auctioneer, auction.base, auction.ilk, auction.series


def _line_set(cells: Cells, log: Log, view: View) -> list[Write]:
    key = topic_id(log.topics[1]), topic_id(log.topics[2])
    return [(cells.line, (*key, field), log_word(log, at)) for at, field in enumerate(("duration", "vault", "start"))]


def _limit_set(cells: Cells, log: Log, view: View) -> list[Write]:
    return [(cells.limit, (topic_id(log.topics[1]), topic_id(log.topics[2]), "max"), log_word(log, 0))]


def _protected_set(cells: Cells, log: Log, view: View) -> list[Write]:
    return [(cells.protected, (topic_address(log.topics[1]),), log_word(log, 0))]


def _reward_set(cells: Cells, log: Log, view: View) -> list[Write]:
    return [(cells.market, ("reward",), log_word(log, 0) + 1)]


def _pointed(cells: Cells, log: Log, view: View) -> list[Write]:
    return [(cells.market, ("ladle",), int(log.topics[3], 16))]


GRANTED = topic("RoleGranted(bytes4,address,address)")
REVOKED = topic("RoleRevoked(bytes4,address,address)")
ANSWERED = topic("AnswerUpdated(int256,uint256,uint256)")
CAULDRON: Role = {
    topic("VaultBuilt(bytes12,address,bytes6,bytes6)"): _built,
    topic("VaultTweaked(bytes12,bytes6,bytes6)"): _tweaked,
    topic("VaultDestroyed(bytes12)"): _destroyed,
    topic("VaultGiven(bytes12,address)"): _given,
    topic("VaultPoured(bytes12,bytes6,bytes6,int128,int128)"): _poured,
    topic("VaultStirred(bytes12,bytes12,uint128,uint128)"): _stirred,
    topic("VaultRolled(bytes12,bytes6,uint128)"): _rolled,
    topic("AssetAdded(bytes6,address)"): _asset_added,
    topic("SeriesAdded(bytes6,bytes6,address)"): _series_added,
    topic("SeriesMatured(bytes6,uint256)"): _series_matured,
    topic("SpotOracleAdded(bytes6,bytes6,address,uint32)"): _spot_oracle_added,
    topic("RateOracleAdded(bytes6,address)"): _rate_oracle_added,
    topic("DebtLimitsSet(bytes6,bytes6,uint96,uint24,uint8)"): _debt_limits_set,
}
LADLE: Role = {topic("JoinAdded(bytes6,address)"): _join_added}
ORACLE: Role = {topic("SourceSet(bytes6,address,address)"): _source_set}
WITCH: Role = {
    topic("Auctioned(bytes12,(address,uint32,bytes6,uint128,uint128,address,bytes6,bytes6),uint256,uint256)"): _auctioned,
    topic("Ended(bytes12)"): _ended,
    topic("Cleared(bytes12)"): _ended,
    topic("Bought(bytes12,address,uint256,uint256)"): _bought,
    topic("LineSet(bytes6,bytes6,uint32,uint64,uint64)"): _line_set,
    topic("LimitSet(bytes6,bytes6,uint128)"): _limit_set,
    topic("ProtectedSet(address,bool)"): _protected_set,
    topic("AuctioneerRewardSet(uint256)"): _reward_set,
    topic("Point(bytes32,address,address)"): _pointed,
}
