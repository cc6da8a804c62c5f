//! The contract's records as JSON that a plugin is given: the same names with underscores. What is absent is left out.

use regard_engine::ports::{Event, Outbound};
use regard_model::{Channel, Customer, Interaction, Observation, Record};
use serde_json::{Value, json};

use crate::hostcalls::{Page, RecordPage};

/// An object without its nulls: absence says the same in Luau.
pub(super) fn sparse(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null());
    }
    value
}

pub(crate) fn customer(customer: &Customer) -> Value {
    json!({
        "id": customer.id,
        "kind": customer.kind.as_str(),
        "name": customer.name,
        "stage": customer.stage.as_str(),
        "tags": customer.tags,
        "identifiers": customer.identifiers,
        "attributes": customer.attributes,
        "version": customer.version,
    })
}

pub(crate) fn interaction(interaction: &Interaction) -> Value {
    sparse(json!({
        "id": interaction.id,
        "customer_id": interaction.customer,
        "channel": interaction.channel,
        "external_id": interaction.external_id,
        "kind": interaction.kind.as_str(),
        "occurred_at_ms": interaction.occurred_at.as_millis(),
        "thread": interaction.thread,
        "amount": interaction.amount.map(|amount| json!({ "minor": amount.minor, "currency": amount.currency.code() })),
        "attributes": interaction.attributes,
        "causation_id": interaction.causation_id,
    }))
}

/// The value is null where the metric is undefined for the subject.
pub(crate) fn observation(observation: &Observation) -> Value {
    let mut record = sparse(json!({
        "id": observation.id,
        "metric": observation.metric,
        "subject": observation.subject,
        "window_start_ms": observation.window.start.map(|start| start.as_millis()),
        "window_end_ms": observation.window.end.as_millis(),
        "unit": observation.unit,
    }));
    record["value"] = observation.value.into();
    record
}

pub(crate) fn page(page: &Page) -> Value {
    let items: Vec<_> = page.items.iter().map(interaction).collect();
    sparse(json!({ "items": items, "next_cursor": page.next_cursor }))
}

/// `{ type, interaction }`, `{ type, customer }` or `{ type, observation, previous }`.
pub(crate) fn event(event: &Event) -> Value {
    match event {
        Event::InteractionAppended(appended) => {
            json!({ "type": "interaction-appended", "interaction": interaction(appended) })
        }
        Event::CustomerChanged(changed) => {
            json!({ "type": "customer-changed", "customer": customer(changed) })
        }
        Event::MetricObserved(observed) => sparse(json!({
            "type": "metric-observed",
            "observation": observation(observed),
            "previous": observed.previous,
        })),
    }
}

pub(crate) fn channel(channel: &Channel) -> Value {
    json!({ "id": channel.id, "name": channel.name, "settings": channel.settings })
}

pub(crate) fn outbound(message: &Outbound) -> Value {
    sparse(json!({
        "idempotency_key": message.idempotency_key,
        "recipient": message.recipient,
        "thread": message.thread,
        "subject": message.subject,
        "text": message.text,
        "attributes": message.attributes,
    }))
}

/// A record as the contract's entry.
pub(crate) fn entry(record: &Record) -> Value {
    let mut entry = json!({
        "id": record.id,
        "data": record.data,
        "version": record.version,
        "created_at_ms": record.created_at.as_millis(),
        "updated_at_ms": record.updated_at.as_millis(),
    });
    if let Some(customer) = record.customer_id {
        entry["customer_id"] = json!(customer);
    }
    entry
}

/// A page of records.
pub(crate) fn entries(page: &RecordPage) -> Value {
    let items: Vec<_> = page.items.iter().map(entry).collect();
    let mut entries = json!({ "items": items });
    if let Some(cursor) = &page.next_cursor {
        entries["next_cursor"] = cursor.as_str().into();
    }
    entries
}
