"""Yield v2 as it stands on the devnet: its terms, its vaults, a series that has matured, and a crash that puts vaults up for auction."""

from __future__ import annotations

from keeper.devnet import Devnet
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.genesis.yields import BASES, ILKS, KINDS, SERIES, TERMS, VAULTS, asset_id, series_id
from keeper.devnet.names import TRADER

WAD = 10**18
STARTER = TRADER


def vault_ids(net: Devnet) -> list[bytes]:
    return [bytes.fromhex(vault.address[2:26]) for vault in net.vaults]


async def test_every_base_is_lent_against_every_ilk_on_the_terms_asked_for(devnet: Devnet) -> None:
    for base in BASES:
        for ilk in ILKS:
            terms = TERMS[ilk]
            pair = asset_id(base), asset_id(ilk)
            oracle, ratio = await devnet.read("yield.cauldron", "spotOracles", *pair)
            assert (oracle, ratio) == (devnet.addresses["yield.spot"], terms.ratio_ppm)
            _, least, decimals, total = await devnet.read("yield.cauldron", "debt", *pair)
            assert least * 10**decimals == terms.least * BY_SYMBOL[base].unit
            assert total > 0 or (base, ilk) not in {(SERIES[kind.series].base, kind.ilk) for kind in KINDS}
            line = await devnet.read("yield.witch", "lines", *reversed(pair))
            assert line == (terms.duration_s, terms.vault_percent * WAD // 100, terms.start_ppm * WAD // 10**6)


async def test_an_ounce_of_collateral_is_worth_what_our_feeds_say(devnet: Devnet) -> None:
    (value, _) = await devnet.read("yield.spot", "peek", asset_id("WETH").ljust(32, b"\0"), asset_id("USDC").ljust(32, b"\0"), 10**18)
    assert value == 2500 * 10**6


async def test_vaults_of_every_kind_are_solvent_at_first_and_two_series_are_still_open(devnet: Devnet) -> None:
    assert len(devnet.vaults) == VAULTS
    assert {vault.archetype for vault in devnet.vaults} == {kind.name for kind in KINDS}
    levels = [(await devnet.read("yield.cauldron", "level", vault))[0] for vault in vault_ids(devnet)]
    assert min(levels) > 0
    matured = [(await devnet.read("yield.cauldron", "ratesAtMaturity", series_id(name)))[0] > 0 for name in SERIES]
    assert sorted(matured) == [False, False, True]


async def test_the_debts_of_the_matured_series_have_grown_for_a_season(devnet: Devnet) -> None:
    (accrual,) = await devnet.read("yield.cauldron", "accrual", series_id("USDC matured"))
    assert 1.012 * WAD < accrual < 1.0125 * WAD


async def test_a_crash_puts_most_vaults_under_and_their_auctions_can_start(net: Devnet) -> None:
    prices = await net.prices()
    await net.set_prices({"WETH": prices["WETH"] * 85 // 100, "WBTC": prices["WBTC"] * 85 // 100})
    await net.mine()
    under = [vault for vault in vault_ids(net) if (await net.read("yield.cauldron", "level", vault))[0] < 0]
    assert VAULTS // 2 < len(under) < VAULTS
    for vault in under:
        await net.call(STARTER, "yield.witch", "auction", vault, STARTER)
        assert (await net.read("yield.cauldron", "vaults", vault))[0] == net.addresses["yield.witch"]
