"""A channel's way in and out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, Union

from . import wit
from .errors import Code, Error
from .types import Identifier, Money, write_identifier, write_money
from .values import Attributes, read_attributes, write_attributes


@dataclass
class Channel:
    """The channel in whose name a call runs; its secrets come from `config.secret`."""

    id: str
    name: str
    settings: Attributes

    def text(self, setting: str) -> str:
        """A text setting; raises `invalid` when it is absent or no text."""
        value = self.settings.get(setting)
        if isinstance(value, str):
            return value
        raise Error("invalid", f"channel `{self.name}` lacks the text setting `{setting}`")


@dataclass
class Webhook:
    """A call from outside; header names are lower-case, and a name may come several times."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for found, value in self.headers if found.lower() == name.lower()), None)


@dataclass
class Reply:
    """What the caller of a webhook is answered."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Inbound:
    """What came in. The host deduplicates on channel and `external_id`, and finds or makes the sender's customer."""

    external_id: str
    kind: str
    occurred_at_ms: int
    sender: Identifier | None = None
    aliases: list[Identifier] = field(default_factory=list)
    sender_name: str | None = None
    thread: str | None = None
    amount: Money | None = None
    attributes: Attributes = field(default_factory=dict)


@dataclass
class Received:
    """The reply goes out after every item is durable."""

    items: list[Inbound]
    reply: Reply = field(default_factory=Reply)


@dataclass
class Page:
    items: list[Inbound]
    cursor: bytes | None = None
    """Where the next page begins; None keeps the cursor that was given."""
    more: bool = False
    """Whether the next page is there already."""


@dataclass
class Outbound:
    idempotency_key: str
    """The same for every try of one message."""
    recipient: str
    thread: str | None
    subject: str | None
    text: str
    attributes: Attributes


@dataclass
class Sent:
    """The provider took it; `id` is its id for the message."""

    id: str


@dataclass
class Rejected:
    """Will never be taken: the entry becomes a dead letter."""

    message: str
    code: Code = "invalid"


@dataclass
class Retry:
    """Not taken this time: the host tries again, after `after_ms` when given."""

    message: str
    after_ms: int | None = None
    code: Code = "unavailable"


@dataclass
class Uncertain:
    """The provider may have taken it and gives no way to ask: a person decides."""

    message: str


Outcome: TypeAlias = Union[Sent, Rejected, Retry, Uncertain]
"""How sending ended."""


@dataclass
class Features:
    """What a connector can do; what it receives, polls and sends follows from its methods."""

    address_scheme: str
    """The identifier scheme by which a customer is addressed on this channel, such as `email`."""
    text_limit: int | None = None
    threads: bool = False
    receipts: bool = False
    idempotent: bool = False
    """Whether the provider itself sends a repeated idempotency key once."""


class Connector:
    """Base class: override what the channel does."""

    features: Features

    def receive(self, channel: Channel, request: Webhook) -> Received:
        """A webhook call. Raise `denied` for a wrong signature (the host answers 401), `invalid` for an unreadable body (400)."""
        raise Error("unsupported", f"channel `{channel.name}` does not receive webhooks")

    def poll(self, channel: Channel, cursor: bytes | None, limit: int) -> Page:
        """The next page after `cursor`, at most `limit` items."""
        raise Error("unsupported", f"channel `{channel.name}` is not polled")

    def send(self, channel: Channel, message: Outbound) -> Outcome:
        """Hands a message to the provider.

        Whoever cannot tell whether the provider took it answers `Uncertain`, never `Retry`; an `Error` that is raised counts
        as `Uncertain` for that reason.
        """
        return Rejected(f"channel `{channel.name}` does not send", "unsupported")


C = TypeVar("C", bound=type[Connector])

registered: list[Connector] = []


def connector(implementation: C) -> C:
    """Makes a subclass of `Connector` the plugin's connector."""
    registered.append(implementation())
    return implementation


def describe(implementation: Connector) -> Any:
    features, does = implementation.features, type(implementation)
    return wit.exports("connector").Features(
        receives=does.receive is not Connector.receive,
        polls=does.poll is not Connector.poll,
        sends=does.send is not Connector.send,
        threads=features.threads,
        receipts=features.receipts,
        idempotent=features.idempotent,
        address_scheme=features.address_scheme,
        text_limit=features.text_limit,
    )


def read_channel(channel: Any) -> Channel:
    return Channel(channel.id, channel.name, read_attributes(channel.settings))


def read_webhook(request: Any) -> Webhook:
    return Webhook(request.method, request.path, request.query, request.headers, request.body)


def read_outbound(message: Any) -> Outbound:
    return Outbound(
        idempotency_key=message.idempotency_key,
        recipient=message.recipient,
        thread=message.thread,
        subject=message.subject,
        text=message.text,
        attributes=read_attributes(message.attributes),
    )


def write_inbound(item: Inbound) -> Any:
    return wit.types().Inbound(
        external_id=item.external_id,
        sender=write_identifier(item.sender),
        aliases=[write_identifier(alias) for alias in item.aliases],
        sender_name=item.sender_name,
        kind=item.kind,
        occurred_at_ms=item.occurred_at_ms,
        thread=item.thread,
        amount=write_money(item.amount),
        attributes=write_attributes(item.attributes),
    )


def write_received(received: Received) -> Any:
    shapes = wit.exports("connector")
    reply = received.reply
    return shapes.Received(
        [write_inbound(item) for item in received.items],
        shapes.Reply(reply.status, list(reply.headers.items()), bytes(reply.body)),
    )


def write_page(page: Page) -> Any:
    items = [write_inbound(item) for item in page.items]
    return wit.exports("connector").Page(items, page.cursor, page.more)


def write_outcome(outcome: Outcome) -> Any:
    shapes, error = wit.exports("connector"), wit.types().Error
    match outcome:
        case Sent(id):
            return shapes.Outcome_Sent(id)
        case Rejected(message, code):
            return shapes.Outcome_Rejected(error(code, message, None))
        case Retry(message, after_ms, code):
            return shapes.Outcome_Retry(error(code, message, after_ms))
        case Uncertain(message):
            return shapes.Outcome_Uncertain(error("failed", message, None))
