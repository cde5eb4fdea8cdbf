"""RPC URLs carry credentials, and nodes echo them in their errors: strike them out before anything is shown."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

SHORTEST_SECRET = 6


class Scrubber:
    """Replaces a URL and whatever in it may be a secret (user, password, path parts, query values) by `***`."""

    def __init__(self, url: str) -> None:
        found = {url, *(text for text in _parts(url) if len(text) >= SHORTEST_SECRET)}
        self._secrets = sorted(found | {unquote(text) for text in found}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _parts(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        user, password = parts.username or "", parts.password or ""
    except ValueError:
        return []
    return [parts.netloc, user, password, *re.split("[/]", parts.path), *re.split("[&=]", parts.query)]
