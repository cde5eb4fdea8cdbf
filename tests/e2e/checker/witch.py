"""Fixed-rate vaults and their auctions: vaults that may be auctioned, for the fee, and auctions that may be taken, at ten amounts.

An auction is worth to its starter what a buyer of all of it in that very block would leave him: the least there can be, as ever more of
the collateral is offered.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.devnet import Devnet
from keeper.devnet.genesis.yields import ASSETS, account_of
from keeper.devnet.names import BENEFICIARY, DEPLOYER
from keeper.types import ZERO_ADDRESS, Address
from tests.e2e.calls import Call, allowing
from tests.e2e.checker.block import Block, ok
from tests.e2e.checker.position import Position, shares

MARKET, CAULDRON, WITCH = "yield", "yield.cauldron", "yield.witch"
BUILT = "VaultBuilt(bytes12,address,bytes6,bytes6)"
MOST = 2**128 - 1


@dataclass(frozen=True, slots=True)
class Take:
    """Buys collateral of a live auction for so much of the base."""

    market: str
    account: Address
    debt: Address
    collateral: Address
    cover: int
    kind: str = "buy"
    promised: tuple[tuple[Address, int], ...] = ()

    def calls(self, net: Devnet, who: Address) -> list[Call]:
        join = net.addresses[f"yield.join.{_symbol(net, self.debt)}"]
        data = net.encode(WITCH, "payBase", vault_of(self.account), who, 0, self.cover)
        return allowing(net, self.debt, join, Call(net.addresses[WITCH], data))

    def awaiting(self, net: Devnet) -> Call | None:
        return None


@dataclass(frozen=True, slots=True)
class Start:
    """Puts a vault up for auction, in the beneficiary's name."""

    market: str
    account: Address
    debt: Address
    collateral: Address
    promised: tuple[tuple[Address, int], ...] = ()
    cover: int = 0
    kind: str = "start"

    def calls(self, net: Devnet, who: Address) -> list[Call]:
        return [Call(net.addresses[WITCH], net.encode(WITCH, "auction", vault_of(self.account), BENEFICIARY))]

    def awaiting(self, net: Devnet) -> Call | None:
        return None


def vault_of(account: Address) -> bytes:
    return bytes.fromhex(account[2:26])


async def positions(block: Block) -> list[Position]:
    """Vaults on auction, and those under water."""
    vaults = await _vaults(block)
    auctions = await block.read([(WITCH, "auctions", vault) for vault in vaults])
    live = {vault: auction for vault, auction in zip(vaults, auctions, strict=True) if auction[0] != ZERO_ADDRESS}
    rest = [vault for vault in vaults if vault not in live]
    levels = await block.read([(CAULDRON, "level", vault) for vault in rest])
    under = [vault for vault, (level,) in zip(rest, levels, strict=True) if level < 0]
    return [*[await _on_auction(block, vault, auction) for vault, auction in live.items()], *await _under_water(block, under)]


async def _vaults(block: Block) -> list[bytes]:
    logs = await block.logs(CAULDRON, BUILT)
    ids = sorted({bytes.fromhex(log["topics"][1][2:26]) for log in logs})
    owners = await block.read([(CAULDRON, "vaults", vault) for vault in ids])
    return [vault for vault, (owner, *_) in zip(ids, owners, strict=True) if owner != ZERO_ADDRESS]


async def _on_auction(block: Block, vault: bytes, auction: tuple[Address, int, bytes, int, int, Address, bytes, bytes]) -> Position:
    _, _, base_id, ink, art, _, ilk_id, series_id = auction
    ((owed,),) = await block.read([(CAULDRON, "debtToBase", series_id, art)])
    base, ilk, account = _token(block.net, base_id), _token(block.net, ilk_id), account_of("0x" + vault.hex())
    deeds = tuple(Take(MARKET, account, base, ilk, amount) for amount in (*shares(owed), MOST))
    return Position(MARKET, account, {ilk: ink}, {base: owed}, deeds)


async def _under_water(block: Block, vaults: list[bytes]) -> list[Position]:
    witch, most = block.net.addresses[WITCH], 2**256 - 1
    asked = [
        [
            Call(witch, block.net.encode(WITCH, "auction", vault, BENEFICIARY)),
            Call(witch, block.net.encode(WITCH, "calcPayout", vault, DEPLOYER, most)),
        ]
        for vault in vaults
    ]
    results = await block.run(DEPLOYER, asked)
    contents = await block.read([(CAULDRON, function, vault) for vault in vaults for function in ("vaults", "balances")])
    series = await block.read([(CAULDRON, "series", owned[1]) for owned in contents[::2]])
    return [
        _startable(block.net, vault, _token(block.net, base_id), _token(block.net, ilk_id), (art, ink), _cut(block.net, started))
        for vault, (_, _, ilk_id), (art, ink), (_, base_id, _), started in zip(
            vaults, contents[::2], contents[1::2], series, results, strict=True
        )
    ]


def _cut(net: Devnet, results: list[dict[str, str]]) -> int:
    """Of whoever started it; 0 where it cannot be started: its owner is protected, or too much is on auction already."""
    if not all(map(ok, results)):
        return 0
    cut: int = net.contract(WITCH).decode("calcPayout", 3, bytes.fromhex(results[1]["returnData"][2:]))[1]
    return cut


def _startable(net: Devnet, vault: bytes, base: Address, ilk: Address, held: tuple[int, int], cut: int) -> Position:
    account, (art, ink) = account_of("0x" + vault.hex()), held
    deeds = (Start(MARKET, account, base, ilk, ((ilk, cut),)),) if cut else ()
    return Position(MARKET, account, {ilk: ink}, {base: art}, deeds)


def _token(net: Devnet, asset_id: bytes) -> Address:
    symbols = {asset.ljust(6, b"\0"): symbol for symbol, asset in ASSETS.items()}
    return net.addresses[f"token.{symbols[asset_id]}"]


def _symbol(net: Devnet, token: Address) -> str:
    return next(symbol for symbol in ASSETS if net.addresses[f"token.{symbol}"] == token)
