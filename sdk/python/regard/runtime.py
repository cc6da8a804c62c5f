"""What the component exports; the build's own module names the classes here, no plugin imports them."""

from __future__ import annotations

import json
import sys
from array import array
from types import TracebackType
from typing import Any, Callable, TypeVar

from . import connectors, hooks, kpi, log, sandbox, setup, wit
from .columns import Rows
from .connectors import Uncertain
from .errors import Error

T = TypeVar("T")

FRAMES_MAX = 20
"""Frames of a traceback that are written to the log, the innermost ones."""

_SDK = __file__.rpartition("/")[0] + "/"


def guarded(run: Callable[[], T]) -> T:
    """Runs a function of the plugin: an `Error` becomes the contract's, anything else is logged before it ends the call."""
    try:
        return run()
    except Error as error:
        raise wit.err(error) from None
    except BaseException as crash:
        report(crash)
        raise


def infallible(run: Callable[[], T]) -> T:
    """The same for functions whose contract knows no error: whatever they raise is a crash."""
    try:
        return run()
    except BaseException as crash:
        report(crash)
        raise


def report(crash: BaseException) -> None:
    """Writes an exception to the host's log. Python's own `traceback` reads source files, which a component does not have."""
    frames = _frames(crash.__traceback__)
    place = f" ({frames[-1]})" if frames else ""
    text = str(crash)
    said = f"{type(crash).__name__}: {text}" if text else type(crash).__name__
    log.error(f"{said}{place}", traceback=" > ".join(frames))


def _frames(traceback: TracebackType | None) -> list[str]:
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        # Where in the SDK it was says nothing.
        if not code.co_filename.startswith(_SDK):
            name = code.co_filename.rpartition("/")[2]
            found.append(f"{name}:{traceback.tb_lineno} in {code.co_name}")
        traceback = traceback.tb_next
    return found[-FRAMES_MAX:]


class Lifecycle:
    def configure(self) -> None:
        sandbox.enter()
        for configure in setup.registered:
            guarded(configure)


class Migration:
    """The functions of `migration.py`."""

    def upgrade(self, from_version: str) -> None:
        guarded(lambda: _migration("upgrade")(from_version))

    def downgrade(self, to_version: str) -> None:
        guarded(lambda: _migration("downgrade")(to_version))


def _migration(name: str) -> Callable[[str], None]:
    found: Callable[[str], None] | None = getattr(sys.modules["migration"], name, None)
    return _refuse if found is None else found


def _refuse(to_version: str) -> None:
    raise Error("unsupported", f"what is kept cannot be brought back to version {to_version}")


class Hook:
    def handle(self, events: list[Any]) -> None:
        guarded(lambda: hooks.registered[0]([hooks.read_event(event) for event in events]))


class Connector:
    def describe(self) -> Any:
        return infallible(lambda: connectors.describe(connectors.registered[0]))

    def receive(self, channel: Any, request: Any) -> Any:
        def run() -> Any:
            here, asked = connectors.read_channel(channel), connectors.read_webhook(request)
            return connectors.write_received(connectors.registered[0].receive(here, asked))

        return guarded(run)

    def poll(self, channel: Any, cursor: bytes | None, limit: int) -> Any:
        def run() -> Any:
            here = connectors.read_channel(channel)
            return connectors.write_page(connectors.registered[0].poll(here, cursor, limit))

        return guarded(run)

    def send(self, channel: Any, message: Any) -> Any:
        def run() -> Any:
            here, outbound = connectors.read_channel(channel), connectors.read_outbound(message)
            try:
                outcome = connectors.registered[0].send(here, outbound)
            except Error as error:
                outcome = Uncertain(error.message)
            return connectors.write_outcome(outcome)

        return infallible(run)


class Evaluator:
    def describe(self) -> list[Any]:
        return infallible(kpi.describe)


class Accumulator:
    """The contract's resource."""

    def __init__(self, opened: kpi.Accumulator) -> None:
        self._opened = opened

    @classmethod
    def open(cls, metric: str, parameters: str) -> Accumulator:
        return guarded(lambda: cls(kpi.open_metric(metric, parameters)))

    def update(self, groups: list[int], group_count: int, rows: Any) -> None:
        guarded(lambda: self._opened.update(array("I", groups), group_count, Rows(rows)))

    def merge(self, state: bytes, remap: list[int]) -> None:
        guarded(lambda: self._opened.merge(state, array("I", remap)))

    def state(self) -> bytes:
        return guarded(lambda: bytes(self._opened.state()))

    def finish(self, as_of_ms: int) -> Any:
        def run() -> Any:
            batch = self._opened.finish(as_of_ms)
            return wit.types().Batch(batch.rows, batch.columns)

        return guarded(run)

    def model(self) -> str | None:
        def run() -> str | None:
            model = self._opened.model()
            return None if model is None else json.dumps(model)

        return guarded(run)


def check(capabilities: list[str]) -> None:
    """Called while the component is built, after the plugin's module has run: what is missing ends the build."""
    given: dict[str, tuple[list[Any], str]] = {
        "hook": (hooks.registered, "decorate a function with @regard.hook"),
        "connector": (connectors.registered, "decorate a subclass of regard.Connector with @regard.connector"),
        "kpi": (kpi.registered, "decorate a subclass of regard.Accumulator with @regard.metric(...)"),
    }
    for capability, (registered, mend) in given.items():
        if capability in capabilities and not registered:
            raise SystemExit(f'plugin.toml names "{capability}", but plugin.py has none; {mend}')
        if capability not in capabilities and registered:
            raise SystemExit(f'plugin.py has a {capability}, but plugin.toml does not name it; add "{capability}"')
    if "migration" in sys.modules and not callable(getattr(sys.modules["migration"], "upgrade", None)):
        raise SystemExit("migration.py has no function upgrade(from_version)")
    if len(hooks.registered) > 1 or len(connectors.registered) > 1:
        raise SystemExit("a plugin has at most one hook and one connector")
    for interface in wit.Interface.used:
        try:
            interface.check()
        except ImportError as missing:
            raise SystemExit(str(missing)) from None
    sys.stdout.flush()
