# pragma version 0.4.3
"""
@notice A token that returns nothing and refuses to change a non-zero allowance, as USDT does.
"""

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount


@external
def transfer(to: address, amount: uint256):
    self._move(msg.sender, to, amount)


@external
def transferFrom(source: address, to: address, amount: uint256):
    self.allowance[source][msg.sender] -= amount
    self._move(source, to, amount)


@external
def approve(spender: address, amount: uint256):
    assert amount == 0 or self.allowance[msg.sender][spender] == 0, "reset first"
    self.allowance[msg.sender][spender] = amount


@internal
def _move(source: address, to: address, amount: uint256):
    self.balanceOf[source] -= amount
    self.balanceOf[to] += amount
