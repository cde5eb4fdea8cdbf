"""Where the figures were made: a figure without its machine says nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from keeper import __version__
from keeper.devnet.install import lock

CPUS = Path("/proc/cpuinfo")
ANVIL = "node_modules/@foundry-rs/anvil"
GB = 1e9


def machine() -> dict[str, Any]:
    """CPU model, cores this process may use, memory, and the load of the last minute."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GB, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    found = {"keeper": __version__, "python": platform.python_version()}
    packages = {name: version(name) for name in ("numpy", "eth-account", "eth-abi", "coincurve")}
    return found | packages | {"anvil": _anvil()}


def _anvil() -> str:
    """The one that devnets run, whether or not this run starts any."""
    return str(orjson.loads(lock())["packages"][ANVIL]["version"])


def _cpu() -> str:
    if CPUS.exists():
        for line in CPUS.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
