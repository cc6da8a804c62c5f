"""What happened (`interactions = "read"`). Hooks only."""

from __future__ import annotations

from dataclasses import dataclass

from . import wit
from .types import Interaction, read_interaction

_host = wit.Interface("interactions", 'interactions = "read"')


@dataclass
class Page:
    items: list[Interaction]
    next_cursor: str | None
    """Where the next page begins; None on the last one."""


def query(
    *,
    customer_id: str | None = None,
    channel: str | None = None,
    kind: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page:
    """One page of interactions, newest first; `limit` at most 500."""
    filter = _host.shape("Filter")(customer_id, channel, kind, since_ms, until_ms)
    page = _host.call("query", filter, cursor, limit)
    return Page([read_interaction(item) for item in page.items], page.next_cursor)
