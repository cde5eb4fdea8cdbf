"""Errors that carry policy: what happens next is decided by the class, in one place."""

from __future__ import annotations


class KeeperError(Exception):
    """Base of all errors raised on purpose. The message is one line that a user can act on."""


class ConfigError(KeeperError):
    """The user's input is wrong: exit status 2, no traceback."""


class Halt(KeeperError):
    """The keeper cannot go on (disk full, corrupt database, wrong chain): stop, exit status 1."""


class Transient(KeeperError):
    """Worth another try: a node that is away, a time-out, a rate limit."""


class Skip(KeeperError):
    """This candidate is not worth sending, or not legal; the rest go on. `reason` is a short snake_case label for the funnel."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
