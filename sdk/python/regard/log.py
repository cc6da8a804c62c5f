"""The host's structured log, under the plugin's name. Anyone may write to it; lines and bytes of a call are bounded."""

from __future__ import annotations

import json
from typing import Any

from . import wit

_host = wit.Interface("log")


def _say(level: str, message: str, fields: dict[str, Any]) -> None:
    shown = [
        (name, value if isinstance(value, str) else json.dumps(value, default=str)) for name, value in fields.items()
    ]
    _host.call("write", _host.shape("Level")[level], message, shown)


def trace(message: str, **fields: Any) -> None:
    _say("TRACE", message, fields)


def debug(message: str, **fields: Any) -> None:
    _say("DEBUG", message, fields)


def info(message: str, **fields: Any) -> None:
    _say("INFO", message, fields)


def warn(message: str, **fields: Any) -> None:
    _say("WARN", message, fields)


def error(message: str, **fields: Any) -> None:
    _say("ERROR", message, fields)
