"""What acts on one chain: the proof of a call, the transactions that carry it, and what their receipts say was earned."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from keeper.app import Chain, ChainState
from keeper.chain.bundles import BundleChannel
from keeper.chain.carriers import Carriers, Channel, Each
from keeper.chain.fees import next_base_fee
from keeper.chain.private import PrivateChannel
from keeper.chain.relay import Broadcast, DryRelay, PublicRelay
from keeper.chain.rpc import Rpc
from keeper.chain.rpc_errors import RpcError
from keeper.chain.simulate import NodeSimulator
from keeper.config.endpoints import ChannelSettings
from keeper.errors import Transient
from keeper.execution import executor
from keeper.execution.calls import calldata
from keeper.execution.engine import Limits, TxEngine
from keeper.execution.fleet import Fleet
from keeper.execution.hand import Hand
from keeper.execution.keys import load_key, throwaway_key
from keeper.execution.outbox import Outbox
from keeper.execution.receipts import NodeReceipts
from keeper.execution.signer import Signer, decode
from keeper.execution.submission import Submission
from keeper.log import get_logger
from keeper.nodes import called
from keeper.ports import Relay
from keeper.secret import Secret
from keeper.storage.database import Database
from keeper.types import Address, Head, Log, Prediction

_log = get_logger("daemon")


SEND_TIMEOUT_S = 3.0
VOUCHED = "X-Flashbots-Signature"


@asynccontextmanager
async def open_carrier(chain: Chain, live: bool) -> AsyncIterator[Carriers]:
    """Every way to the builders that is configured; without any the node's own. A dry run has them in name only. Raises ConfigError."""
    settings = chain.settings
    async with AsyncExitStack() as stack:
        if live:
            channels = [await _channel(chain, item, stack) for item in settings.channels]
            yield Carriers(channels or [Each(_public(chain, stack))])
        else:
            yield Carriers([Each(DryRelay(), ties=any(item.kind == "bundle" for item in settings.channels))])


def _public(chain: Chain, stack: AsyncExitStack) -> Relay:
    """The mempool, by way of every node."""
    settings = chain.settings
    if not settings.nodes:
        return PublicRelay(chain.rpc)
    nodes = [Rpc(node.rpc_url.reveal(), called(settings, node.name), SEND_TIMEOUT_S, retries=0) for node in settings.all_nodes]
    for node in nodes:
        stack.push_async_callback(node.close)
    return Broadcast([PublicRelay(node) for node in nodes])


async def _channel(chain: Chain, item: ChannelSettings, stack: AsyncExitStack) -> Channel:
    if item.kind == "public" and not (item.url or item.auth):
        return Each(_public(chain, stack))
    rpc = chain.rpc
    if item.url or item.auth or chain.settings.nodes:  # of several nodes it is always the first
        key = await load_key(item.auth, os.environ) if item.auth else throwaway_key()
        signer = Signer(Secret(key.reveal().hex()))
        url, name = (item.url or chain.settings.rpc_url).reveal(), f"channel {item.name}"
        rpc = Rpc(url, name, SEND_TIMEOUT_S, retries=0, sign=lambda body: {VOUCHED: signer.vouch(body)})
        stack.push_async_callback(rpc.close)
    if item.kind == "bundle":
        return BundleChannel(rpc, item.blocks)
    return PrivateChannel(rpc, item.blocks) if item.kind == "private" else Each(PublicRelay(rpc))


def fleet(chain: Chain, database: Database, hand: Hand, carrier: Carriers, prover: NodeSimulator) -> Fleet:
    """Of all signers' transactions. `prover`: tells which of those on their way have gone stale."""
    settings = chain.settings
    limits = Limits(
        max_fee_wei=settings.bidding.max_fee_wei,
        max_priority_fee_wei=settings.bidding.max_priority_fee_wei,
        resend_after_blocks=settings.limits.resend_after_blocks,
        confirmations=settings.confirmations,
    )
    receipts, doubt = NodeReceipts(chain.rpc), partial(_stale, chain, prover)
    outboxes = [(signer, Outbox(database, settings.chain_id, signer.address)) for signer in hand.signers]
    return Fleet([TxEngine(outbox, signer, carrier, receipts, next_base_fee, limits, doubt) for signer, outbox in outboxes])


async def _stale(chain: Chain, prover: NodeSimulator, ahead: Sequence[Submission], head: Head) -> set[int]:
    """Which of our transactions on their way would fail in the node's next block, each behind the ones before it; none if it does not say.
    At a start `head` is where the book was left: long ago, or on a branch that is no more."""
    runs = [submission for submission in ahead if not submission.is_transfer]
    try:
        newest = max(head, await chain.reader.head(), key=lambda known: known.number)
        verdicts = await prover.simulate([decode(submission.raw).data for submission in runs], chain.landing(newest))
    except (Transient, RpcError) as unproven:
        _log.warning("not_simulated", chain=chain.settings.name, reason=str(unproven))
        return set()
    return {submission.id for submission, verdict in zip(runs, verdicts, strict=True) if not verdict.ok}


def simulator(chain: Chain, hand: Hand) -> NodeSimulator:
    """The node's word on calls of the executor."""

    def decode(data: bytes) -> str | None:
        return executor.decode_error(data) or next((name for m in chain.markets if (name := m.decode_error(data))), None)

    def profit(logs: Sequence[Log]) -> int:
        return earnings(hand.beneficiary, hand.executor, logs)[0]

    return NodeSimulator(chain.rpc, hand.executor, hand.signer.address, decode, profit, overrides=hand.overrides)


def encode(chain: ChainState, address: Address, prediction: Prediction) -> bytes:
    """A plan as a call of the executor at that address."""
    return calldata(prediction, chain.predictor, address)


def earnings(beneficiary: Address, address: Address, logs: Sequence[Log]) -> tuple[int, dict[Address, int]]:
    """The profit, and all that the beneficiary received, by the logs of a receipt."""
    settled = executor.settled(logs, address)
    return (settled[1] if settled else 0), executor.gains(logs, address, beneficiary)
