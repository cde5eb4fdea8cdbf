from __future__ import annotations

import pytest

from keeper.chain.capabilities import probe
from keeper.chain.rpc import Rpc
from keeper.devnet import Devnet
from keeper.errors import Transient
from keeper.testing.faults import Fault, FaultProxy


async def test_a_full_node_has_everything(net: Devnet, rpc: Rpc) -> None:
    latest = await net.request("eth_getBlockByNumber", "latest", False)
    found = await probe(rpc, int(latest["timestamp"], 16) + 9, net.ws)
    assert found.client.startswith("anvil/")
    assert (found.chain_id, found.head.hash, found.head_lag_s) == (net.chain_id, latest["hash"], 9)
    assert (found.simulate_v1, found.call_overrides, found.logs_by_hash, found.ws_heads, found.ws_logs) == (True,) * 5
    assert not found.syncing


async def test_what_a_node_lacks_is_found(faulty: Rpc, proxy: FaultProxy) -> None:
    proxy.fail(Fault.ERROR, "eth_simulateV1", code=-32601, message="method not found")
    found = await probe(faulty, 0)
    assert (found.simulate_v1, found.call_overrides, found.logs_by_hash) == (False,) * 3
    assert (found.ws_heads, found.ws_logs) == (None, None)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "nonsense"])
async def test_a_websocket_that_does_not_work_is_a_finding(rpc: Rpc, url: str) -> None:
    found = await probe(rpc, 0, url)
    assert (found.ws_heads, found.ws_logs) == (False, False)


async def test_a_node_that_is_away_is_transient(faulty: Rpc, proxy: FaultProxy) -> None:
    proxy.fail(Fault.CUT, times=100)
    with pytest.raises(Transient):
        await probe(faulty, 0)


async def test_probing_leaves_the_chain_as_it_was(net: Devnet, rpc: Rpc) -> None:
    first = await probe(rpc, 0, net.ws)
    assert (await probe(rpc, 0, net.ws)) == first
    await net.mine()
