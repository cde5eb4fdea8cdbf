"""Two keepers on one data folder would hand out the same nonces: the second one is turned away."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from keeper.errors import Halt


class FileLock:
    """An exclusive lock beside a file, held until `release` or the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Create the folder if need be and take the lock. Raises Halt when it is taken or cannot be made."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Halt(f"data folder {path.parent} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._fd, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise Halt(f"{path} is in use by another keeper (process {owner}): stop it, or use another data_dir") from None
        self._sign(path)

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _sign(self, path: Path) -> None:
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)
        except OSError as error:
            self.release()
            raise Halt(f"{path} cannot be locked, {error.strerror}: make room and restart; nothing was changed") from None
