"""Is the daemon alive? It touches a file at every block; a container's health check looks at the file's age.

`python -m keeper.monitor.health DATA_DIR` exits 0 or 1 and imports next to nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Final

FILE: Final = "heartbeat"
MAX_AGE_S: Final = 120.0


def touch(data_dir: Path) -> None:
    """Leave a sign of life. Raises OSError."""
    (data_dir / FILE).touch()


def age_s(data_dir: Path, now_s: float) -> float | None:
    """Seconds since the last sign of life; None if there never was one."""
    try:
        return now_s - (data_dir / FILE).stat().st_mtime
    except OSError:
        return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="keeper.monitor.health", description="Exit 0 if the daemon gave a sign of life lately.")
    parser.add_argument("data_dir", nargs="?", type=Path, default=Path(os.environ.get("KEEPER_DATA_DIR", "data")))
    parser.add_argument("--max-age", type=float, default=MAX_AGE_S, metavar="SECONDS")
    options = parser.parse_args(arguments)
    return _report(age_s(options.data_dir, time.time()), options.max_age)


def _report(age: float | None, limit: float) -> int:
    healthy = age is not None and age <= limit
    state = "no sign of life yet" if age is None else f"last sign of life {age:.0f} s ago"
    print(f"{'healthy' if healthy else 'unhealthy'}: {state} (limit {limit:.0f} s)")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
