"""What happens once per instance."""

from __future__ import annotations

from typing import Callable

Configure = Callable[[], None]

registered: list[Configure] = []


def configure(function: Configure) -> Configure:
    """Has `function` called once on each new instance, before anything else.

    What it raises keeps the instance from being used. The place to check the configuration beyond its schema; only the log
    and the configuration are there.
    """
    registered.append(function)
    return function
