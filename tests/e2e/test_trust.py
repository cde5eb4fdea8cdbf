"""Plans of a market that the node has confirmed often enough go out before it has answered; all others wait for it."""

from __future__ import annotations

from dataclasses import replace

from structlog.testing import capture_logs

from keeper.config.endpoints import ChannelSettings
from keeper.testing.faults import Fault, FaultProxy
from tests.e2e.test_fault_matrix import behind
from tests.e2e.world import World, assert_ledger_is_the_chain, drop, keeper_on, settle_down, step, waiting, world

ACCOUNTS, SEED = 30, 3
PROOFS = 3


def trusting(here: World) -> World:
    """With a channel on which a revert is taken to cost nothing: the devnet has no builder."""
    (chain,) = here.settings.chains
    channel = ChannelSettings(name="pool", kind="public").model_copy(update={"simulate": "unless_proven", "proofs": PROOFS})
    told = chain.model_copy(update={"channels": (channel,)})
    return replace(here, settings=here.settings.model_copy(update={"chains": (told,)}))


async def test_what_was_proven_often_is_sent_though_the_node_is_still_thinking() -> None:
    async with world(ACCOUNTS, SEED) as devnet, FaultProxy(devnet.net.rpc, devnet.net.ws) as proxy:
        here = trusting(behind(devnet, [proxy]))
        with capture_logs() as logs:
            async with keeper_on(here) as keeper:
                proxy.fail(Fault.ERROR, "eth_simulateV1", times=10**9, message="busy")
                await step(here, keeper, await drop(here, 5))
                assert await waiting(here.net) == 0
                proxy.heal()
                await step(here, keeper)
                assert await waiting(here.net) >= 2 * PROOFS
                await settle_down(here, keeper, at_least=2)
                proxy.fail(Fault.HANG, "eth_simulateV1", times=10**9)
                await step(here, keeper, await drop(here, 5))
                assert await waiting(here.net) > 0
                proxy.heal()
                await settle_down(here, keeper, at_least=2)
        written = await assert_ledger_is_the_chain(here)
    assert {row["result"] for row in written} == {"won"}
    assert all(row["predicted_profit"] == row["realised_profit"] for row in written)
    assert not [line for line in logs if line["event"] == "plan_mismatch"]
