# pragma version 0.4.3
"""
@notice Plays any part (token, pool, lender, initiator) as programmed: for each selector, calls to make and a reply to give.
"""

struct Call:
    target: address
    data: Bytes[2048]

struct Act:
    calls: DynArray[Call, 6]
    reply: Bytes[256]
    fails: bool

event Tried:
    ok: bool
    reply: Bytes[256]

acts: HashMap[bytes4, Act]


@external
def program(selector: bytes4, calls: DynArray[Call, 6], reply: Bytes[256], fails: bool):
    self.acts[selector] = Act(calls=calls, reply=reply, fails=fails)


@external
@payable
@raw_return
def __default__() -> Bytes[256]:
    if len(msg.data) < 4:
        return b""
    act: Act = self.acts[convert(slice(msg.data, 0, 4), bytes4)]
    for todo: Call in act.calls:
        ok: bool = False
        reply: Bytes[256] = b""
        ok, reply = raw_call(todo.target, todo.data, max_outsize=256, revert_on_failure=False)
        log Tried(ok=ok, reply=reply)
    if act.fails:
        raw_revert(act.reply)
    return act.reply
