"""Attributes: plain Python values in place of the contract's variants."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias, Union

from . import wit

Value: TypeAlias = Union[None, bool, int, float, str, datetime, list[Any], dict[str, Any]]
"""The value of an attribute; a `datetime` is an instant, lists and dicts are JSON."""

Attributes: TypeAlias = dict[str, Value]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """The instant, in UTC."""
    return _EPOCH + milliseconds * _MILLISECOND


def to_ms(instant: datetime) -> int:
    """Milliseconds since the Unix epoch; an instant without a time zone is taken for UTC."""
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=timezone.utc)
    return (aware - _EPOCH) // _MILLISECOND


def read_value(value: Any) -> Value:
    kind = type(value).__name__
    if kind == "Value_Null":
        return None
    if kind == "Value_TimestampMs":
        return from_ms(value.value)
    if kind == "Value_Json":
        parsed: Value = json.loads(value.value)
        return parsed
    plain: Value = value.value
    return plain


def write_value(value: Value) -> Any:
    types = wit.types()
    if value is None:
        return types.Value_Null()
    # A bool is an int too.
    if isinstance(value, bool):
        return types.Value_Boolean(value)
    if isinstance(value, int):
        return types.Value_Integer(value)
    if isinstance(value, float):
        return types.Value_Number(value)
    if isinstance(value, str):
        return types.Value_Text(value)
    if isinstance(value, datetime):
        return types.Value_TimestampMs(to_ms(value))
    return types.Value_Json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def read_attributes(attributes: list[tuple[str, Any]]) -> Attributes:
    return {name: read_value(value) for name, value in attributes}


def write_attributes(attributes: Attributes | None) -> list[tuple[str, Any]]:
    return [(name, write_value(value)) for name, value in (attributes or {}).items()]
