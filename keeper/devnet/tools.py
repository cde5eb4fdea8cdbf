"""Node and npm as commands: found on the PATH, run, and their failures told in a line."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from keeper.errors import KeeperError

NULL = Path(os.devnull)

Report = Callable[[str], None]


def tool(name: str) -> str:
    """Its path. Raises KeeperError when it is not installed."""
    if found := shutil.which(name):
        return found
    raise KeeperError(f"the devnet needs {name}, which is not on the PATH: install Node.js 20 or newer with npm")


async def run(command: list[str], cwd: Path, stdin: Path = NULL, stdout: Path = NULL) -> None:
    """Raises KeeperError with the reason when it fails."""
    # files, not pipes: solcjs reads and writes its standard streams in one go, and Node's pipes lose what does not fit
    with stdin.open("rb") as source, stdout.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdin=source, stdout=sink, stderr=asyncio.subprocess.PIPE)
        try:
            _, errors = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
    if process.returncode:
        raise KeeperError(f"{Path(command[0]).name} failed with status {process.returncode}: {_reason(errors.decode(errors='replace'))}")


def _reason(errors: str) -> str:
    lines = [line.removeprefix("npm error").strip() for line in errors.splitlines() if "warn" not in line]
    return next((line for line in lines if line and not line.startswith("code ")), "no message")
