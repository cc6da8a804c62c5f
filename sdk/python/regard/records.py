"""Records of the types that the plugin declares with `[[records]]`, and of other plugins' types that it was granted.

Hooks and migrations only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from . import wit
from .values import Attributes, write_attributes

_host = wit.Interface("records", 'records = { case = "read" }', "declare a type with [[records]], or ")


@dataclass
class Entry:
    """A record; `data` is valid against the type's schema."""

    id: str
    customer_id: str | None
    data: dict[str, Any]
    version: int
    created_at_ms: int
    updated_at_ms: int


@dataclass
class Page:
    items: list[Entry]
    next_cursor: str | None
    """Where the next page begins; None on the last one."""


def get(kind: str, id: str) -> Entry | None:
    """A record, with what this call has changed."""
    entry = _host.call("get", kind, id)
    return None if entry is None else _read(entry)


def query(
    kind: str,
    *,
    customer_id: str | None = None,
    equal: Attributes | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page:
    """One page of records, newest first; `limit` at most 500.

    `equal` has values that indexed fields must have. Sees what is stored, not what this call has changed.
    """
    filter = _host.shape("Filter")(customer_id, write_attributes(equal))
    page = _host.call("query", kind, filter, cursor, limit)
    return Page([_read(item) for item in page.items], page.next_cursor)


def create(kind: str, customer_id: str | None, data: dict[str, Any]) -> Entry:
    """Makes a record.

    `invalid` when the schema refuses the data, `conflict` when another record has the value of a unique field.
    """
    return _read(_host.call("create", kind, customer_id, json.dumps(data)))


def update(kind: str, id: str, version: int, data: dict[str, Any]) -> Entry:
    """Replaces the data; `conflict` when `version` is no longer the stored one."""
    return _read(_host.call("update", kind, id, version, json.dumps(data)))


def delete(kind: str, id: str, version: int) -> None:
    _host.call("delete", kind, id, version)


def _read(entry: Any) -> Entry:
    return Entry(
        id=entry.id,
        customer_id=entry.customer_id,
        data=json.loads(entry.data),
        version=entry.version,
        created_at_ms=entry.created_at_ms,
        updated_at_ms=entry.updated_at_ms,
    )
