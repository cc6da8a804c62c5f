//! What must be so at the end of a scenario.

use anyhow::Result;
use regard_engine::ports::{InteractionFilter, RecordQuery};
use regard_model::{Attributes, CustomerId, OutboxEntry, Record};
use serde_json::Value;

use crate::run::different;
use crate::run::evaluate::alike;
use crate::scenario::Scenario;
use crate::scenario::parts::{CustomerEnding, MessageEnding, RecordEnding};
use crate::world::{LOOKED_AT_MAX, World};

/// Everything that is not as the scenario expects it.
pub async fn differences(world: &World, scenario: &Scenario) -> Result<Vec<String>> {
    let expect = &scenario.expect;
    let mut told = Vec::new();
    if let Some(wanted) = expect.interactions {
        let found = world.store.count_interactions(&InteractionFilter::default()).await?;
        if found != wanted {
            told.push(different("interactions", wanted, found));
        }
    }
    for (key, wanted) in &expect.customers {
        customer(world, key, wanted, &mut told).await?;
    }
    if let Some(wanted) = &expect.messages {
        messages(world, wanted, &mut told).await?;
    }
    for (kind, wanted) in &expect.records {
        records(world, kind, wanted, &mut told).await?;
    }
    Ok(told.into_iter().map(|one| format!("{}: at the end: {one}", scenario.place())).collect())
}

async fn customer(world: &World, key: &str, wanted: &CustomerEnding, told: &mut Vec<String>) -> Result<()> {
    let Some(found) = world.store.find_customer(world.customers[key]).await? else {
        told.push(different(key, "a customer", "nobody"));
        return Ok(());
    };
    if let Some(name) = wanted.name.as_ref().filter(|name| **name != found.name) {
        told.push(different(&format!("{key}: name"), name, &found.name));
    }
    if let Some(stage) = wanted.stage.filter(|stage| *stage != found.stage) {
        told.push(different(&format!("{key}: stage"), stage, found.stage));
    }
    if let Some(tags) = &wanted.tags {
        let mut tags = tags.clone();
        tags.sort();
        let there: Vec<String> = found.tags.iter().cloned().collect();
        if tags != there {
            told.push(different(&format!("{key}: tags"), list(&tags), list(&there)));
        }
    }
    named(&format!("{key}: attribute"), &wanted.attributes, &found.attributes, told);
    Ok(())
}

/// Compares the attributes that are named.
fn named(what: &str, wanted: &Attributes, found: &Attributes, told: &mut Vec<String>) {
    for (name, wanted) in &wanted.0 {
        let value = found.get(name).cloned().unwrap_or_default();
        if !alike(wanted, &value, 0.0) {
            told.push(different(&format!("{what} {name}"), wanted, value));
        }
    }
}

fn list(words: &[String]) -> String {
    format!("[{}]", words.join(", "))
}

/// All messages, in the order in which they were enqueued.
pub(crate) async fn outbox(world: &World) -> Result<Vec<OutboxEntry>> {
    let mut entries = world.store.list_outbox(None, None, LOOKED_AT_MAX).await?;
    entries.reverse();
    Ok(entries)
}

async fn messages(world: &World, wanted: &[MessageEnding], told: &mut Vec<String>) -> Result<()> {
    let found = outbox(world).await?;
    if found.len() != wanted.len() {
        let bodies: Vec<String> = found.iter().map(|entry| format!("`{}`", entry.body)).collect();
        told.push(different("messages", wanted.len(), format!("{} {}", found.len(), list(&bodies))));
    }
    for (at, (wanted, found)) in wanted.iter().zip(&found).enumerate() {
        let what = |field: &str| format!("message {}: {field}", at + 1);
        let mut compare = |field: &str, wanted: Option<&String>, found: &str| {
            if let Some(wanted) = wanted.filter(|wanted| wanted.as_str() != found) {
                told.push(different(&what(field), format!("`{wanted}`"), format!("`{found}`")));
            }
        };
        compare("customer", wanted.customer.as_ref(), &world.key_of(found.customer));
        compare("purpose", wanted.purpose.as_ref(), &found.purpose);
        compare("channel", wanted.channel.as_ref(), found.channel.as_deref().unwrap_or_default());
        compare("body", wanted.body.as_ref(), &found.body);
        compare("state", wanted.state.as_ref(), found.state.as_str());
        named(&what("parameter"), &wanted.parameters, &found.parameters, told);
    }
    Ok(())
}

/// All records of a type, in the order in which they were made.
pub(crate) async fn kept_records(world: &World, kind: &str) -> Result<Vec<Record>> {
    let query = RecordQuery { kind: kind.to_owned(), ..RecordQuery::default() };
    let mut records = world.store.list_records(&query, None, LOOKED_AT_MAX).await?;
    records.reverse();
    Ok(records)
}

async fn records(world: &World, kind: &str, wanted: &[RecordEnding], told: &mut Vec<String>) -> Result<()> {
    let found = match world.store.find_record_type(kind).await? {
        Some(_) => kept_records(world, kind).await?,
        None => {
            told.push(format!("records.{kind}: the plugin declares no such type"));
            return Ok(());
        }
    };
    if found.len() != wanted.len() {
        let there: Vec<String> = found.iter().map(|record| record.data.to_string()).collect();
        told.push(different(
            &format!("records.{kind}"),
            wanted.len(),
            format!("{} {}", found.len(), list(&there)),
        ));
    }
    for (at, (wanted, found)) in wanted.iter().zip(&found).enumerate() {
        let what = format!("records.{kind} {}:", at + 1);
        let key = found.customer_id.map(|id: CustomerId| world.key_of(id)).unwrap_or_default();
        if let Some(wanted) = wanted.customer.as_ref().filter(|wanted| **wanted != key) {
            told.push(different(&format!("{what} customer"), wanted, key));
        }
        for (field, wanted) in &wanted.data {
            let value = found.data.get(field).cloned().unwrap_or(Value::Null);
            if !alike(wanted, &value, 0.0) {
                told.push(different(&format!("{what} {field}"), wanted, value));
            }
        }
    }
    Ok(())
}
