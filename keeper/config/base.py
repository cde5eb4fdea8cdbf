"""What every table of the settings is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from keeper.config.fields import refuse


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


def refuse_twins(rule: str, key: str, values: Iterable[object]) -> None:
    twins = [value for value, count in Counter(values).items() if count > 1]
    if twins:
        raise refuse(f"{rule}, was given {twins[0]!r} more than once", key)
