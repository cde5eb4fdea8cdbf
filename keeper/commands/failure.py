"""The one place where an error becomes a message and an exit status: 0 ok, 1 failed, 2 bad config or arguments, 130 interrupted."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator

from typer.exceptions import TyperException

from keeper.errors import ConfigError, KeeperError


def report(error: BaseException) -> int:
    """Say on stderr what went wrong, a line for each cause; returns the exit status."""
    causes = list(_leaves(error))
    if any(isinstance(cause, KeyboardInterrupt) for cause in causes):
        return 130
    if any(isinstance(cause, BrokenPipeError) for cause in causes):
        return _mute()
    _say("\n".join(dict.fromkeys(line for cause in causes for line in _message(cause))))
    if os.environ.get("KEEPER_DEBUG"):
        _say("".join(traceback.format_exception(error)))
    return 2 if any(isinstance(cause, ConfigError | TyperException) for cause in causes) else 1


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside a task group's, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _message(error: BaseException) -> Iterator[str]:
    if isinstance(error, TyperException):
        yield from _usage(error)
    elif isinstance(error, KeeperError):
        yield from (f"keeper: {line}" for line in str(error).splitlines())
    elif isinstance(error, OSError) and error.strerror:
        yield f"keeper: {error.filename}: {error.strerror}" if error.filename else f"keeper: {error.strerror}"
    else:
        text = " ".join(str(error).split())
        yield f"keeper: {type(error).__name__}: {text[:200]}"
        yield "keeper: this is a bug; run again with KEEPER_DEBUG=1 for the details to report"


def _usage(error: TyperException) -> Iterator[str]:
    """A mistake on the command line. The message is empty when the help has been printed instead."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "keeper"
    if message := str(error.format_message()):
        yield f"{command}: {message} (see {command} -h)"


def _say(text: str) -> None:
    from keeper.secret import redact

    if text:
        print(redact(text.rstrip()), file=sys.stderr)


def _mute() -> int:
    """Nothing more to say, not even at the interpreter's last flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
