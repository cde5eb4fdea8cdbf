"""A new adapter, begun: `keeper adapter new` writes a package that already passes the conformance suite."""

from keeper.scaffold.package import write

__all__ = ["write"]
