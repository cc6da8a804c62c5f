"""The contract's bindings, which the build makes for each plugin.

They have what the plugin's manifest asks for and exist only inside a component, so they are looked up by name and late:
outside, in unit tests, everything but the host's functions works.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Callable

from .errors import Error


def types() -> Any:
    """The shapes that all capabilities share."""
    return importlib.import_module("wit_world.imports.types")


def exports(interface: str) -> Any:
    """The shapes of an exported interface."""
    return importlib.import_module(f"wit_world.exports.{interface}")


def err(error: Error) -> BaseException:
    """The error as the contract's functions raise it."""
    wrap: Callable[[Any], BaseException] = importlib.import_module("componentize_py_types").Err
    return wrap(types().Error(error.code, error.message, error.retry_after_ms))


class Interface:
    """An interface of the host, whose functions raise `Error`."""

    used: list[Interface] = []
    """Those that the plugin's modules import; the build checks that the manifest asks for them."""

    def __init__(self, name: str, permission: str | None = None, otherwise: str = "") -> None:
        """`otherwise` is what an author may do instead of asking for the permission."""
        self.name = name
        self.permission = permission
        self.otherwise = otherwise
        Interface.used.append(self)

    def check(self) -> None:
        """Raises unless the component has the interface."""
        self._module()

    def shape(self, name: str) -> Any:
        """A record of the interface."""
        return getattr(self._module(), name)

    def call(self, function: str, *arguments: Any) -> Any:
        """Calls a function; what the host reports is raised as an `Error`."""
        call = getattr(self._module(), function)
        try:
            return call(*arguments)
        except Exception as failed:
            reported = getattr(failed, "value", None)
            if reported is None or not hasattr(reported, "retry_after_ms"):
                raise
            error = Error(reported.code, reported.message, retry_after_ms=reported.retry_after_ms)
            raise error from None

    def _module(self) -> Any:
        try:
            return importlib.import_module(f"wit_world.imports.{self.name}")
        except ModuleNotFoundError:
            if importlib.util.find_spec("wit_world") is None:
                raise RuntimeError(f"regard.{self.name} works inside a plugin only") from None
            if self.permission is None:
                raise ImportError(f"this plugin's capabilities have no {self.name}") from None
            raise ImportError(
                f"regard.{self.name} is imported, but plugin.toml does not ask for it, or the plugin's capabilities do not "
                f"have it; {self.otherwise}write `{self.permission}` under [permissions]"
            ) from None
