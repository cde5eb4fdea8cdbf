"""For who writes adapters: the conformance suite. `faults` and `traffic` are fakes of the world around a keeper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keeper.testing.adapter.attempt import attempt
    from keeper.testing.adapter.case import Case
    from keeper.testing.adapter.deployment import Deployment, Transaction
    from keeper.testing.adapter.expect import Nonconformity
    from keeper.testing.adapter.life import live
    from keeper.testing.adapter.node import Node
    from keeper.testing.adapter.suite import AdapterSuite

__all__ = ["AdapterSuite", "Case", "Deployment", "Node", "Nonconformity", "Transaction", "attempt", "live"]

_WHERE = {
    "Transaction": "deployment",
    "AdapterSuite": "suite",
    "Case": "case",
    "Deployment": "deployment",
    "Node": "node",
    "Nonconformity": "expect",
    "attempt": "attempt",
    "live": "life",
}


def __getattr__(name: str) -> Any:
    """Late: the suite needs pytest, which a keeper that runs does not have."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.adapter.{_WHERE[name]}"), name)
