"""A chain's nodes, as the settings name them: met, asked as one, and heard of new blocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from keeper.chain.heads import AnyHeads, HeadSource, PollHeads
from keeper.chain.node import Node
from keeper.chain.pending import AnyPending, PendingFeed
from keeper.chain.pool import Pool
from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Rpc, RpcError
from keeper.chain.ws import Oracles, WsHeads
from keeper.config import ChainSettings, NodeSettings
from keeper.errors import ConfigError, Transient
from keeper.log import get_logger

STALL_BLOCKS = 5
MEET_TIMEOUT_S = 3.0

_log = get_logger("nodes")


@asynccontextmanager
async def open_node(chain: ChainSettings) -> AsyncIterator[tuple[Node, NodeReader]]:
    """All of them as one, after checking that they are on the configured chain. Raises ConfigError, Transient."""
    await meet(chain, strict=False)
    if not chain.nodes:
        rpc = Rpc(chain.rpc_url.reveal(), called(chain, chain.name))
        try:
            yield rpc, NodeReader(rpc)
        finally:
            await rpc.close()
        return
    nodes = [Rpc(node.rpc_url.reveal(), called(chain, node.name), retries=0) for node in chain.all_nodes]
    pool = Pool(nodes, f"nodes of {chain.name}", chain.chain_id)
    await pool.look()
    watching = asyncio.create_task(pool.watch(min(1.0, chain.block_time_s / 4)))
    try:
        yield pool, NodeReader(pool)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await pool.close()


def called(chain: ChainSettings, node: str) -> str:
    """How a node is named in what people read."""
    return f"node of {chain.name}" if node == chain.name else f"node {node} of {chain.name}"


async def meet(chain: ChainSettings, strict: bool = True) -> None:
    """Is a node there, on the configured chain? Soon over: nobody waits for a mistyped URL. `strict`: none may be on another one, as none
    should be at a start; later the others go on without it. Raises ConfigError, Transient."""
    met = await asyncio.gather(*(_meet(chain, node) for node in chain.all_nodes), return_exceptions=True)
    problems = [problem for problem in met if isinstance(problem, BaseException)]
    fatal = [problem for problem in problems if not isinstance(problem, Transient)]
    if problems and (len(problems) == len(met) or (strict and fatal)):
        raise [*fatal, *problems][0]
    for problem in problems:
        _log.warning("node_away", chain=chain.name, problem=str(problem))


async def _meet(chain: ChainSettings, node: NodeSettings) -> None:
    rpc = Rpc(node.rpc_url.reveal(), name := called(chain, node.name), timeout_s=MEET_TIMEOUT_S, retries=1)
    whose = f"chain {chain.name}" if node.name == chain.name else f"node {node.name}"
    try:
        found = int(await rpc.request("eth_chainId"), 16)
    except Transient as away:
        raise Transient(f"{away}: start it, or correct rpc_url of {whose}") from None
    except (RpcError, TypeError, ValueError):
        raise ConfigError(f"{name}: gives no chain id: correct rpc_url of {whose}") from None
    finally:
        await rpc.close()
    if found != chain.chain_id:
        raise ConfigError(
            f"chain {chain.name}: chain_id is {chain.chain_id} in the config, but its {name.removesuffix(f' of {chain.name}')} is on chain"
            f" {found}: correct chain_id or rpc_url"
        )


def heads_of(chain: ChainSettings, reader: NodeReader, oracles: Oracles) -> HeadSource:
    """Whoever tells of a block first is heard; without a WebSocket they are asked."""
    stall_s = max(5.0, STALL_BLOCKS * chain.block_time_s)
    sockets = [WsHeads(node.ws_url.reveal(), called(chain, node.name), stall_s, oracles) for node in chain.all_nodes if node.ws_url]
    if len(sockets) == 1:
        return sockets[0]
    return AnyHeads(sockets) if sockets else PollHeads(reader, min(1.0, chain.block_time_s / 4))


def pending_of(chain: ChainSettings, reader: Node) -> AnyPending:
    """Whoever tells of a transaction that waits first is heard. `reader`: asked for those of which only the hash is told."""
    return AnyPending([PendingFeed(node.ws_url.reveal(), reader, called(chain, node.name)) for node in chain.all_nodes if node.ws_url])
