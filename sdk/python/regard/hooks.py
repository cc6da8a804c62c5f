"""Reacting to what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, TypeAlias, Union

from .types import Customer, Interaction, Observation, read_customer, read_interaction, read_observation


@dataclass
class InteractionAppended:
    interaction: Interaction


@dataclass
class CustomerChanged:
    customer: Customer


@dataclass
class MetricObserved:
    observation: Observation
    previous: float | None
    """The value that the same metric had for the same subject before, if any."""


Event: TypeAlias = Union[InteractionAppended, CustomerChanged, MetricObserved]
"""What happened."""

Handle = Callable[[list[Event]], None]

registered: list[Handle] = []


def hook(handle: Handle) -> Handle:
    """Makes `handle` the plugin's hook.

    It is called after the fact with the events that the manifest's `[[subscribe]]` names, in order, at least once. What a
    `[[schedule]]` makes is an `InteractionAppended` of the kind `schedule.due`, with the schedule's name in the attribute
    `schedule`. What the call changes through the host becomes durable together with the mark that the events are handled;
    when it raises, nothing is changed and the host calls again later.
    """
    registered.append(handle)
    return handle


def read_event(event: Any) -> Event:
    kind = type(event).__name__
    if kind == "Event_InteractionAppended":
        return InteractionAppended(read_interaction(event.value))
    if kind == "Event_CustomerChanged":
        return CustomerChanged(read_customer(event.value))
    if kind == "Event_MetricObserved":
        return MetricObserved(read_observation(event.value.observation), event.value.previous)
    raise TypeError(f"an event of the unknown kind {kind}")
