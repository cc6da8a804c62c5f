"""Bytes that the plugin keeps between calls (`kv = true`).

What a call writes becomes durable together with its other effects, or not at all when the call fails.
"""

from __future__ import annotations

import json
from typing import Any

from . import wit

_host = wit.Interface("kv", "kv = true")


def get(key: str) -> bytes | None:
    """What is kept under `key`."""
    value: bytes | None = _host.call("get", key)
    return value


def set(key: str, value: bytes | str) -> None:
    _host.call("set", key, value.encode() if isinstance(value, str) else bytes(value))


def delete(key: str) -> None:
    _host.call("delete", key)


def keys(prefix: str, *, after: str | None = None, limit: int = 100) -> list[str]:
    """Keys that begin with `prefix`, ascending, from the one after `after` on; `limit` at most 1000."""
    found: list[str] = _host.call("keys", prefix, after, limit)
    return found


def get_json(key: str) -> Any:
    """What `set_json` kept, or None."""
    value = get(key)
    return None if value is None else json.loads(value)


def set_json(key: str, value: Any) -> None:
    set(key, json.dumps(value))
