"""Random life on the devnet's Yield v2: owners of vaults, auctioneers and buyers, governance, oracles. `rng` decides everything."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from keeper.devnet import Devnet
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.genesis.yields import BASES, ILKS, SERIES, TERMS, account_of, asset_id, series_id, vault_id
from keeper.devnet.names import DEPLOYER, TRANSMITTER, derived
from keeper.devnet.oracle import report
from keeper.fixedpoint import MAX_UINT256, WAD
from keeper.types import Address
from tests.adapters.world import Action

BUYER, STARTER, KEEPER = derived("tests: buyer"), derived("tests: starter"), derived("tests: keeper")
OWNERS = tuple(derived(f"tests: vault owner {number}") for number in range(4))
EVERYONE = (*OWNERS, BUYER, STARTER, KEEPER)
FIRST_EPOCH = 200_000
WITCH_CALLS = ("give(bytes12,address)", "slurp(bytes12,uint128,uint128)")
MOST = 2**128 - 1


def vault_bytes(account: Address) -> bytes:
    return bytes.fromhex(account[2:26])


class World:
    """Drives one devnet. `vaults`: all that were ever built, with (series, ilk, owner)."""

    def __init__(self, net: Devnet, rng: random.Random) -> None:
        self.net, self.rng = net, rng
        self.vaults: dict[Address, tuple[str, str, Address]] = {}
        self._epoch = FIRST_EPOCH
        self._prices = {symbol: token.price for symbol, token in BY_SYMBOL.items()}

    async def prepare(self) -> None:
        """Ether, tokens and allowances for everyone; the admin may give vaults away, and hold them for a while."""
        for account in EVERYONE:
            await self.net.request("anvil_setBalance", account, hex(10**24))
            for symbol in (*BASES, *ILKS):
                token, join = self.net.addresses[f"token.{symbol}"], self.net.addresses[f"yield.join.{symbol}"]
                await self.net.request("anvil_dealERC20", account, token, hex(10**9 * BY_SYMBOL[symbol].unit))
                await self.net.request("anvil_setERC20Allowance", account, join, token, hex(MAX_UINT256))
        await self.send([self.allow("yield.cauldron", DEPLOYER, "give", "slurp")])

    async def send(self, actions: Sequence[Action]) -> None:
        for action in actions:
            await self.net.send(action.sender, action.to, action.data, gas=3_000_000)

    def act(self, sender: Address, name: str, function: str, *arguments: object) -> Action:
        return Action(sender, self.net.addresses[name], self.net.encode(name, function, *arguments))

    def allow(self, name: str, who: Address, *functions: str, on: bool = True) -> Action:
        abi = self.net.contract(name).abi
        entries = [self._selector(name, entry["name"]) for entry in abi if entry["type"] == "function" and entry["name"] in functions]
        return self.act(DEPLOYER, name, "grantRoles" if on else "revokeRoles", entries, who)

    def _selector(self, name: str, function: str) -> bytes:
        from keeper.devnet.artifacts import selector

        return selector(
            next(entry for entry in self.net.contract(name).abi if entry.get("name") == function and entry["type"] == "function")
        )

    # --- oracles

    def tick(self, move: float) -> list[Action]:
        symbol = self.rng.choice([*ILKS, *ILKS, *BASES])
        size = self.rng.uniform(-move, move) / (50 if symbol in BASES else 1)
        start, price = BY_SYMBOL[symbol].price, int(self._prices[symbol] * (1 + size)) + self.rng.randrange(100)
        return [self.set_price(symbol, min(max(price, start * 6 // 10), start * 13 // 10))]

    def set_price(self, symbol: str, price: int) -> Action:
        self._prices[symbol] = price
        self._epoch += 1
        aggregator = f"aggregator.{symbol}"
        return Action(TRANSMITTER, self.net.addresses[aggregator], self.net.encode(aggregator, "transmit", *report(price, 0, self._epoch)))

    # --- vaults

    def build(self, mined_s: int) -> list[Action]:
        """A vault close to the edge."""
        owner, series = self.rng.choice(OWNERS), self.rng.choice(["USDC", "DAI"])
        ilk, base = self.rng.choice(ILKS), SERIES[series].base
        account = account_of(vault_id(owner, mined_s))
        self.vaults[account] = (series, ilk, owner)
        art = int(TERMS[ilk].least * BY_SYMBOL[base].unit * self.rng.choice([1, 1.3, 1.99, 2, 2.1, 5, 40])) + self.rng.randrange(10**6)
        build = self.act(owner, "yield.ladle", "build", series_id(series), asset_id(ilk), 0)
        return [build, self.act(owner, "yield.ladle", "pour", vault_bytes(account), owner, self._covering(base, ilk, art), art)]

    def _covering(self, base: str, ilk: str, art: int) -> int:
        value = art * self._prices[base] * BY_SYMBOL[ilk].unit * TERMS[ilk].ratio_ppm // (self._prices[ilk] * BY_SYMBOL[base].unit * 10**6)
        return int(value * self.rng.uniform(1.0, 1.06)) + self.rng.randrange(1000)

    def action(self, accounts: Sequence[Address], mined_s: int) -> list[Action]:
        kinds: list[Callable[[Sequence[Address]], list[Action]]] = [
            *[self._pour, self._start, self._buy] * 3,
            *[self._pay_with_fytokens, self._cancel, self._clear, self._give, self._stir, self._tweak, self._destroy, self._close],
        ]
        if self.rng.random() < 0.2:
            return self.build(mined_s)
        return self.rng.choice(kinds)(accounts)

    def _own(self, accounts: Sequence[Address]) -> tuple[Address, str, str, Address]:
        account = self.rng.choice([*self.vaults] or [*accounts])
        return (account, *self.vaults.get(account, ("USDC", "WETH", OWNERS[0])))

    def _pour(self, accounts: Sequence[Address]) -> list[Action]:
        account, series, ilk, owner = self._own(accounts)
        unit, base = BY_SYMBOL[ilk].unit, BY_SYMBOL[SERIES[series].base].unit
        ink = self.rng.choice([0, 1, -1, unit // 50, -unit // 50, unit])
        art = self.rng.choice([0, base, -base, 100 * base, -1000 * base, -2_000_000_000])
        return [self.act(owner, "yield.ladle", "pour", vault_bytes(account), owner, ink, art)]

    def _close(self, accounts: Sequence[Address]) -> list[Action]:
        account, series, _, owner = self._own(accounts)
        art = self.rng.choice([1, 500, 1000]) * BY_SYMBOL[SERIES[series].base].unit
        return [self.act(owner, "yield.ladle", "close", vault_bytes(account), owner, 0, -art)]

    def _give(self, accounts: Sequence[Address]) -> list[Action]:
        account, _, _, owner = self._own(accounts)
        receiver = self.rng.choice(OWNERS)
        return [self.act(owner, "yield.ladle", "give", vault_bytes(account), receiver)]

    def _stir(self, accounts: Sequence[Address]) -> list[Action]:
        account, _, ilk, owner = self._own(accounts)
        alike = [other for other, terms in self.vaults.items() if terms[1] == ilk and other != account]
        if not alike:
            return []
        ink = self.rng.choice([1, BY_SYMBOL[ilk].unit // 1000])
        return [self.act(owner, "yield.ladle", "stir", vault_bytes(account), vault_bytes(self.rng.choice(alike)), ink, 0)]

    def _tweak(self, accounts: Sequence[Address]) -> list[Action]:
        account, _, ilk, owner = self._own(accounts)
        return [self.act(owner, "yield.ladle", "tweak", vault_bytes(account), series_id("DAI"), asset_id(ilk))]

    def _destroy(self, accounts: Sequence[Address]) -> list[Action]:
        """Also of one that was built for it."""
        account, _, _, owner = self._own(accounts)
        return [self.act(owner, "yield.ladle", "destroy", vault_bytes(account))]

    # --- auctions

    def _start(self, accounts: Sequence[Address]) -> list[Action]:
        sender = self.rng.choice([STARTER, BUYER])
        return [self.act(sender, "yield.witch", "auction", vault_bytes(account), sender) for account in self.rng.sample([*accounts], 4)]

    def _buy(self, accounts: Sequence[Address]) -> list[Action]:
        amounts = [MOST, self.rng.randrange(10**9, 10**11), self.rng.randrange(10**20, 10**23), 1, 7]
        chosen = self.rng.sample([*accounts], 6)
        return [self.act(BUYER, "yield.witch", "payBase", vault_bytes(a), BUYER, 0, self.rng.choice(amounts)) for a in chosen]

    def _pay_with_fytokens(self, accounts: Sequence[Address]) -> list[Action]:
        actions = []
        for name, series in SERIES.items():
            token, unit = f"yield.fytoken.{series.id.decode()}", BY_SYMBOL[series.base].unit
            owner = next((terms[2] for terms in self.vaults.values() if terms[0] == name), None)
            if owner:
                actions.append(self.act(owner, token, "transfer", BUYER, 2000 * unit))
                actions.append(self.act(BUYER, token, "approve", self.net.addresses["yield.witch"], MAX_UINT256))
        chosen = self.rng.sample([*accounts], 3)
        return [*actions, *(self.act(BUYER, "yield.witch", "payFYToken", vault_bytes(a), BUYER, 0, 10**9) for a in chosen)]

    def _cancel(self, accounts: Sequence[Address]) -> list[Action]:
        return [self.act(BUYER, "yield.witch", "cancel", vault_bytes(account)) for account in accounts]

    def _clear(self, accounts: Sequence[Address]) -> list[Action]:
        """Another authority takes a vault away from the Witch."""
        account = vault_bytes(self.rng.choice([*accounts]))
        return [self.act(DEPLOYER, "yield.cauldron", "give", account, OWNERS[0]), self.act(BUYER, "yield.witch", "clear", account)]

    # --- governance

    def governance(self) -> list[Action]:
        base, ilk = self.rng.choice(BASES), self.rng.choice(ILKS)
        terms, pair = TERMS[ilk], (asset_id(base), asset_id(ilk))
        percent = self.rng.choice([1, 30, 50, 77, 100])
        line = (self.rng.choice([0, 60, 1800, 3600, 2**32 - 1]), percent * WAD // 100, self.rng.choice([1, 50, 71, 100]) * WAD // 100)
        most = self.rng.choice([0, 1, BY_SYMBOL[ilk].unit * 10**6])
        owner = self.rng.choice(OWNERS)
        chosen = [
            [self.act(DEPLOYER, "yield.witch", "setLineAndLimit", *reversed(pair), *line, most)],
            [self.act(DEPLOYER, "yield.witch", "setAuctioneerReward", self.rng.choice([0, 1, WAD // 100, WAD // 7]))],
            [self.act(DEPLOYER, "yield.witch", "setProtected", owner, self.rng.random() < 0.5)],
            [
                self.act(
                    DEPLOYER, "yield.cauldron", "setSpotOracle", *pair, self.net.addresses["yield.spot"], terms.ratio_ppm + percent * 100
                )
            ],
            [
                self.act(
                    DEPLOYER, "yield.cauldron", "setDebtLimits", *pair, 10**9, max(terms.least * percent // 50, 1), BY_SYMBOL[base].decimals
                )
            ],
            [
                self.act(BUYER, "yield.cauldron", "accrual", series_id("USDC matured")),
                self.act(DEPLOYER, "yield.rate", "updatePerSecondRate", asset_id("USDC"), b"RATE\0\0", WAD + self.rng.randrange(10**10)),
            ],
            [self.allow("yield.cauldron", self.net.addresses["yield.witch"], "give", "slurp", on=self.rng.random() < 0.6)],
            [self.allow(f"yield.join.{ilk}", self.net.addresses["yield.witch"], "exit", on=self.rng.random() < 0.6)],
            [self.allow(f"yield.join.{base}", self.net.addresses["yield.witch"], "join", on=self.rng.random() < 0.6)],
        ]
        return self.rng.choice(chosen)

    def usual(self) -> list[Action]:
        """What governance has done is undone, but for the rate."""
        actions = [self.allow("yield.cauldron", self.net.addresses["yield.witch"], "give", "slurp")]
        actions += [self.allow(f"yield.join.{symbol}", self.net.addresses["yield.witch"], "join", "exit") for symbol in (*BASES, *ILKS)]
        for base in BASES:
            for ilk in ILKS:
                terms, pair = TERMS[ilk], (asset_id(base), asset_id(ilk))
                line = (terms.duration_s, terms.vault_percent * WAD // 100, terms.start_ppm * WAD // 10**6)
                actions.append(self.act(DEPLOYER, "yield.witch", "setLineAndLimit", *reversed(pair), *line, 10**6 * BY_SYMBOL[ilk].unit))
                actions.append(self.act(DEPLOYER, "yield.cauldron", "setDebtLimits", *pair, 10**9, terms.least, BY_SYMBOL[base].decimals))
        actions += [self.act(DEPLOYER, "yield.witch", "setProtected", owner, False) for owner in OWNERS]
        return actions

    def gift(self) -> Action:
        """A join gets tokens it did not ask for."""
        return self.act(BUYER, "token.USDC", "transfer", self.net.addresses["yield.join.USDC"], self.rng.randrange(10**9))
