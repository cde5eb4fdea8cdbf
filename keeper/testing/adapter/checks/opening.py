"""Opening a market: one address is enough, a wrong one is refused, and it is the only time the adapter speaks to a node."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Literal

from keeper.errors import ConfigError, Transient
from keeper.options import OptionError, Options
from keeper.ports import Market, View
from keeper.testing.adapter.attempt import offered
from keeper.testing.adapter.case import Case, State
from keeper.testing.adapter.expect import Nonconformity, require, same
from keeper.testing.adapter.life import LIQUIDATOR, nobody
from keeper.testing.adapter.reader import PastReader
from keeper.types import Address, Hash, Head, Log, LogFilter, Read


class Opening:
    async def test_one_address_is_enough_to_open_a_market(self, case: Case) -> None:
        market = await case.open("some name")
        same(market.name, "some name", "the market's name is the one it was opened with")
        same(market.adapter, case.adapter.name, "the market says which adapter it is of")
        same(market.address, case.deployment.address, "the market says at which address it is")
        (*_, last) = await case.states()
        require(bool(last.market.filters(last.view)), "the market follows no contract")
        require(bool(last.market.tokens(last.view)), "the market has no token that could be seized or repaid")
        known = set(last.market.accounts(last.view))
        require(bool(known), "nobody owes anything to the market")

    async def test_a_wrong_address_is_refused_in_one_line_that_names_it(self, case: Case) -> None:
        for address in (nobody("no contract"), *case.deployment.wrong_addresses):
            try:
                await case.adapter.open(case.reader, "market", address, None, Options(case.deployment.options))
            except ConfigError as refused:
                require("\n" not in str(refused), f"the refusal of {address} has more than one line: {refused}")
                require(address in str(refused).lower(), f"the refusal of {address} does not name it: {refused}")
            else:
                raise Nonconformity(f"{address} is no such market, and was opened without a ConfigError")

    async def test_an_option_nobody_knows_is_refused_by_its_name(self, case: Case) -> None:
        unknown = Options({**case.deployment.options, "no_such_option": 1})
        try:
            await case.adapter.open(case.reader, "market", case.deployment.address, None, unknown)
        except OptionError as refused:
            same(refused.option, "no_such_option", "the option that is refused")
        else:
            raise Nonconformity("options has a no_such_option, and the market was opened without an OptionError")

    async def test_a_node_that_is_away_is_not_taken_for_a_wrong_address(self, case: Case) -> None:
        try:
            await case.deployment.open(case.adapter, _Away(case.life.node.rpc, case.life.last))
        except Transient:
            return
        except ConfigError as blamed:
            raise Nonconformity(f"the node was away, and the config was blamed: {blamed}") from None
        raise Nonconformity("the node was away, and the market was opened without it")

    async def test_nothing_but_opening_does_input_or_output(self, case: Case) -> None:
        """Every pure method runs in a thread without an event loop, and may touch neither file nor socket."""
        for state in (await case.states())[:: max(case.deployment.blocks // 4, 1)]:
            use_everything(state)  # what is imported late is imported now
            await asyncio.to_thread(_in_silence, partial(use_everything, state))

    async def test_two_markets_share_nothing(self, case: Case) -> None:
        """The same state gives the same answers, whoever else was asked before, and is not changed by a question."""
        states = await case.states()
        other = await case.open()
        for state in states[:: max(len(states) // 4, 1)]:
            version, first = state.view.version, use_everything(state)
            beside = State(other, state.view, state.head, state.changed)
            same(use_everything(beside), first, f"two openings of the same market answer differently at block {state.head.number}")
            same(use_everything(state), first, f"the same question has another answer at block {state.head.number}")
            same(state.view.version, version, "asking a market wrote to its state")


def use_everything(state: State) -> list[object]:
    """What every pure method of a market answers."""
    market, view, at_s = state.market, state.view, state.landing_s
    accounts = sorted(market.accounts(view))
    rows = {account: market.rows(view, account) for account in accounts}
    names = sorted({factor for found in rows.values() for row in found for factor in row.weights})
    tokens = sorted(market.tokens(view))
    said: list[object] = [market.first_block, market.filters(view), market.reads(view), accounts, rows, market.factors(view, at_s, names)]
    said += [[market.drivers(view, name), market.token_of(view, name), market.family(view, name)] for name in names]
    said += [market.margin(view), market.bearer(view), market.feeds(view), dict(market.tokens(view))]
    said += [[market.value(view, token, 10**18), market.price(view, token)] for token in tokens]
    said += [market.touched(state.changed), market.reshapes(state.changed), market.repriced(view, dict.fromkeys(tokens, 10**8))]
    for account in accounts:
        said += [market.health(view, account, at_s), market.audit(view, account, at_s)]
        said += _deals(market, view, account, at_s)
    return said


def _deals(market: Market, view: View, account: Address, at_s: int) -> Iterator[object]:
    for pair in offered(market, view, account, at_s):
        fill = market.fill(view, pair, pair.amounts[-1], at_s)
        yield from (pair, fill, market.guard(pair), market.encode(fill, LIQUIDATOR), market.gas(fill))


# --- silence ------------------------------------------------------------------------------------------------------

_SILENT: ContextVar[bool] = ContextVar("silent", default=False)
_LOUD = ("open", "socket.", "subprocess.", "os.", "urllib.", "sqlite3.")


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith(_LOUD) and _SILENT.get():
        raise Nonconformity(f"a method that must be pure does {event} {arguments[:1]}")


@contextmanager
def _silence() -> Iterator[None]:
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


_HEARING: list[Callable[..., None]] = []


def _in_silence(work: Callable[[], object]) -> None:
    """An audit hook stays for the life of the process, so there is one, which listens only in here."""
    if not _HEARING:
        _HEARING.append(_hear)
        sys.addaudithook(_hear)
    with _silence():
        work()


class _Away(PastReader):
    """A node that is away."""

    async def asked(self, reads: Sequence[Read], block: int | Hash | Literal["latest"], at_s: int | None = None) -> list[bytes | None]:
        raise Transient("the node is away")

    async def code(self, address: Address) -> bytes:
        raise Transient("the node is away")

    async def head(self) -> Head:
        raise Transient("the node is away")

    async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
        raise Transient("the node is away")
