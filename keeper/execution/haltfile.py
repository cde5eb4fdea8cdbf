"""The kill switch: a file. Who makes it, by whatever means, stops everything that would be sent; only `keeper resume` takes it away.

It lies beside the databases of its chain, so that it outlives the process, and says why in a line that anybody can read.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from keeper.errors import Halt

HALT, RESUMED = "HALT", "RESUMED"
BY_HAND = "somebody made the file"


class HaltFile:
    """Of one chain. `folder`: where its data are."""

    def __init__(self, folder: Path) -> None:
        self._halt, self._resumed = folder / HALT, folder / RESUMED

    def why(self) -> str:
        """Why nothing may be sent; "": it may. A file that cannot be read is there all the same."""
        try:
            return self._halt.read_text(errors="replace").strip() or BY_HAND
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError:
            return BY_HAND

    def halt(self, why: str) -> None:
        """The first reason stands. Raises Halt when the file cannot be made."""
        try:
            self._halt.parent.mkdir(parents=True, exist_ok=True)
            with self._halt.open("x") as file:
                file.write(f"{why}\n")
        except FileExistsError:
            if not self.why():
                raise Halt(f"{self._halt.parent} is no folder") from None
        except OSError as error:
            raise Halt(f"{self._halt}: {error.strerror}") from None

    def resume(self, counted: int) -> str:
        """Let go on, as if nothing had been sent before: rows of the ledger up to `counted` no longer speak. Returns why it had stopped.
        Raises Halt when the files cannot be changed."""
        why = self.why()
        try:
            if why:
                self._resumed.write_text(f"{counted}\n")
                self._halt.unlink(missing_ok=True)
        except OSError as error:
            raise Halt(f"{error.filename}: {error.strerror}") from None
        return why

    def counted(self) -> int:
        """The newest row of the ledger when it was resumed last; 0 if it never was."""
        with suppress(OSError, ValueError):
            return int(self._resumed.read_text())
        return 0
