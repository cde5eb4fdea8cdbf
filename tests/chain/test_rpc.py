from __future__ import annotations

import pytest

from keeper.chain.rpc import Rpc, RpcError
from keeper.devnet import Devnet
from keeper.errors import ConfigError, Transient
from keeper.testing.faults import Fault, FaultProxy

SECRET = "s3cretApiKey"


async def test_a_request_gives_the_nodes_result(net: Devnet, rpc: Rpc) -> None:
    assert int(await rpc.request("eth_chainId"), 16) == net.chain_id


async def test_an_error_reply_has_code_message_and_revert_bytes(net: Devnet, rpc: Rpc) -> None:
    target = "0x00000000000000000000000000000000000000aa"
    override = {target: {"code": "0x602a5f5260205ffd"}}  # revert with one word, 42
    with pytest.raises(RpcError) as caught:
        await rpc.request("eth_call", {"to": target}, "latest", override)
    assert (caught.value.code, int.from_bytes(caught.value.data, "big")) == (3, 42)


async def test_a_batch_keeps_its_order_and_has_an_error_in_its_place(rpc: Rpc) -> None:
    blocks = await rpc.batch([("eth_getBlockByNumber", [hex(n), False]) for n in (3, 1)] + [("no_such", []), ("eth_chainId", [])])
    assert [int(block["number"], 16) for block in blocks[:2]] == [3, 1]
    assert isinstance(blocks[2], RpcError)
    assert blocks[2].code == -32601
    assert int(blocks[3], 16) == 31337


async def test_an_empty_batch_asks_nothing(faulty: Rpc, proxy: FaultProxy) -> None:
    assert await faulty.batch([]) == []
    assert proxy.bodies == []


async def test_a_large_batch_is_split(faulty: Rpc, proxy: FaultProxy) -> None:
    assert len(await faulty.batch([("eth_chainId", [])] * 250)) == 250
    assert [len(body) for body in proxy.bodies] == [100, 100, 50]


async def test_a_batch_the_node_finds_too_large_is_halved_and_that_is_remembered(faulty: Rpc, proxy: FaultProxy) -> None:
    proxy.fail(Fault.BATCH_LIMIT, times=2)
    assert len(await faulty.batch([("eth_chainId", [])] * 40)) == 40
    await faulty.batch([("eth_chainId", [])] * 20)
    assert [len(body) for body in proxy.bodies] == [40, 20, 10, 10, 10, 10, 10, 10]


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.DROP_REPLY, Fault.BAD_JSON, Fault.STATUS, Fault.HANG])
async def test_a_read_is_asked_again_after_any_fault(faulty: Rpc, proxy: FaultProxy, fault: Fault) -> None:
    proxy.fail(fault, times=2)
    assert int(await faulty.request("eth_chainId"), 16) == 31337
    assert proxy.requests["eth_chainId"] == 3


@pytest.mark.parametrize("message", ["Your app has exceeded its compute units per second capacity", "Too Many Requests"])
async def test_a_rate_limit_in_the_reply_is_waited_out(faulty: Rpc, proxy: FaultProxy, message: str) -> None:
    proxy.fail(Fault.ERROR, times=2, message=message)
    assert int(await faulty.request("eth_chainId"), 16) == 31337


async def test_only_what_a_batch_lacks_is_asked_again(faulty: Rpc, proxy: FaultProxy) -> None:
    proxy.fail(Fault.ERROR_ONE, code=429, message="slow down")
    assert len(await faulty.batch([("eth_chainId", [])] * 5)) == 5
    assert [len(body) if isinstance(body, list) else 1 for body in proxy.bodies] == [5, 1]


async def test_a_node_that_stays_away_is_transient_after_a_few_tries(faulty: Rpc, proxy: FaultProxy) -> None:
    proxy.fail(Fault.CUT, times=100)
    with pytest.raises(Transient, match="node: "):
        await faulty.request("eth_chainId")
    assert proxy.requests["eth_chainId"] == 6


@pytest.mark.parametrize("method", ["eth_sendRawTransaction", "evm_mine"])
@pytest.mark.parametrize("fault", [Fault.CUT, Fault.DROP_REPLY, Fault.HANG, Fault.STATUS])
async def test_what_changes_something_is_asked_once(faulty: Rpc, proxy: FaultProxy, fault: Fault, method: str) -> None:
    proxy.fail(fault)
    with pytest.raises(Transient):
        await faulty.request(method, "0x")
    assert proxy.requests[method] == 1


@pytest.mark.parametrize(
    "url", [f"http://127.0.0.1:1/v2/{SECRET}", f"http://user:{SECRET}@127.0.0.1:1/", f"http://{SECRET}.invalid/", f"nonsense-{SECRET}"]
)
async def test_no_failure_shows_the_url(url: str) -> None:
    rpc = Rpc(url, "my node", backoff_s=0.0, retries=1)
    with pytest.raises((Transient, ConfigError), match="my node") as caught:
        await rpc.request("eth_chainId")
    await rpc.close()
    assert SECRET not in f"{caught.value!r} {rpc!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


async def test_a_secret_echoed_by_the_node_is_struck_out(proxy: FaultProxy) -> None:
    rpc = Rpc(f"{proxy.url}v2/{SECRET}?token=tokentoken", "my node")
    proxy.fail(Fault.ERROR, message=f"project {SECRET} with tokentoken may not call this", code=-32099)
    with pytest.raises(RpcError, match=r"project \*\*\* with \*\*\* may not call this") as caught:
        await rpc.request("eth_chainId")
    await rpc.close()
    assert SECRET not in caught.value.words
