"""When an image of the columns is taken, and from when on it is relied on.

Changed cells are logged with a number, the epoch. An image begins a new one: it has all that was logged before, and what it has of later
ones is overruled by the log. It may have seen changes that were not saved when it was finished; the save after that keeps them too, and
so it is that save which names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from keeper.book.image import Image, sweep, take
from keeper.book.state import Tables
from keeper.errors import Halt
from keeper.log import get_logger
from keeper.storage.database import uncancelled

LOG_CELLS = 50_000
"""A log of less is read in half a second."""

LOG_SHARE = 64
"""… and of a large book it may be this part: an image is not written for every few blocks of a back-fill."""

_log = get_logger("book")


class Images:
    """The images of one book. `epoch`: of a cell changed now; `ready`: an image for the next save to name."""

    def __init__(self, book: Path, log_cells: int) -> None:
        self.epoch = 0
        self.ready: Image | None = None
        self._book, self._log_cells = book, log_cells
        self._tables = Tables()
        self._named: Image | None = None
        self._logged = self._logged_before = self._postponed = 0
        self._taking: asyncio.Task[None] | None = None

    async def resume(self, tables: Tables, named: Image | None, log: Sequence[Any]) -> None:
        """Go on from what is stored."""
        self._tables, self._named, self._logged = tables, named, len(log)
        self.epoch = max((row.epoch for row in log), default=named.since if named else 0)
        with suppress(OSError):
            await self._sweep()

    def saved(self, image: Image | None, logged: int) -> None:
        """A save is done; it named this image, if any."""
        self._logged += logged
        if image:
            self._named, self.ready = image, None
            self._logged, self._postponed = self._logged - self._logged_before, 0
        if not self._taking and not self.ready and self._logged > max(self._enough(), self._postponed):
            self._taking = asyncio.create_task(self._take_aside(), name="image")

    async def take_now(self) -> None:
        """For the next save. Raises Halt when there is no room."""
        await self.close()
        try:
            await self._take()
        except OSError as error:
            raise Halt(f"{self._book} cannot be written ({error.strerror}): make room and restart; nothing was half-written") from None

    async def close(self) -> None:
        """Break off."""
        if self._taking:
            self._taking.cancel()
            with suppress(asyncio.CancelledError):
                await self._taking
            self._taking = None

    def _enough(self) -> int:
        return max(self._log_cells, sum(columns.count for columns in self._tables.columns.values()) // LOG_SHARE)

    async def _take_aside(self) -> None:
        """A disk without room for it has room for the log, as it seems: go on with that, and try again later."""
        try:
            await self._take()
        except OSError as error:
            self._postponed = self._logged + self._enough()
            _log.warning("image_not_written", book=str(self._book), reason=error.strerror)
        finally:
            self._taking = None

    async def _take(self) -> None:
        self.epoch += 1
        self.ready, self._logged_before = None, self._logged
        image = self._book.with_name(f"{self._book.stem}.{self.epoch}.image")
        since = self.epoch
        await self._sweep()
        self.ready = Image(image.name, since, await take(self._tables, image))

    async def _sweep(self) -> None:
        """An image that was replaced stays until the next one: its successor's name may not be on the disk yet."""
        await uncancelled(asyncio.to_thread(sweep, self._book, self._named.name if self._named else None))
