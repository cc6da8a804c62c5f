"""Write Regard plugins in Python.

In reading order:

- `hooks`, `connectors`, `kpi`: the capabilities, and how a plugin's module registers them
- `columns`: the columns that an evaluator reads and returns
- `log`, `clock`, `config`, `kv`, `http`, `customers`, `interactions`, `metrics`, `messages`, `records`: the host's
  functions
- `types`, `values`, `errors`: what is handed to and fro
- `runtime`: what the component exports, and what Python lacks inside a plugin
- `wit`: the contract's bindings; nobody else touches them

    import regard
    from regard import log

    @regard.hook
    def handle(events: list[regard.Event]) -> None:
        log.info("something happened", events=len(events))
"""

from .columns import Batch, BatchBuilder, Dictionary, Numbers, Rows, Texts, check_groups
from .connectors import (
    Channel,
    Connector,
    Features,
    Inbound,
    Outbound,
    Outcome,
    Page,
    Received,
    Rejected,
    Reply,
    Retry,
    Sent,
    Uncertain,
    Webhook,
    connector,
)
from .errors import Error
from .hooks import CustomerChanged, Event, InteractionAppended, MetricObserved, hook
from .kpi import Accumulator, Input, metric
from .setup import configure
from .types import Customer, Identifier, Interaction, Money, Observation
from .values import Attributes, Value

__all__ = [
    "Accumulator",
    "Attributes",
    "Batch",
    "BatchBuilder",
    "Channel",
    "Connector",
    "Customer",
    "CustomerChanged",
    "Dictionary",
    "Error",
    "Event",
    "Features",
    "Identifier",
    "Inbound",
    "Input",
    "Interaction",
    "InteractionAppended",
    "MetricObserved",
    "Money",
    "Numbers",
    "Observation",
    "Outbound",
    "Outcome",
    "Page",
    "Received",
    "Rejected",
    "Reply",
    "Retry",
    "Rows",
    "Sent",
    "Texts",
    "Uncertain",
    "Value",
    "Webhook",
    "check_groups",
    "configure",
    "connector",
    "hook",
    "metric",
]
