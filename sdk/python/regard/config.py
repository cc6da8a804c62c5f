"""The plugin's configuration and secrets."""

from __future__ import annotations

import json as _json
from typing import Any

from . import wit
from .errors import Error

_host = wit.Interface("config")


def json() -> dict[str, Any]:
    """The configuration, which the host has checked against the manifest's schema and filled up with its defaults."""
    settings: dict[str, Any] = _json.loads(_host.call("json"))
    return settings


def secret(name: str) -> str:
    """A secret of the channel in whose name the call runs, else one of the plugin.

    `denied` when the manifest's `permissions.secrets` does not name it or the operator did not grant it, `not-found` when it is
    not set.
    """
    value: str = _host.call("secret", name)
    return value


def optional_secret(name: str) -> str | None:
    """The same for a secret that may be missing."""
    try:
        return secret(name)
    except Error as error:
        if error.code == "not-found":
            return None
        raise
