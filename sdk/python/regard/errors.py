"""Errors with the contract's codes."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "invalid",
    "denied",
    "not-found",
    "conflict",
    "throttled",
    "unavailable",
    "unsupported",
    "exhausted",
    "failed",
]
"""The codes of the contract. A later host may add some: treat an unknown one as `failed`."""


class Error(Exception):
    """An error of the contract.

    Raised out of a plugin's function it is a report: the host acts on its code, and the plugin is well. Any other exception
    counts as a crash. The host's functions raise it too.

        raise regard.Error("throttled", "the shop wants fewer calls", retry_after_ms=1500)
    """

    code: Code
    message: str
    retry_after_ms: int | None
    """After how many milliseconds another try makes sense."""

    def __init__(self, code: Code, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
