# pragma version 0.4.3
"""Whoever swaps and provides liquidity in the tests: calls anything, and pays what pools ask of it in their callbacks."""

interface Token:
    def transfer(to: address, amount: uint256) -> bool: nonpayable

interface Pool:
    def token0() -> address: view
    def token1() -> address: view

struct Call:
    target: address
    data: Bytes[512]


@external
def act(calls: DynArray[Call, 64]):
    for call: Call in calls:
        raw_call(call.target, call.data)


@external
def uniswapV3SwapCallback(amount0: int256, amount1: int256, data: Bytes[32]):
    token: address = abi_decode(data, address)
    owed: int256 = amount0 if amount0 > 0 else amount1
    extcall Token(token).transfer(msg.sender, convert(owed, uint256))


@external
def uniswapV3MintCallback(amount0: uint256, amount1: uint256, data: Bytes[32]):
    if amount0 > 0:
        extcall Token(staticcall Pool(msg.sender).token0()).transfer(msg.sender, amount0)
    if amount1 > 0:
        extcall Token(staticcall Pool(msg.sender).token1()).transfer(msg.sender, amount1)
