"""What Python lacks inside a plugin, put in place when an instance begins.

A component has no files, no streams, no clock and no environment but the host's functions. Where Python would ask the system it
would only stop, so what can be answered is answered here, and what cannot says why.
"""

from __future__ import annotations

import io
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import BuiltinImporter, FrozenImporter
from typing import Any, Callable, Sequence

from . import log, wit

# Modules that the standard library imports only when it needs them, which is too late here.
import _strptime  # type: ignore[import-not-found]  # noqa: F401
import atexit  # noqa: F401
import calendar  # noqa: F401
import decimal  # noqa: F401
import locale  # noqa: F401
import string  # noqa: F401
import unicodedata  # noqa: F401
import encodings.ascii  # noqa: F401
import encodings.idna  # noqa: F401
import encodings.latin_1  # noqa: F401


class _Lines(io.TextIOBase):
    """A stream whose lines go to the host's log."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write(line)
        return len(text)

    def flush(self) -> None:
        """Lines are whole; a rest waits for its end."""


class _NoFiles(MetaPathFinder):
    """Says why a module that was not there when the component was built cannot come later."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> None:
        raise ModuleNotFoundError(
            f"cannot import {name} while the plugin runs: there are no files; import it at the top of a module", name=name
        )


def enter() -> None:
    """Called once on each new instance, before the plugin's own code."""
    sys.stdout = _Lines(log.info)
    sys.stderr = _Lines(log.warn)
    # What is inside the interpreter still loads; what would come from a file does not.
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, _NoFiles()]
    _tell_time()


def _tell_time() -> None:
    """`time.time()` and its kin ask the host's clock, which an evaluator does not have."""
    host = wit.Interface("clock")

    def milliseconds() -> int:
        try:
            now: int = host.call("now_ms")
        except ImportError:
            raise RuntimeError("an evaluator has no clock: its time is the as-of of `finish`") from None
        return now

    for name in ("time", "monotonic", "perf_counter"):
        setattr(time, name, lambda: milliseconds() / 1000)
        setattr(time, f"{name}_ns", lambda: milliseconds() * 1_000_000)
