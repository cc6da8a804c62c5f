"""Messages to customers (`messages = true`). Hooks only."""

from __future__ import annotations

from . import wit
from .values import Attributes, write_attributes

_host = wit.Interface("messages", "messages = true")


def enqueue(
    *,
    customer_id: str,
    purpose: str,
    body: str,
    idempotency_key: str,
    channel: str | None = None,
    parameters: Attributes | None = None,
    not_before_ms: int | None = None,
) -> str:
    """Enqueues a message and returns the entry's id.

    `purpose` is what consent is asked for, such as `marketing`; the host checks it at delivery, whatever the plugin wants.
    Without a channel, delivery chooses one on which the customer can be reached. `idempotency_key` says what the message is for:
    the same key is enqueued once. `parameters` may carry `subject`, `thread` and whatever the channel documents.
    """
    message = _host.shape("Message")(
        customer_id, purpose, channel, body, write_attributes(parameters), idempotency_key, not_before_ms
    )
    entry: str = _host.call("enqueue", message)
    return entry
