# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Keeper account
@license MIT
@notice Holds margin and positions of ours. Operators trade within what the owner allows; money leaves it to the beneficiary only.
@dev Three rules, each the owner's, hold whoever has an operator's key:

     What may be called   A permit names a target and a selector, and pins words of the calldata; a form says what these words must be, and
                          which token the target may ask for in a callback (zero: it may not). A call that matches no form reverts. What
                          is allowed of a selector is what its last permit says. An approval is a call like others: its spender is pinned.
     Where it may stand   A limit is a word of a static call that lies within bounds after all calls of an operator, as signed numbers. One
                          that is out of bounds before may stay, but move no further out: so that a position in trouble can be reduced.
                          A limit that gives no answer stops everything.
     Where money goes     `withdraw` pays the beneficiary. To put money in, transfer it.

     What is left to a thief of an operator's key: to trade badly, with himself on the other side, down to the limits. Hence one of them
     should be on the worth of the account. Targets are trusted with what is approved for them, and pools with what they ask for.
"""

interface ERC20:
    def balanceOf(account: address) -> uint256: view
    def transfer(to: address, amount: uint256) -> bool: nonpayable

struct Form:
    owed: address
    words: DynArray[bytes32, MAX_WORDS]  # one for each that is pinned, in their order

struct Permit:
    target: address
    selector: bytes4
    pinned: uint256  # bit n: word n of the arguments
    forms: DynArray[Form, MAX_FORMS]

struct Limit:
    target: address
    data: Bytes[MAX_QUESTION]
    place: uint256
    least: int256
    below: int256

struct Call:
    target: address
    owed: address
    token: address  # unless zero, the 32 bytes at `place` of the data become the account's balance of it
    place: uint256
    data: Bytes[MAX_DATA]

event Permitted:
    target: indexed(address)
    selector: indexed(bytes4)
    pinned: uint256
    forms: DynArray[Form, MAX_FORMS]

event LimitsSet:
    limits: DynArray[Limit, MAX_LIMITS]

event OperatorSet:
    operator: indexed(address)
    allowed: bool

MAX_CALLS: constant(uint256) = 8
MAX_DATA: constant(uint256) = 420
MAX_PERMITS: constant(uint256) = 16
MAX_FORMS: constant(uint256) = 4
MAX_WORDS: constant(uint256) = 8
MAX_LIMITS: constant(uint256) = 4
MAX_QUESTION: constant(uint256) = 132
MAX_REPLY: constant(uint256) = 512

owner: public(immutable(address))
beneficiary: public(immutable(address))
operators: public(HashMap[address, bool])
limits: public(DynArray[Limit, MAX_LIMITS])

# How often a selector was permitted anew, and the pinned words in the lowest bits: part of the name of all of its forms.
rules: public(HashMap[address, HashMap[bytes4, uint256]])
forms: public(HashMap[bytes32, bool])

# The one callback awaited, good for one use: its caller, and the token it is paid in. Zero: none.
awaited: transient(address)
owed: transient(address)


@deploy
def __init__(
    _owner: address,
    _beneficiary: address,
    _operators: DynArray[address, 16],
    permits: DynArray[Permit, MAX_PERMITS],
    _limits: DynArray[Limit, MAX_LIMITS],
):
    assert _owner != empty(address), "zero owner"
    assert _beneficiary != empty(address), "zero beneficiary"
    owner = _owner
    beneficiary = _beneficiary
    for operator: address in _operators:
        self._set_operator(operator, True)
    self._permit(permits)
    self._set_limits(_limits)


# --- operators ----------------------------------------------------------------------------------------------------


@external
@nonreentrant
def operate(calls: DynArray[Call, MAX_CALLS]):
    """
    @notice Make the calls, all or none, each of which must be permitted; then check the limits.
    """
    self._only_operator()
    before: DynArray[uint256, MAX_LIMITS] = self._excesses()
    for call: Call in calls:
        self._make(call)
    self._within_limits(before)


@external
@nonreentrant
def withdraw(token: address, amount: uint256):
    """
    @notice Send a part of the balance to the beneficiary. The owner may whatever the limits say.
    """
    before: DynArray[uint256, MAX_LIMITS] = []
    if msg.sender != owner:
        self._only_operator()
        before = self._excesses()
    self._pay(token, beneficiary, amount)
    if msg.sender != owner:
        self._within_limits(before)


@external
def uniswapV3SwapCallback(amount0: int256, amount1: int256, data: Bytes[32]):
    if msg.sender != self.awaited:
        raw_revert(method_id("UnexpectedCallback()"))
    self.awaited = empty(address)
    self._pay(self.owed, msg.sender, convert(max(amount0, amount1), uint256))


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
def permit(permits: DynArray[Permit, MAX_PERMITS]):
    """
    @notice Allow the forms of each in place of what was allowed of the same target and selector; without any form, nothing.
    """
    self._only_owner()
    self._permit(permits)


@external
@nonreentrant
def set_limits(_limits: DynArray[Limit, MAX_LIMITS]):
    """
    @notice Put these in place of all limits there are. Each must have an answer now.
    """
    self._only_owner()
    self._set_limits(_limits)


@external
@nonreentrant
def rescue(target: address, data: Bytes[4096], amount: uint256):
    """
    @notice Make any call, with so much ETH.
    """
    self._only_owner()
    raw_call(target, data, value=amount)


@external
@view
def permits_call(target: address, owed: address, data: Bytes[MAX_DATA]) -> bool:
    return self.forms[self._form(target, owed, data)]


@internal
def _only_owner():
    if msg.sender != owner:
        raw_revert(method_id("Unauthorized()"))


@internal
def _only_operator():
    if not self.operators[msg.sender]:
        raw_revert(method_id("Unauthorized()"))


@internal
def _set_operator(operator: address, allowed: bool):
    self.operators[operator] = allowed
    log OperatorSet(operator=operator, allowed=allowed)


# --- what may be called -------------------------------------------------------------------------------------------


@internal
def _permit(permits: DynArray[Permit, MAX_PERMITS]):
    for allowed: Permit in permits:
        assert allowed.pinned < 1 << MAX_WORDS, "pinned beyond the words"
        rule: uint256 = self._renewed(self.rules[allowed.target][allowed.selector], allowed.pinned)
        self.rules[allowed.target][allowed.selector] = rule
        for form: Form in allowed.forms:
            assert len(form.words) == self._count(allowed.pinned), "a word for each pinned"
            name: bytes32 = self._name(allowed.target, allowed.selector, rule, form.owed)
            for word: bytes32 in form.words:
                name = self._with(name, word)
            self.forms[name] = True
        log Permitted(target=allowed.target, selector=allowed.selector, pinned=allowed.pinned, forms=allowed.forms)


@internal
@view
def _form(target: address, owed: address, data: Bytes[MAX_DATA]) -> bytes32:
    selector: bytes4 = convert(slice(data, 0, 4), bytes4)
    rule: uint256 = self.rules[target][selector]
    name: bytes32 = self._name(target, selector, rule, owed)
    for place: uint256 in range(MAX_WORDS):
        if rule >> place & 1 != 0:
            name = self._with(name, extract32(data, 4 + 32 * place))
    return name


@internal
@pure
def _renewed(rule: uint256, pinned: uint256) -> uint256:
    return (rule >> MAX_WORDS) + 1 << MAX_WORDS | pinned


@internal
@pure
def _name(target: address, selector: bytes4, rule: uint256, owed: address) -> bytes32:
    return keccak256(abi_encode(target, selector, rule, owed))


@internal
@pure
def _with(name: bytes32, word: bytes32) -> bytes32:
    return keccak256(concat(name, word))


@internal
@pure
def _count(pinned: uint256) -> uint256:
    count: uint256 = 0
    for place: uint256 in range(MAX_WORDS):
        count += pinned >> place & 1
    return count


@internal
def _make(call: Call):
    data: Bytes[MAX_DATA] = call.data
    if call.token != empty(address):
        data = self._patched(call.token, call.place, data)
    if not self.forms[self._form(call.target, call.owed, data)]:
        raw_revert(method_id("Forbidden()"))
    if call.owed != empty(address):
        self.owed = call.owed
        self.awaited = call.target
    raw_call(call.target, data)
    if self.awaited != empty(address):
        raw_revert(method_id("NoCallback()"))


@internal
@view
def _patched(token: address, place: uint256, data: Bytes[MAX_DATA]) -> Bytes[MAX_DATA]:
    amount: bytes32 = convert(staticcall ERC20(token).balanceOf(self), bytes32)
    rest: uint256 = place + 32
    return convert(concat(slice(data, 0, place), amount, slice(data, rest, len(data) - rest)), Bytes[MAX_DATA])


# --- where it may stand -------------------------------------------------------------------------------------------


@internal
def _set_limits(_limits: DynArray[Limit, MAX_LIMITS]):
    for limit: Limit in _limits:
        assert limit.least < limit.below, "empty limit"
    self.limits = _limits
    self._excesses()
    log LimitsSet(limits=_limits)


@internal
def _within_limits(before: DynArray[uint256, MAX_LIMITS]):
    after: DynArray[uint256, MAX_LIMITS] = self._excesses()
    for index: uint256 in range(len(after), bound=MAX_LIMITS):
        if after[index] > before[index]:
            raw_revert(abi_encode(index, method_id=method_id("LimitPassed(uint256)")))


@internal
@view
def _excesses() -> DynArray[uint256, MAX_LIMITS]:
    excesses: DynArray[uint256, MAX_LIMITS] = []
    for limit: Limit in self.limits:
        reply: Bytes[MAX_REPLY] = raw_call(limit.target, limit.data, max_outsize=MAX_REPLY, is_static_call=True)
        excesses.append(self._excess(extract32(reply, limit.place, output_type=int256), limit.least, limit.below))
    return excesses


@internal
@pure
def _excess(found: int256, least: int256, below: int256) -> uint256:
    """
    @dev How far out of bounds, 0 within. Differences of signed numbers in order, modulo 2^256, are never negative.
    """
    if found < least:
        return unsafe_sub(convert(convert(least, bytes32), uint256), convert(convert(found, bytes32), uint256))
    if found >= below:
        return unsafe_sub(convert(convert(found, bytes32), uint256), convert(convert(below, bytes32), uint256)) + 1
    return 0


# --- money --------------------------------------------------------------------------------------------------------


@internal
def _pay(token: address, to: address, amount: uint256):
    if not extcall ERC20(token).transfer(to, amount, default_return_value=True):
        raw_revert(method_id("TransferFailed()"))
