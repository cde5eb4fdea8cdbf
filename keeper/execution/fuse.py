"""Whether transactions may be sent: the kill switch, and the breakers that throw it."""

from __future__ import annotations

from collections.abc import Callable

from keeper.errors import Halt
from keeper.execution.breakers import DAY_S, Breakers, tripped
from keeper.execution.haltfile import HaltFile
from keeper.ledger.ledger import Ledger
from keeper.log import get_logger
from keeper.types import Head

_log = get_logger("fuse")


class Fuse:
    """Of one chain. `tell`: hears why nothing is sent, "" when it is again; only of a change."""

    def __init__(self, file: HaltFile, breakers: Breakers, ledger: Ledger, tell: Callable[[str], None]) -> None:
        self._file, self._breakers, self._ledger, self._tell = file, breakers, ledger, tell
        self._told, self._unwritten = "", ""

    def why(self) -> str:
        """Why nothing may be sent; "": it may."""
        why = self._file.why() or self._unwritten
        if why != self._told:
            self._told = why
            self._tell(why)
        return why

    async def judge(self, head: Head) -> None:
        """Do the breakers have to act on what has landed by now?"""
        rows = await self._ledger.rows(after=self._file.counted(), since_s=head.timestamp_s - DAY_S)
        if found := tripped(self._breakers, rows, head.timestamp_s):
            self.blow(found)

    def blow(self, why: str) -> None:
        """Stop. Where there is no room for the file it holds until the process ends; the ledger then says the same to the next one."""
        try:
            self._file.halt(why)
        except Halt as error:
            if not self._unwritten:
                _log.error("halt_not_written", reason=str(error))
            self._unwritten = why
        self.why()
