"""The host's clock, virtual in simulations and tests. Hooks and connectors have one, evaluators do not."""

from __future__ import annotations

from datetime import datetime

from . import wit
from .values import from_ms

_host = wit.Interface("clock")


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    milliseconds: int = _host.call("now_ms")
    return milliseconds


def now() -> datetime:
    """The same as a `datetime` in UTC; `datetime.now()` knows no time inside a plugin."""
    return from_ms(now_ms())
