"""The terminal view of a running keeper: prices, the funnel of the newest block, what was earned. Rendered from what listeners are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from keeper.ledger.settle import Settled
from keeper.pipeline import BlockReport
from keeper.types import Address, Outcome, Verdict

FRAME_LINES = 22
"""Lines of the view that are not transactions: the rest of the terminal's height is theirs."""

WIDE = 110
STYLES = {Verdict.WON: "green", Verdict.DRY: "cyan", Verdict.PENDING: "yellow", Verdict.LOST: "magenta", Verdict.REVERTED: "red"}


class View:
    """Feed it with `block`, `outcomes`, `settled` and `prices`; it is a rich renderable. `symbols`: token → name."""

    def __init__(self, title: str, symbols: Mapping[Address, str]) -> None:
        self._title = title
        self._symbols = symbols
        self._phase = ""
        self._start: dict[str, int] = {}
        self._prices: dict[str, int] = {}
        self._report: BlockReport | None = None
        self._settled: list[Settled] = []
        self._dry: dict[tuple[str, Address], Outcome] = {}

    # --- what happens

    def phase(self, name: str) -> None:
        self._phase = name

    def prices(self, prices: Mapping[str, int]) -> None:
        """USD with 8 decimals."""
        self._prices = dict(prices)
        self._start = self._start or dict(prices)

    def block(self, chain: str, report: BlockReport) -> None:
        self._report = report

    def outcomes(self, chain: str, outcomes: Sequence[Outcome]) -> None:
        self._dry.update({(o.market, o.account): o for o in outcomes if o.verdict is Verdict.DRY})

    def settled(self, chain: str, settled: Sequence[Settled]) -> None:
        self._settled += settled

    # --- what is seen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = Columns([self._price_table(), self._funnel()], padding=(0, 4))
        rows = max(3, console.height - FRAME_LINES)
        body = Group(self._totals(), head, self._transactions(rows, console.width >= WIDE))
        yield Panel(body, title=self._headline(), title_align="left", padding=(0, 1))

    def _headline(self) -> str:
        block = f"block {self._report.head.number}" if self._report else "starting"
        return f"[bold]{self._title}[/] · {block} · {self._phase}"

    def _price_table(self) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in ("token", "usd", "change"):
            table.add_column(name, justify="left" if name == "token" else "right")
        for symbol, price in self._prices.items():
            change = price / self._start[symbol] - 1
            style = "red" if change < -0.005 else "green" if change > 0.005 else "dim"
            table.add_row(symbol, f"{price / 10**8:,.2f}", Text(f"{change:+.1%}", style))
        return table

    def _funnel(self) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("this block")
        table.add_column("", justify="right")
        if self._report:
            table.add_row("liquidatable", str(self._report.candidates))
            funnel = Counter((o.verdict, o.reason or str(o.verdict)) for o in self._report.outcomes)
            for (verdict, reason), count in sorted(funnel.items()):
                table.add_row(Text(reason, STYLES.get(verdict, "dim")), str(count))
            table.add_row("head to sent", f"{self._report.seconds * 1000:.0f} ms")
        return table

    def _transactions(self, rows: int, wide: bool) -> Table:
        """The newest first; a narrow terminal does without the way of funding."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
        table.add_column("block", justify="right")
        for name in ("market", "account", "repaid ← seized", *(["with"] if wide else [])):
            table.add_column(name, no_wrap=True)
        table.add_column("net eth", justify="right", no_wrap=True)
        table.add_column("exact", no_wrap=True)
        for item in self._settled[: -rows - 1 : -1]:
            table.add_row(*self._row(item, wide))
        return table

    def _row(self, item: Settled, wide: bool) -> tuple[RenderableType, ...]:
        plan = item.landed.plan
        pair = f"{self._symbol(plan.debt_token)} ← {self._symbol(plan.collateral_token)}"
        verdict = Text("yes", "green") if item.exact else Text("NO", "bold red")
        if item.verdict is not Verdict.WON:
            verdict = Text(f"{item.verdict}: {item.reason}", STYLES.get(item.verdict, ""))
        net = Text(f"{item.net_wei / 10**18:+.5f}", "green" if item.net_wei > 0 else "red")
        way = (str(plan.funding.kind),) if wide else ()
        return str(item.head.number), plan.market, plan.account[:10] + "…", pair, *way, net, verdict

    def _totals(self) -> Text:
        if self._dry:
            net = sum(outcome.net_wei for outcome in self._dry.values()) / 10**18
            return Text(f"{len(self._dry)} accounts would have been liquidated, netting {net:+.4f} eth; nothing was sent", "cyan")
        won = [item for item in self._settled if item.verdict is Verdict.WON]
        net = sum(item.net_wei for item in self._settled) / 10**18
        lost = len(self._settled) - len(won)
        return Text(f"{len(won)} liquidations won, {lost} lost · net {net:+.4f} eth after gas", "bold")

    def _symbol(self, token: Address) -> str:
        return self._symbols.get(token, token[:8])
