"""Customers (`customers = "read"` or `"write"`). Hooks only."""

from __future__ import annotations

from typing import Iterable

from . import wit
from .types import Customer, Identifier, read_customer, write_identifier
from .values import Attributes, write_attributes

_host = wit.Interface("customers", 'customers = "read"` or `customers = "write"')


def get(id: str) -> Customer | None:
    """The customer that `id` resolves to."""
    customer = _host.call("get", id)
    return None if customer is None else read_customer(customer)


def find(by: Identifier) -> Customer | None:
    """The customer with this identifier."""
    customer = _host.call("find", write_identifier(by))
    return None if customer is None else read_customer(customer)


def update(
    customer: Customer,
    *,
    set: Attributes | None = None,
    add_tags: Iterable[str] = (),
    remove_tags: Iterable[str] = (),
) -> Customer:
    """Changes a customer and returns it as it is then; durable when the whole call succeeds.

    An attribute set to None is removed. `conflict` when `customer.version` is no longer the stored one. When somebody else
    changes the same customer meanwhile, the host runs the call again.
    """
    attributes = write_attributes(set)
    changed = _host.call(
        "update", customer.id, customer.version, attributes, list(add_tags), list(remove_tags)
    )
    return read_customer(changed)
