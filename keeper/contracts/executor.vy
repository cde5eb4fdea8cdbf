# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Keeper executor
@license MIT
@notice Runs a list of calls, on borrowed money where it needs some, and forwards whatever is left to the beneficiary.
@dev It knows no lender and no protocol, only steps. A step is packed, without padding between steps:

         head      32 bytes  flags (1) | place (2) | size of inner (2) | size of data (2) | unused (5) | target (20)
         argument  32 bytes  a token; of a check: the least value
         data                the calldata; of a check: the first value too large (32), then the calldata

     A step that awaits a callback (PUSH, PULL) lends, swaps or liquidates: its target calls back once, with the inner steps, which are
     the end of its calldata. They are run, and then the target is paid in the token of the step: by a transfer (PUSH), or by an
     allowance for what it asks for, of which nothing is left when the step is over (PULL). Inner steps may await callbacks, too.

     An operator may make it call anything: that spends what is inside during its own transaction and no more, as long as nothing
     rests in it and nobody gives it an allowance. A leaked operator key may leave allowances behind: revoke it, then deploy anew.
     Lenders and pools are trusted with the money in flight (the floor on the profit bounds the harm), never with a role.
"""

interface ERC20:
    def balanceOf(account: address) -> uint256: view
    def allowance(holder: address, spender: address) -> uint256: view
    def transfer(to: address, amount: uint256) -> bool: nonpayable
    def approve(spender: address, amount: uint256) -> bool: nonpayable

struct Guard:
    target: address  # zero: no guard
    data: Bytes[MAX_QUESTION]
    place: uint256
    least: uint256
    below: uint256

struct Member:
    gas: uint256
    call: Bytes[MAX_CALL]

event Settled:
    profit_token: indexed(address)
    profit: uint256

event MemberFailed:
    index: indexed(uint256)
    reason: Bytes[MAX_REASON]

event OperatorSet:
    operator: indexed(address)
    allowed: bool

U16: constant(uint256) = 2**16 - 1
U160: constant(uint256) = 2**160 - 1

# Flags of a step
OPTIONAL: constant(uint256) = 1 << 248  # it may fail
PATCHED: constant(uint256) = 2 << 248  # the 32 bytes at `place` of its data become the executor's balance of the token
CHECK: constant(uint256) = 4 << 248  # it changes nothing: the 32 bytes at `place` of the reply must be in bounds
PUSH: constant(uint256) = 8 << 248
PULL: constant(uint256) = 16 << 248
AWAITS: constant(uint256) = PUSH | PULL

MAX_STEPS: constant(uint256) = 16  # of each list
MAX_STEPS_SIZE: constant(uint256) = 4096
MAX_PATCHED: constant(uint256) = 420
MAX_QUESTION: constant(uint256) = 132
MAX_REPLY: constant(uint256) = 512  # of what a call returns, or reverts with, no more is read
MAX_TOKENS: constant(uint256) = 6
MAX_MEMBERS: constant(uint256) = 8
MAX_CALL: constant(uint256) = MAX_STEPS_SIZE + 900
MAX_REASON: constant(uint256) = 100

owner: public(immutable(address))
beneficiary: public(immutable(address))
operators: public(HashMap[address, bool])

# The one callback awaited, good for one use: how it is paid, its caller, its inner steps. Zero: none.
ticket: transient(bytes32)
owed: transient(address)

# While it is, the executor may call itself as an operator would.
in_batch: transient(bool)


@deploy
def __init__(_owner: address, _beneficiary: address, _operators: DynArray[address, 16]):
    assert _owner != empty(address), "zero owner"
    assert _beneficiary != empty(address), "zero beneficiary"
    owner = _owner
    beneficiary = _beneficiary
    for operator: address in _operators:
        self._set_operator(operator, True)


@external
@nonreentrant
def execute(guard: Guard, steps: Bytes[MAX_STEPS_SIZE], profit_token: address, min_profit: uint256, tokens: DynArray[address, MAX_TOKENS]):
    """
    @notice Check the guard, run the steps, check the profit, forward everything.
    @param tokens Further tokens whose whole balance goes to the beneficiary
    """
    if not self.operators[msg.sender] and not (self.in_batch and msg.sender == self):
        raw_revert(method_id("Unauthorized()"))
    if guard.target != empty(address):
        if not self._within(self._ask(guard.target, guard.data, guard.place), guard.least, guard.below):
            raw_revert(method_id("Healthy()"))
    before: uint256 = staticcall ERC20(profit_token).balanceOf(self)
    self._run(steps)
    profit: uint256 = self._profit(profit_token, before)
    if profit < min_profit:
        raw_revert(abi_encode(profit, method_id=method_id("Unprofitable(uint256)")))
    self._forward(profit_token)
    for token: address in tokens:
        self._forward(token)
    log Settled(profit_token=profit_token, profit=profit)


@external
def execute_batch(members: DynArray[Member, MAX_MEMBERS], least: uint256):
    """
    @notice Run several calls of `execute`, each for itself: one that fails, or uses up its gas, undoes nothing but itself.
    @param least Revert unless so many succeed
    """
    if not self.operators[msg.sender]:
        raw_revert(method_id("Unauthorized()"))
    assert not self.in_batch, "batch in a batch"
    self.in_batch = True
    succeeded: uint256 = 0
    index: uint256 = 0
    for member: Member in members:
        ok: bool = False
        reason: Bytes[MAX_REASON] = b""
        ok, reason = raw_call(self, member.call, gas=member.gas, max_outsize=MAX_REASON, revert_on_failure=False)
        if ok:
            succeeded += 1
        else:
            log MemberFailed(index=index, reason=reason)
        index += 1
    self.in_batch = False
    if succeeded < least:
        raw_revert(abi_encode(succeeded, method_id=method_id("TooFew(uint256)")))


# --- callbacks ----------------------------------------------------------------------------------------------------


@external
def uniswapV3SwapCallback(amount0: int256, amount1: int256, data: Bytes[MAX_STEPS_SIZE]):
    token: address = self._redeem(PUSH, keccak256(data))
    if len(data) != 0:
        self._run(data)
    self._pay(token, msg.sender, convert(max(amount0, amount1), uint256))


@external
def executeOperation(asset: address, amount: uint256, premium: uint256, initiator: address, params: Bytes[MAX_STEPS_SIZE]) -> bool:
    """
    @notice Aave's flash loan. Anybody may take one in our name.
    """
    self._only_own(initiator)
    self._repay(amount + premium, params)
    return True


@external
def onFlashLoan(initiator: address, token: address, amount: uint256, fee: uint256, data: Bytes[MAX_STEPS_SIZE]) -> bytes32:
    """
    @notice The flash loan of ERC-3156. Anybody may take one in our name.
    """
    self._only_own(initiator)
    self._repay(amount + fee, data)
    return keccak256("ERC3156FlashBorrower.onFlashLoan")


@external
def onMorphoFlashLoan(amount: uint256, data: Bytes[MAX_STEPS_SIZE]):
    self._repay(amount, data)


@external
def onMorphoLiquidate(amount: uint256, data: Bytes[MAX_STEPS_SIZE]):
    self._repay(amount, data)


# --- the owner ----------------------------------------------------------------------------------------------------


@external
def add_operator(operator: address):
    self._only_owner()
    self._set_operator(operator, True)


@external
def revoke_operator(operator: address):
    self._only_owner()
    self._set_operator(operator, False)


@external
@nonreentrant
def sweep(token: address):
    """
    @notice Send a stray balance to the beneficiary; the zero token is ETH.
    """
    self._only_owner()
    if token == empty(address):
        raw_call(beneficiary, b"", value=self.balance)
    else:
        self._forward(token)


@internal
def _only_owner():
    if msg.sender != owner:
        raw_revert(method_id("Unauthorized()"))


@internal
def _set_operator(operator: address, allowed: bool):
    self.operators[operator] = allowed
    log OperatorSet(operator=operator, allowed=allowed)


# --- steps --------------------------------------------------------------------------------------------------------


@internal
def _run(steps: Bytes[MAX_STEPS_SIZE]):
    at: uint256 = 0
    for _: uint256 in range(MAX_STEPS):
        if at + 64 > len(steps):  # what is left is padding
            return
        head: uint256 = extract32(steps, at, output_type=uint256)
        argument: uint256 = extract32(steps, at + 32, output_type=uint256)
        size: uint256 = head >> 200 & U16
        data: Bytes[MAX_STEPS_SIZE] = slice(steps, at + 64, size)
        at += 64 + size
        if head & CHECK != 0:
            self._check(head, argument, convert(data, Bytes[MAX_QUESTION + 32]))
        else:
            if head & PATCHED != 0:
                data = self._patched(head, argument, convert(data, Bytes[MAX_PATCHED]))
            if head & AWAITS != 0:
                inner: uint256 = head >> 216 & U16
                self._await(head, argument, keccak256(slice(data, size - inner, inner)))
            ok: bool = False
            reply: Bytes[MAX_REPLY] = b""
            ok, reply = raw_call(self._target(head), data, max_outsize=MAX_REPLY, revert_on_failure=False)
            self._conclude(head, argument, ok, reply)
    assert at + 64 > len(steps), "too many steps"


@internal
def _await(head: uint256, token: uint256, steps_hash: bytes32):
    self.owed = convert(token, address)
    self.ticket = self._ticket(head & AWAITS, self._target(head), steps_hash)


@internal
def _conclude(head: uint256, token: uint256, ok: bool, reply: Bytes[MAX_REPLY]):
    if not ok:
        if head & OPTIONAL == 0:
            raw_revert(reply)
        self.ticket = empty(bytes32)
    elif head & AWAITS != 0:
        if self.ticket != empty(bytes32):
            raw_revert(method_id("NoCallback()"))
        if head & PULL != 0:
            self._disallow(convert(token, address), self._target(head))


@internal
@pure
def _target(head: uint256) -> address:
    return convert(head & U160, address)


@internal
@pure
def _place(head: uint256) -> uint256:
    return head >> 232 & U16


@internal
@view
def _patched(head: uint256, token: uint256, data: Bytes[MAX_PATCHED]) -> Bytes[2 * MAX_PATCHED + 32]:
    amount: uint256 = staticcall ERC20(convert(token, address)).balanceOf(self)
    place: uint256 = self._place(head)
    rest: uint256 = place + 32
    return concat(slice(data, 0, place), convert(amount, bytes32), slice(data, rest, len(data) - rest))


@internal
@view
def _check(head: uint256, least: uint256, data: Bytes[MAX_QUESTION + 32]):
    question: Bytes[MAX_QUESTION] = convert(slice(data, 32, len(data) - 32), Bytes[MAX_QUESTION])
    found: uint256 = self._ask(self._target(head), question, self._place(head))
    if not self._within(found, least, extract32(data, 0, output_type=uint256)):
        raw_revert(abi_encode(found, method_id=method_id("CheckFailed(uint256)")))


@internal
@view
def _ask(target: address, data: Bytes[MAX_QUESTION], place: uint256) -> uint256:
    reply: Bytes[MAX_REPLY] = raw_call(target, data, max_outsize=MAX_REPLY, is_static_call=True)
    return extract32(reply, place, output_type=uint256)


@internal
@pure
def _within(found: uint256, least: uint256, below: uint256) -> bool:
    # Modulo 2^256, so that bounds may be signed.
    return unsafe_sub(found, least) < unsafe_sub(below, least)


# --- callbacks awaited --------------------------------------------------------------------------------------------


@internal
@pure
def _ticket(paid_by: uint256, caller: address, steps_hash: bytes32) -> bytes32:
    return keccak256(abi_encode(paid_by, caller, steps_hash))


@internal
def _redeem(paid_by: uint256, steps_hash: bytes32) -> address:
    if self.ticket != self._ticket(paid_by, msg.sender, steps_hash):
        raw_revert(method_id("UnexpectedCallback()"))
    self.ticket = empty(bytes32)
    return self.owed


@internal
@view
def _only_own(initiator: address):
    if initiator != self:
        raw_revert(method_id("UnexpectedCallback()"))


@internal
def _repay(amount: uint256, steps: Bytes[MAX_STEPS_SIZE]):
    token: address = self._redeem(PULL, keccak256(steps))
    self._run(steps)
    assert extcall ERC20(token).approve(msg.sender, amount, default_return_value=True), "approve failed"


# --- money --------------------------------------------------------------------------------------------------------


@internal
@view
def _profit(token: address, before: uint256) -> uint256:
    now: uint256 = staticcall ERC20(token).balanceOf(self)
    return now - before if now > before else 0


@internal
def _disallow(token: address, spender: address):
    if staticcall ERC20(token).allowance(self, spender) != 0:
        assert extcall ERC20(token).approve(spender, 0, default_return_value=True), "approve failed"


@internal
def _forward(token: address):
    balance: uint256 = staticcall ERC20(token).balanceOf(self)
    if balance != 0:
        self._pay(token, beneficiary, balance)


@internal
def _pay(token: address, to: address, amount: uint256):
    if not extcall ERC20(token).transfer(to, amount, default_return_value=True):
        raw_revert(method_id("TransferFailed()"))
