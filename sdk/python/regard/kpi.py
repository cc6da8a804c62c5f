"""Metrics over columns.

An accumulator is mergeable: fed the same rows in any order, in any batches, or apart and then merged, it must finish with the
same values.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from array import array
from dataclasses import dataclass
from typing import Any, Callable, Literal, Sequence, TypeAlias, TypeVar, Union

from . import wit
from .columns import Batch, Rows
from .errors import Error

Column = Literal["occurred-at", "amount", "kind", "channel"]
"""Columns that the host can deliver: `occurred-at` (timestamps), `amount` (int64, minor units of the run's currency, null without
amount), `kind` and `channel` (dictionaries)."""


@dataclass(frozen=True)
class Input:
    """A column that a metric reads; `required` when it cannot do without."""

    column: Column
    required: bool = True


Inputs: TypeAlias = Sequence[Union[Column, Input]]


class Accumulator(ABC):
    """A running computation of one metric."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        """Begins; the parameters fit the metric's schema, with its defaults filled in."""

    @abstractmethod
    def update(self, groups: array[int], group_count: int, rows: Rows) -> None:
        """Adds rows; `groups[i]` is the index of row i's customer, below `group_count`, which never shrinks."""

    @abstractmethod
    def merge(self, state: bytes, remap: array[int]) -> None:
        """Adds another accumulator's `state`; its group i is `remap[i]` here, and two of its groups may become one."""

    @abstractmethod
    def state(self) -> bytes:
        """Everything added so far, as bytes that a later version of the plugin still reads."""

    @abstractmethod
    def finish(self, as_of_ms: int) -> Batch:
        """One row per group, or one in all for a metric of the business.

        The float64 column `value`, null where the metric is undefined, then what else the metric documents. `as_of_ms` is
        the first instant outside the window.
        """

    def model(self) -> Any:
        """After `finish`: fitted parameters and fit quality, for metrics that fit a model."""
        return None


A = TypeVar("A", bound=type[Accumulator])


@dataclass(frozen=True)
class Described:
    """A metric and the class that computes it."""

    name: str
    version: int
    description: str
    unit: str
    subject: Literal["customer", "business"]
    kinds: tuple[str, ...]
    inputs: tuple[Input, ...]
    parameters_schema: str
    open: Callable[[dict[str, Any]], Accumulator]


registered: list[Described] = []


def metric(
    name: str,
    *,
    version: int,
    description: str,
    unit: str,
    subject: Literal["customer", "business"],
    inputs: Inputs,
    kinds: Sequence[str] = (),
    parameters: dict[str, Any] | None = None,
) -> Callable[[A], A]:
    """Makes a subclass of `Accumulator` a metric of the plugin.

    `kinds` are the interaction kinds that count, such as `order.placed`; all of them when empty. `parameters` is a JSON Schema
    of an object with defaults.
    """

    def register(accumulator: A) -> A:
        columns = tuple(one if isinstance(one, Input) else Input(one) for one in inputs)
        schema = json.dumps({"type": "object"} if parameters is None else parameters)
        described = Described(
            name, version, description, unit, subject, tuple(kinds), columns, schema, accumulator
        )
        registered.append(described)
        return accumulator

    return register


def describe() -> list[Any]:
    shapes = wit.exports("regard_evaluator")
    subjects = {"customer": shapes.Subject.CUSTOMER, "business": shapes.Subject.BUSINESS}
    return [
        shapes.Metric(
            name=one.name,
            version=one.version,
            description=one.description,
            unit=one.unit,
            subject=subjects[one.subject],
            kinds=list(one.kinds),
            inputs=[shapes.Input(used.column, used.required) for used in one.inputs],
            parameters_schema=one.parameters_schema,
        )
        for one in registered
    ]


def open_metric(name: str, parameters: str) -> Accumulator:
    for one in registered:
        if one.name == name:
            return one.open(json.loads(parameters))
    raise Error("not-found", f"there is no metric `{name}`")
