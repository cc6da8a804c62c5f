"""What a plugin is told of customers and of what happened; what is absent is None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import wit
from .values import Attributes, read_attributes


@dataclass(frozen=True)
class Money:
    """An amount in the currency's minor unit (cents for USD, yen for JPY); the currency by ISO 4217."""

    minor: int
    currency: str


@dataclass(frozen=True)
class Identifier:
    """A scheme such as `email`, `phone`, `cookie` or `external:shop`, and a value as the source gave it."""

    scheme: str
    value: str


@dataclass
class Customer:
    id: str
    kind: str
    name: str
    stage: str
    tags: list[str]
    identifiers: list[Identifier]
    attributes: Attributes
    version: int


@dataclass
class Interaction:
    """Something that happened."""

    id: str
    customer_id: str | None
    channel: str
    external_id: str
    kind: str
    occurred_at_ms: int
    thread: str | None
    amount: Money | None
    attributes: Attributes
    causation_id: str | None


@dataclass
class Observation:
    """The value of a metric; `subject` is `customer:<id>` or `business`, `value` is NaN where the metric is undefined."""

    id: str
    metric: str
    subject: str
    window_start_ms: int | None
    window_end_ms: int
    value: float
    unit: str


def read_money(money: Any) -> Money | None:
    return None if money is None else Money(money.minor, money.currency)


def write_money(money: Money | None) -> Any:
    return None if money is None else wit.types().Money(money.minor, money.currency)


def read_identifier(identifier: Any) -> Identifier:
    return Identifier(identifier.scheme, identifier.value)


def write_identifier(identifier: Identifier | None) -> Any:
    return None if identifier is None else wit.types().Identifier(identifier.scheme, identifier.value)


def read_customer(customer: Any) -> Customer:
    return Customer(
        id=customer.id,
        kind=customer.kind,
        name=customer.name,
        stage=customer.stage,
        tags=customer.tags,
        identifiers=[read_identifier(identifier) for identifier in customer.identifiers],
        attributes=read_attributes(customer.attributes),
        version=customer.version,
    )


def read_interaction(interaction: Any) -> Interaction:
    return Interaction(
        id=interaction.id,
        customer_id=interaction.customer_id,
        channel=interaction.channel,
        external_id=interaction.external_id,
        kind=interaction.kind,
        occurred_at_ms=interaction.occurred_at_ms,
        thread=interaction.thread,
        amount=read_money(interaction.amount),
        attributes=read_attributes(interaction.attributes),
        causation_id=interaction.causation_id,
    )


def read_observation(observation: Any) -> Observation:
    return Observation(
        id=observation.id,
        metric=observation.metric,
        subject=observation.subject,
        window_start_ms=observation.window_start_ms,
        window_end_ms=observation.window_end_ms,
        value=observation.value,
        unit=observation.unit,
    )
