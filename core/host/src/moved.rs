//! How many bytes a call moves between host and plugin.
//!
//! The values themselves are counted: texts and bytes with their length, numbers with eight bytes, columns as they lie in
//! memory. What a runtime needs around them (JSON, lists, tables) differs between runtimes and is left out, so that the
//! same plugin in two languages shows the same figures.

use regard_engine::columns::{Batch, ColumnValues, TextValues};
use regard_engine::ports::{Effects, Event, Handed, Outbound, Outcome, Webhook, WebhookReply};
use regard_model::{Attributes, Channel, Customer, Interaction, Observation};
use serde_json::Value;

/// A number, an instant or an id.
const NUMBER_BYTES: usize = 8;

pub(crate) fn json(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => NUMBER_BYTES,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(json).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + json(value)).sum(),
    }
}

fn attributes(attributes: &Attributes) -> usize {
    attributes.0.iter().map(|(name, value)| name.len() + json(value)).sum()
}

fn pairs(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn optional(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}

fn interaction(one: &Interaction) -> usize {
    let Interaction { channel, external_id, kind, thread, amount, attributes: more, .. } = one;
    let words = channel.len() + external_id.len() + kind.as_str().len() + optional(thread);
    words + 4 * NUMBER_BYTES + amount.map_or(0, |_| 2 * NUMBER_BYTES) + attributes(more)
}

fn customer(one: &Customer) -> usize {
    let names = one.identifiers.iter().map(|known| known.scheme.len() + known.value.len()).sum::<usize>();
    let tags = one.tags.iter().map(String::len).sum::<usize>();
    one.name.len() + names + tags + attributes(&one.attributes) + 4 * NUMBER_BYTES
}

fn observation(one: &Observation) -> usize {
    one.metric.len() + one.unit.len() + 6 * NUMBER_BYTES
}

pub(crate) fn events(events: &[Event]) -> usize {
    let each = events.iter().map(|event| match event {
        Event::InteractionAppended(one) => interaction(one),
        Event::CustomerChanged(one) => customer(one),
        Event::MetricObserved(one) => observation(one),
    });
    each.sum()
}

pub(crate) fn channel(channel: &Channel) -> usize {
    channel.name.len() + NUMBER_BYTES + attributes(&channel.settings)
}

pub(crate) fn webhook(webhook: &Webhook) -> usize {
    let Webhook { method, path, query, headers, body } = webhook;
    method.len() + path.len() + query.len() + pairs(headers) + body.len()
}

pub(crate) fn reply(reply: &WebhookReply) -> usize {
    NUMBER_BYTES + pairs(&reply.headers) + reply.body.len()
}

pub(crate) fn handed(items: &[Handed]) -> usize {
    let each = items.iter().map(|one| {
        let sender = one.sender.as_ref().map_or(0, |(scheme, value)| scheme.len() + value.len());
        let aliases: usize = one.aliases.iter().map(|(scheme, value)| scheme.len() + value.len()).sum();
        let amount = one.amount.as_ref().map_or(0, |(_, code)| NUMBER_BYTES + code.len());
        let words =
            one.external_id.len() + one.kind.len() + optional(&one.sender_name) + optional(&one.thread);
        words + NUMBER_BYTES + sender + aliases + amount + attributes(&one.attributes)
    });
    each.sum()
}

pub(crate) fn outbound(message: &Outbound) -> usize {
    let Outbound { idempotency_key, recipient, thread, subject, text, attributes: more } = message;
    let words = idempotency_key.len() + recipient.len() + text.len();
    words + optional(thread) + optional(subject) + attributes(more)
}

pub(crate) fn outcome(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Sent(text) | Outcome::Rejected(text) | Outcome::Uncertain(text) => text.len(),
        Outcome::Retry { reason, .. } => reason.len() + NUMBER_BYTES,
    }
}

/// What a call changes comes out of the plugin as well.
pub(crate) fn effects(effects: &Effects) -> usize {
    use regard_model::record::RecordChange;
    let customers = effects.customers.iter().map(|(_, change)| {
        let tags = change.add_tags.iter().chain(&change.remove_tags).map(String::len).sum::<usize>();
        NUMBER_BYTES + tags + attributes(&change.attributes)
    });
    let messages = effects.messages.iter().map(|(_, message)| {
        let words = message.purpose.len() + message.body.len() + message.idempotency_key.len();
        NUMBER_BYTES + words + optional(&message.channel) + attributes(&message.parameters)
    });
    let records = effects.records.iter().map(|change| match change {
        RecordChange::Create(_, new) => NUMBER_BYTES + json(&new.data),
        RecordChange::Update { data, .. } => NUMBER_BYTES + json(data),
        RecordChange::Delete { .. } => NUMBER_BYTES,
    });
    let kept = effects.kept.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
    customers.chain(messages).chain(records).chain(kept).sum()
}

fn texts(texts: &TextValues) -> usize {
    size_of_val(texts.offsets.as_slice()) + texts.bytes.len()
}

pub(crate) fn batch(batch: &Batch) -> usize {
    let each = batch.columns.iter().map(|column| {
        let values = match &column.values {
            ColumnValues::Boolean(bytes) => bytes.len(),
            ColumnValues::Int64(numbers) | ColumnValues::TimestampMs(numbers) => {
                size_of_val(numbers.as_slice())
            }
            ColumnValues::Float64(numbers) => size_of_val(numbers.as_slice()),
            ColumnValues::Utf8(values) => texts(values),
            ColumnValues::Dictionary { codes, entries } => size_of_val(codes.as_slice()) + texts(entries),
        };
        column.name.len() + values + column.validity.as_ref().map_or(0, Vec::len)
    });
    each.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use regard_engine::columns::Column;

    #[test]
    fn values_are_counted_as_they_are() {
        assert_eq!(json(&serde_json::json!({ "ab": [1, "cde", null, true] })), 2 + 8 + 3 + 1);
        let columns = vec![Column::new("n", ColumnValues::Int64(vec![1, 2, 3]))];
        assert_eq!(batch(&Batch { rows: 3, columns }), 1 + 24);
    }
}
