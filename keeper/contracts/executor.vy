# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Keeper executor
@license MIT
@notice Runs one liquidation on borrowed money and forwards whatever is left to the beneficiary.
@dev An operator may make it call anything: that spends what is inside during its own transaction and no more, as long as nothing
     rests in it and nobody gives it an allowance. A leaked operator key may leave allowances behind: revoke it, then deploy anew.
     Lenders and pools are trusted with the money in flight (the floor on the profit bounds the harm), never with a role.
"""

interface ERC20:
    def balanceOf(account: address) -> uint256: view
    def transfer(to: address, amount: uint256) -> bool: nonpayable
    def approve(spender: address, amount: uint256) -> bool: nonpayable

interface AavePool:
    def flashLoanSimple(receiver: address, asset: address, amount: uint256, params: Bytes[MAX_STEPS_SIZE], referral: uint16): nonpayable

interface UniswapPool:
    def token0() -> address: view
    def token1() -> address: view
    def swap(recipient: address, zero_for_one: bool, amount: int256, limit: uint160, data: Bytes[MAX_STEPS_SIZE]) -> (int256, int256): nonpayable

struct Guard:
    target: address  # zero: no guard
    data: Bytes[68]
    word: uint256
    below: uint256

struct Funding:
    kind: uint256
    source: address
    token: address
    amount: uint256
    zero_for_one: bool  # direction of a flash swap

struct Step:
    target: address
    data: Bytes[MAX_STEP_DATA]
    amount_token: address  # zero: send `data` as it is
    amount_offset: uint256

event Settled:
    profit_token: indexed(address)
    profit: uint256

event OperatorSet:
    operator: indexed(address)
    allowed: bool

NO_FUNDING: constant(uint256) = 0
FLASH_LOAN: constant(uint256) = 1
FLASH_SWAP: constant(uint256) = 2
STEP_SWAP: constant(uint256) = 3

MAX_STEPS: constant(uint256) = 8
MAX_STEP_DATA: constant(uint256) = 352
MAX_STEPS_SIZE: constant(uint256) = 64 + MAX_STEPS * (6 * 32 + MAX_STEP_DATA)
MAX_REPLY: constant(uint256) = 512
MIN_SQRT_LIMIT: constant(uint160) = 4295128740
MAX_SQRT_LIMIT: constant(uint160) = 1461446703485210103287273052203988822378723970341

# A step that is exactly `swap(address,bool,int256,uint160,bytes)` with one word of callback data
SWAP_SELECTOR: constant(bytes4) = 0x128acb08
SWAP_SIZE: constant(uint256) = 4 + 7 * 32
SWAP_DATA_OFFSET: constant(uint256) = 4 + 6 * 32

owner: public(immutable(address))
beneficiary: public(immutable(address))
operators: public(HashMap[address, bool])

# The one callback awaited, good for one use: its kind, its caller and its data. Zero: none.
ticket: transient(bytes32)


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
def execute(guard: Guard, funding: Funding, steps: Bytes[MAX_STEPS_SIZE], profit_token: address, min_profit: uint256, tokens: DynArray[address, 6]):
    """
    @notice Check the guard, borrow, run the steps, repay, check the profit, forward everything.
    @param steps abi.encode(Step[]), kept encoded because that is how it travels through the lender
    @param tokens Further tokens whose whole balance goes to the beneficiary
    """
    if not self.operators[msg.sender]:
        raw_revert(method_id("Unauthorized()"))
    if guard.target != empty(address):
        self._check(guard)
    before: uint256 = staticcall ERC20(profit_token).balanceOf(self)
    if funding.kind == NO_FUNDING:
        self._run(steps)
    else:
        self.ticket = self._ticket(funding.kind, funding.source, keccak256(steps))
        if funding.kind == FLASH_LOAN:
            extcall AavePool(funding.source).flashLoanSimple(self, funding.token, funding.amount, steps, 0)
        else:
            assert funding.kind == FLASH_SWAP, "unknown funding"
            limit: uint160 = MIN_SQRT_LIMIT if funding.zero_for_one else MAX_SQRT_LIMIT
            extcall UniswapPool(funding.source).swap(self, funding.zero_for_one, -convert(funding.amount, int256), limit, steps)
    if self.ticket != empty(bytes32):
        raw_revert(method_id("NotFunded()"))
    profit: uint256 = self._profit(profit_token, before)
    if profit < min_profit:
        raw_revert(abi_encode(profit, method_id=method_id("Unprofitable(uint256)")))
    self._forward(profit_token)
    for token: address in tokens:
        self._forward(token)
    log Settled(profit_token=profit_token, profit=profit)


@external
def executeOperation(asset: address, amount: uint256, premium: uint256, initiator: address, params: Bytes[MAX_STEPS_SIZE]) -> bool:
    """
    @notice Aave's flash-loan callback: only from the lender in progress, with the steps it was given.
    """
    if initiator != self:
        raw_revert(method_id("UnexpectedCallback()"))
    self._redeem(FLASH_LOAN, keccak256(params))
    self._run(params)
    assert extcall ERC20(asset).approve(msg.sender, amount + premium, default_return_value=True), "approve failed"
    return True


@external
def uniswapV3SwapCallback(amount0: int256, amount1: int256, data: Bytes[MAX_STEPS_SIZE]):
    """
    @notice Pays the pool in progress: with one word of data a step's swap, else the flash swap that carries the steps.
    """
    token: address = empty(address)
    if len(data) == 32:
        self._redeem(STEP_SWAP, keccak256(data))
        token = abi_decode(data, address)
    else:
        self._redeem(FLASH_SWAP, keccak256(data))
        self._run(data)
        token = staticcall UniswapPool(msg.sender).token0() if amount0 > 0 else staticcall UniswapPool(msg.sender).token1()
    self._pay(token, msg.sender, convert(max(amount0, amount1), uint256))


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


@internal
@view
def _check(guard: Guard):
    reply: Bytes[MAX_REPLY] = raw_call(guard.target, guard.data, max_outsize=MAX_REPLY, is_static_call=True)
    if extract32(reply, guard.word * 32, output_type=uint256) >= guard.below:
        raw_revert(method_id("Healthy()"))


@internal
def _run(steps: Bytes[MAX_STEPS_SIZE]):
    decoded: DynArray[Step, MAX_STEPS] = abi_decode(steps, DynArray[Step, MAX_STEPS])
    for step: Step in decoded:
        self.ticket = self._swap_ticket(step.target, step.data)
        if step.amount_token == empty(address):
            raw_call(step.target, step.data)
        else:
            amount: uint256 = staticcall ERC20(step.amount_token).balanceOf(self)
            rest: uint256 = step.amount_offset + 32
            head: Bytes[MAX_STEP_DATA] = slice(step.data, 0, step.amount_offset)
            tail: Bytes[MAX_STEP_DATA] = slice(step.data, rest, len(step.data) - rest)
            raw_call(step.target, concat(head, convert(amount, bytes32), tail))
    self.ticket = empty(bytes32)


@internal
@pure
def _swap_ticket(target: address, data: Bytes[MAX_STEP_DATA]) -> bytes32:
    # Only a step that is a swap may be called back: a hostile token being approved may not.
    if len(data) != SWAP_SIZE or convert(slice(data, 0, 4), bytes4) != SWAP_SELECTOR:
        return empty(bytes32)
    return self._ticket(STEP_SWAP, target, keccak256(slice(data, SWAP_DATA_OFFSET, 32)))


@internal
@pure
def _ticket(kind: uint256, caller: address, data_hash: bytes32) -> bytes32:
    return keccak256(abi_encode(kind, caller, data_hash))


@internal
def _redeem(kind: uint256, data_hash: bytes32):
    if self.ticket != self._ticket(kind, msg.sender, data_hash):
        raw_revert(method_id("UnexpectedCallback()"))
    self.ticket = empty(bytes32)


@internal
@view
def _profit(token: address, before: uint256) -> uint256:
    now: uint256 = staticcall ERC20(token).balanceOf(self)
    return now - before if now > before else 0


@internal
def _forward(token: address):
    balance: uint256 = staticcall ERC20(token).balanceOf(self)
    if balance != 0:
        self._pay(token, beneficiary, balance)


@internal
def _pay(token: address, to: address, amount: uint256):
    if not extcall ERC20(token).transfer(to, amount, default_return_value=True):
        raw_revert(method_id("TransferFailed()"))
