"""What goes to the chain and comes back: the encoded calls, flash loans, the names of reverts; and how a singleton is opened."""

from __future__ import annotations

import pytest

from keeper.adapters.morpho_blue import MorphoBlue
from keeper.adapters.morpho_blue.codec import word
from keeper.adapters.morpho_blue.liquidation import SEIZE
from keeper.devnet import Devnet
from keeper.devnet.genesis import morpho
from keeper.devnet.genesis.morpho import MARKETS
from keeper.devnet.names import derived
from keeper.devnet.rpc import RpcError
from keeper.errors import ConfigError, Skip
from keeper.options import OptionError, Options
from keeper.types import LIQUIDATE, Address, Fill, Guard, Pair, Read
from tests.adapters.chain import NodeReader
from tests.adapters.morpho.conftest import Followed, trusted
from tests.adapters.morpho.synthetic import market_of
from tests.adapters.morpho.world import LIQUIDATOR

EXECUTOR = derived("tests: executor")
LENGTH = 32


async def due(run: Followed, percent: int) -> tuple[Pair, Fill]:
    """The first pair of the devnet's ether market after a fall, at full size."""
    await run.prepare()
    await run.mine([run.world.set_price("WETH", 25 * 10**8 * percent)])
    market_id = morpho.market_id(run.net.addresses, MARKETS[0])
    accounts = [entry.address for entry in run.net.isolated if entry.market == MARKETS[0].name]
    found = [pair for account in accounts for pair in run.market.pairs(run.tables, account, run.now_s)]
    pair = next(pair for pair in found if pair.target == market_id)
    return pair, run.market.fill(run.tables, pair, pair.amounts[-1], run.now_s)


@pytest.mark.parametrize(("percent", "kind"), [(93, LIQUIDATE), (60, SEIZE)])
async def test_the_steps_are_approve_liquidate_and_withdraw_the_approval(followed: Followed, percent: int, kind: str) -> None:
    pair, fill = await due(followed, percent)
    net, params = followed.net, morpho.params(followed.net.addresses, MARKETS[0])
    approve, liquidate, withdraw = followed.market.encode(fill, EXECUTOR)
    sized = (fill.cover, 0) if kind == SEIZE else (0, fill.cover)
    assert (pair.kind, fill.kind, fill.bad_debt) == (kind, kind, kind == SEIZE)
    assert (approve.target, approve.data) == (fill.debt_token, net.encode("token.USDC", "approve", followed.market.address, fill.funds))
    assert (liquidate.target, liquidate.data) == (
        followed.market.address,
        net.encode("morpho.blue", "liquidate", params, fill.account, *sized, b""),
    )
    assert (withdraw.target, withdraw.data) == (fill.debt_token, net.encode("token.USDC", "approve", followed.market.address, 0))


async def test_the_heads_end_with_the_offset_of_what_is_handed_back(followed: Followed) -> None:
    _, fill = await due(followed, 93)
    net, params = followed.net, morpho.params(followed.net.addresses, MARKETS[0])
    whole = net.encode("morpho.blue", "liquidate", params, fill.account, 0, fill.cover, b"\1")
    assert followed.market.callback(fill, EXECUTOR) == whole[: -2 * LENGTH]
    funding = followed.market.quote(followed.tables, fill.debt_token, 10**9, followed.now_s)
    assert (
        followed.market.encode_loan(funding, EXECUTOR)
        == net.encode("morpho.blue", "flashLoan", fill.debt_token, 10**9, b"\1")[: -2 * LENGTH]
    )
    assert followed.market.after(followed.tables, funding, followed.now_s) == []


async def test_what_is_beyond_debt_or_collateral_or_healthy_is_refused_with_its_rule(followed: Followed) -> None:
    pair, _ = await due(followed, 93)
    run, most = followed, pair.amounts[-1]
    with pytest.raises(Skip, match="beyond_debt"):
        run.market.fill(run.tables, pair, most + 1, run.now_s)
    with pytest.raises(Skip, match="illegal"):
        run.market.fill(run.tables, pair, 0, run.now_s)
    with pytest.raises(Skip, match="not_followed"):
        run.market.fill(run.tables, Pair(pair.account, pair.debt_token, pair.collateral_token, (1,), LIQUIDATE, "0x00"), 1, run.now_s)
    (position,) = [p for p in run.market.positions(run.tables, pair.account, run.now_s) if p.params.id == pair.target]
    seize = Pair(pair.account, pair.debt_token, pair.collateral_token, (1,), SEIZE, pair.target)
    with pytest.raises(Skip, match=r"beyond_(collateral|debt)"):
        run.market.fill(run.tables, seize, position.collateral + 1, run.now_s)
    await run.mine([run.world.set_price("WETH", 2500 * 10**8)])
    assert run.market.pairs(run.tables, pair.account, run.now_s) == ()
    with pytest.raises(Skip, match="healthy"):
        run.market.fill(run.tables, pair, most, run.now_s)


async def test_what_is_funded_is_enough_ten_minutes_later(followed: Followed) -> None:
    pair, fill = await due(followed, 93)
    later = followed.market.fill(followed.tables, pair, pair.amounts[-1], followed.now_s + 600)
    assert fill.repaid < later.repaid <= fill.funds


async def test_what_is_funded_for_collateral_is_enough_at_a_price_that_is_a_little_better(followed: Followed) -> None:
    pair, fill = await due(followed, 60)
    await followed.mine([followed.world.set_price("WETH", 25 * 10**8 * 60 * 10_009 // 10_000)])
    later = followed.market.fill(followed.tables, pair, pair.amounts[-1], followed.now_s)
    assert fill.repaid < later.repaid <= fill.funds


async def test_a_revert_has_the_contracts_own_name_and_nobody_elses(followed: Followed) -> None:
    healthy = followed.net.isolated[0].address
    params = morpho.params(followed.net.addresses, MARKETS[0])
    with pytest.raises(RpcError) as refused:
        await followed.net.read("morpho.blue", "liquidate", params, healthy, 0, 1, b"", sender=LIQUIDATOR)
    assert followed.market.decode_error(bytes.fromhex(refused.value.data[2:])) == "position is healthy"
    stranger = b"\x08\xc3\x79\xa0" + (32).to_bytes(32) + (5).to_bytes(32) + b"hello".ljust(32, b"\0")
    for data in (b"", b"\x08\xc3\x79\xa0", stranger, b"\x4e\x48\x7b\x71" + (17).to_bytes(32)):
        assert market_of().decode_error(data) is None


async def test_the_guard_lets_a_deal_pass_until_nothing_is_owed(followed: Followed) -> None:
    pair, fill = await due(followed, 93)
    guard = followed.market.guard(pair)
    assert guard.least <= await guarded(followed, guard) < guard.below
    await followed.mine([followed.world.liquidate(MARKETS[0], pair.account, 0, fill.cover)])
    assert await guarded(followed, guard) < guard.least


async def guarded(run: Followed, guard: Guard) -> int:
    reply = await run.reader.call(Read(guard.target, guard.data))
    return word(reply, guard.word)


# --- opening ------------------------------------------------------------------------------------------------------


async def test_it_starts_at_the_block_of_its_birth_or_where_it_is_told(net: Devnet, reader: NodeReader) -> None:
    options = trusted(net)
    found = await MorphoBlue().open(reader, "morpho", net.addresses["morpho.blue"], None, Options(options))
    told = await MorphoBlue().open(reader, "morpho", net.addresses["morpho.blue"], 3, Options(options))
    assert await reader.code(net.addresses["morpho.blue"])
    assert 0 < found.first_block < 10
    assert told.first_block == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("token.WETH", r"not a Morpho singleton \(owner\(\) gives no answer"),
        ("feed.WETH", r"feeRecipient\(\) gives no answer"),
        ("", "no contract"),
    ],
)
async def test_another_address_is_refused_with_what_is_wrong(net: Devnet, reader: NodeReader, name: str, words: str) -> None:
    address = net.addresses.get(name, Address("0x" + "77" * 20))
    with pytest.raises(ConfigError, match=words):
        await MorphoBlue().open(reader, "morpho", address, None, Options(trusted(net)))


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({}, "markets"),
        ({"dollars": ["0x" + "11" * 20]}, "markets"),
        ({"feeds": ["0x" + "11" * 20]}, "feeds"),
        ({"feeds": {"0x" + "11" * 20: "0x" + "22" * 20}}, "feeds"),
        ({"feeds": {"WETH": []}}, "feeds"),
        ({"markets": ["0x12"]}, "markets"),
        ({"markets": ["0x" + "11" * 32], "least_lltv_bps": 10_001}, "least_lltv_bps"),
        ({"market": ["0x" + "11" * 32]}, "market"),
    ],
)
async def test_options_that_follow_nothing_or_are_not_known_are_named(
    net: Devnet, reader: NodeReader, options: dict[str, object], option: str
) -> None:
    with pytest.raises(OptionError) as wrong:
        await MorphoBlue().open(reader, "morpho", net.addresses["morpho.blue"], None, Options(options))
    assert wrong.value.option == option
