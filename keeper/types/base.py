"""Names and keys: what everything else is made of."""

from __future__ import annotations

from typing import NewType

Address = NewType("Address", str)
"""20 bytes as lower-case 0x-hex (42 characters)."""

Hash = NewType("Hash", str)
"""32 bytes as lower-case 0x-hex (66 characters)."""

Key = tuple[int | str, ...]
"""A row's key inside a table."""

Cell = tuple[str, Key]
"""(table, key)"""

Write = tuple[str, Key, int]
"""(table, key, new value). Zero is absence, as in contract storage."""

Factor = tuple[str, ...]
"""Name of one risk factor: a number that moves without the account acting."""

ZERO_ADDRESS = Address("0x" + "0" * 40)
