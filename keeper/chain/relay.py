"""Sending a signed transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keeper.chain.node import Node
from keeper.chain.rpc_errors import RpcError, Unreachable
from keeper.chain.send_replies import classify
from keeper.chain.wire import hex_bytes
from keeper.errors import Transient
from keeper.ports import Relay
from keeper.types import Hash, SendResult, Sent

NEVER_ASKED = "cannot be reached"


class PublicRelay:
    """A node's public mempool. Never raises for what a node or a network does, and never sends twice."""

    def __init__(self, rpc: Node) -> None:
        self._rpc = rpc

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        """ACCEPTED with the node's answer; REFUSED with a label; UNKNOWN when nobody can tell."""
        try:
            answer = await self._rpc.request("eth_sendRawTransaction", hex_bytes(raw))
        except RpcError as error:
            return classify(error.words)
        except Unreachable:
            return Sent(SendResult.UNKNOWN, NEVER_ASKED)
        except Transient as away:
            return Sent(SendResult.UNKNOWN, str(away))
        return Sent(SendResult.ACCEPTED) if str(answer).lower() == tx else Sent(SendResult.UNKNOWN, f"the node answered with {answer}")


class Broadcast:
    """Several relays at once: taken by one is taken, and the others are not waited for; refused is what all refuse that can be reached."""

    def __init__(self, relays: Sequence[Relay]) -> None:
        self._relays = tuple(relays)
        self._left = set[asyncio.Task[Sent]]()

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        answers = list[Sent]()
        pending = {asyncio.create_task(relay.send(raw, tx)) for relay in self._relays}
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            answers += [clear(task.exception() or task.result()) for task in done]
            if best(answers).result is SendResult.ACCEPTED:
                break
        for task in pending:
            self._left.add(task)
            task.add_done_callback(self._forget)
        return best([answer for answer in answers if answer.detail != NEVER_ASKED] or answers)

    def _forget(self, task: asyncio.Task[Sent]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()


def best(answers: Sequence[Sent]) -> Sent:
    """What one of them has taken is taken; refused is what all refuse."""
    ranks = (SendResult.ACCEPTED, SendResult.UNKNOWN, SendResult.REFUSED)
    return min(answers, key=lambda sent: ranks.index(sent.result))


def clear(answer: Sent | BaseException) -> Sent:
    """A relay that fails in a way it should not leaves us in doubt, like one that does not answer."""
    return answer if isinstance(answer, Sent) else Sent(SendResult.UNKNOWN, type(answer).__name__)


class DryRelay:
    """Sends nothing."""

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        return Sent(SendResult.REFUSED, "dry_run")
