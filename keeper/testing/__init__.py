"""For who writes adapters: the conformance suite. `faults` and `traffic` are fakes of the world around a keeper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keeper.testing.adapter.deployment import Action, Deployment
    from keeper.testing.adapter.expect import Nonconformity
    from keeper.testing.adapter.node import Node
    from keeper.testing.adapter.suite import AdapterSuite

__all__ = ["Action", "AdapterSuite", "Deployment", "Node", "Nonconformity"]

_WHERE = {"Action": "deployment", "AdapterSuite": "suite", "Deployment": "deployment", "Node": "node", "Nonconformity": "expect"}


def __getattr__(name: str) -> Any:
    """Late: the suite needs pytest, which a keeper that runs does not have."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.adapter.{_WHERE[name]}"), name)
