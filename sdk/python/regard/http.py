"""HTTP to the hosts that the manifest names (`hosts = ["api.example.com"]`) and the operator granted.

Redirects are checked again; private and loopback addresses are refused unless granted by address.
"""

from __future__ import annotations

import json as _json
from dataclasses import dataclass
from typing import Any, Mapping

from . import wit

_host = wit.Interface("http", 'hosts = ["api.example.com"]')


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    """Names are lower-case; several lines of one name are several entries."""
    body: bytes

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return _json.loads(self.body)


def send(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | str = b"",
    timeout_ms: int | None = None,
) -> Response:
    """Sends a request and waits for the answer, whatever its status."""
    sent = body.encode() if isinstance(body, str) else bytes(body)
    request = _host.shape("Request")(method, url, list((headers or {}).items()), sent, timeout_ms)
    answer = _host.call("send", request)
    return Response(answer.status, answer.headers, answer.body)
