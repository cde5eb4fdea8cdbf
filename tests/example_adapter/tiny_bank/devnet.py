"""A bank of our own on a devnet, with customers: what the tests run against."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

from vyper import compile_code

from keeper.chain.codec import address_word, selector, word
from keeper.devnet import Devnet
from keeper.devnet.names import derived
from keeper.testing import Deployment, Node, Transaction
from keeper.types import Address
from tiny_bank import TinyBank

SOURCE = Path(__file__).with_name("tiny_bank.vy")
COLLATERAL, DEBT = "WETH", "USDC"
ETHER, DOLLAR = 10**18, 10**6
FIRST_PRICE = 2500 * DOLLAR
RATE = 2 * 10**9  # a second, in wads: some 6 % a year
OWNER = derived("tiny bank: owner")
CUSTOMERS = tuple(derived(f"tiny bank: customer {number}") for number in range(12))


class TinyBankDeployment(Deployment):
    """Start with `await TinyBankDeployment.deployed(net)`."""

    def __init__(self, net: Devnet, address: Address) -> None:
        self.rpc, self.adapter, self.address, self.accounts = net.rpc, TinyBank(), address, CUSTOMERS
        self.collateral, self.debt = net.addresses[f"token.{COLLATERAL}"], net.addresses[f"token.{DEBT}"]
        self.wrong_addresses = [self.collateral, self.debt]

    @classmethod
    async def deployed(cls, net: Devnet) -> TinyBankDeployment:
        """A new bank with a million dollars to lend."""
        await net.request("anvil_setBalance", OWNER, hex(10**6 * ETHER))
        tokens = [address_word(net.addresses[f"token.{symbol}"]) for symbol in (COLLATERAL, DEBT)]
        receipt = await net.transact(OWNER, None, b"".join([_bytecode(), *tokens, word(18), word(FIRST_PRICE), word(RATE)]))
        deployment = cls(net, Address(receipt["contractAddress"].lower()))
        await net.request("anvil_dealERC20", deployment.address, deployment.debt, hex(10**6 * DOLLAR))
        return deployment

    # --- what the suite asks for

    async def prepare(self, node: Node) -> None:
        await node.enrich([OWNER, *CUSTOMERS])
        for customer in CUSTOMERS:
            for token, amount in ((self.collateral, 1000 * ETHER), (self.debt, 10**6 * DOLLAR)):
                await node.request("anvil_dealERC20", customer, token, hex(amount))
                approve = selector("approve(address,uint256)") + address_word(self.address) + word(2**255)
                await node.send([Transaction(customer, token, approve)])

    def actions(self, rng: Random) -> Sequence[Transaction]:
        """The price walks around where it began; customers do anything, and some borrow all they can."""
        price = int(FIRST_PRICE * rng.uniform(0.7, 1.2))
        actions = [self.owner("set_price(uint256)", price)]
        actions += [self.owner("set_rate(uint256)", rng.randrange(2 * RATE))] if rng.random() < 0.2 else []
        for _ in range(rng.randrange(1, 4)):
            actions += self.leverage(rng.choice(CUSTOMERS), rng.randrange(1, 10**19), price, rng.uniform(0.6, 0.79))
            actions.append(self._anything(rng))
        return actions

    def pause(self) -> Sequence[Transaction]:
        return [self.owner("set_paused(bool)", 1)]

    # --- what people do

    def owner(self, signature: str, *arguments: int) -> Transaction:
        return self.call(OWNER, signature, *arguments)

    def leverage(self, customer: Address, collateral: int, price: int, share: float) -> list[Transaction]:
        """Deposit, and borrow this share of what it is worth."""
        worth = collateral * price // ETHER
        return [self.call(customer, "deposit(uint256)", collateral), self.call(customer, "borrow(uint256)", int(worth * share))]

    def _anything(self, rng: Random) -> Transaction:
        customer, amount = rng.choice(CUSTOMERS), rng.randrange(1, 5 * ETHER)
        dollars = amount * FIRST_PRICE // ETHER
        return rng.choice(
            (
                self.call(customer, "withdraw(uint256)", amount),
                self.call(customer, "repay(uint256)", rng.choice([dollars, 2**255])),
                self.call(customer, "move(address,uint256)", int(rng.choice(CUSTOMERS), 16), amount),
                self.call(customer, "liquidate(address,uint256)", int(rng.choice(CUSTOMERS), 16), dollars),
            )
        )

    def call(self, sender: Address, signature: str, *arguments: int) -> Transaction:
        return Transaction(sender, self.address, selector(signature) + b"".join(map(word, arguments)))


@cache
def _bytecode() -> bytes:
    code: str = compile_code(SOURCE.read_text(), output_formats=["bytecode"])["bytecode"]
    return bytes.fromhex(code.removeprefix("0x"))
