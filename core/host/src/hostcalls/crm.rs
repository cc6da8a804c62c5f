//! Host functions over customers, interactions, metrics and messages. Hooks may call them, each with its grant.

use std::collections::BTreeSet;

use regard_engine::Fault;
use regard_engine::ports::InteractionFilter;
use regard_model::customer::CustomerChange;
use regard_model::outbox::NewMessage;
use regard_model::{
    Attributes, Customer, CustomerId, Identifier, Interaction, InteractionId, Observation, OutboxId, Subject,
    Timestamp,
};

use super::{CallError, Stop};
use crate::call::{CallContext, Interface};
use crate::manifest::{CustomerAccess, InteractionAccess, MetricAccess};

/// Most interactions in one page, as the contract says.
const PAGE_MAX: u32 = 500;

/// What `interactions.query` is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageRequest {
    pub(crate) customer: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) since_ms: Option<i64>,
    pub(crate) until_ms: Option<i64>,
    pub(crate) cursor: Option<String>,
    pub(crate) limit: u32,
}

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) items: Vec<Interaction>,
    pub(crate) next_cursor: Option<String>,
}

/// What `messages.enqueue` is asked.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) customer: String,
    pub(crate) purpose: String,
    pub(crate) channel: Option<String>,
    pub(crate) body: String,
    pub(crate) parameters: Attributes,
    pub(crate) idempotency_key: String,
    pub(crate) not_before_ms: Option<i64>,
}

impl CallContext {
    /// `customers.get`. Sees the changes that this call has made.
    pub(crate) async fn customer(&mut self, id: &str) -> Result<Option<Customer>, Stop> {
        self.enter_customers("customers.get", id, CustomerAccess::Read).await?;
        let id: CustomerId = id.parse()?;
        let found = self.scope.services.reads.customer(id).await?;
        Ok(found.map(|customer| self.shown(&self.as_left(customer))))
    }

    /// `customers.find`. Sees the changes that this call has made.
    pub(crate) async fn customer_by(&mut self, scheme: &str, value: &str) -> Result<Option<Customer>, Stop> {
        self.enter_customers("customers.find", scheme, CustomerAccess::Read).await?;
        // Finding somebody by a name that may not be seen would tell the name.
        self.need_field("customers.find", &format!("identifiers.{scheme}")).await?;
        let identifier = Identifier::new(scheme, value)?;
        let found = self.scope.services.reads.customer_by(&identifier).await?;
        Ok(found.map(|customer| self.shown(&self.as_left(customer))))
    }

    /// `customers.update`.
    pub(crate) async fn update_customer(
        &mut self,
        id: &str,
        version: u64,
        set: Attributes,
        add_tags: Vec<String>,
        remove_tags: Vec<String>,
    ) -> Result<Customer, Stop> {
        self.enter_customers("customers.update", id, CustomerAccess::Write).await?;
        if !(add_tags.is_empty() && remove_tags.is_empty()) {
            self.need_field("customers.update", "tags").await?;
        }
        for name in set.0.keys() {
            self.need_field("customers.update", &format!("attributes.{name}")).await?;
        }
        let asked: CustomerId = id.parse()?;
        let found = self.scope.services.reads.customer(asked).await?;
        let missing = || CallError::new(Fault::NotFound, format!("there is no customer {asked}"));
        let mut customer = self.as_left(found.ok_or_else(missing)?);
        if u64::try_from(customer.version) != Ok(version) {
            let message = format!("{} has version {}, not {version}", customer.id, customer.version);
            return Err(CallError::new(Fault::Conflict, message).into());
        }
        let change = CustomerChange {
            version: Some(customer.version),
            attributes: set,
            add_tags: BTreeSet::from_iter(add_tags),
            remove_tags: BTreeSet::from_iter(remove_tags),
            ..CustomerChange::default()
        }
        .checked()?;
        self.spend_effect_bytes(size(&change.attributes) + size_of::<CustomerChange>())?;
        customer.attributes.patch(change.attributes.clone());
        customer.tags.retain(|tag| !change.remove_tags.contains(tag));
        customer.tags.extend(change.add_tags.iter().cloned());
        // The sum of many small changes must fit as well; the store would refuse it later, far from its cause.
        customer.attributes = customer.attributes.checked()?;
        customer.version += 1;
        customer.updated_at = self.scope.services.clock.now();
        self.effects.customers.push((customer.id, change));
        let shown = self.shown(&customer);
        self.customers.insert(customer.id, customer);
        Ok(shown)
    }

    /// `interactions.query`.
    pub(crate) async fn interactions(&mut self, request: PageRequest) -> Result<Page, Stop> {
        self.enter(Interface::Interactions).await?;
        if self.scope.permissions.interactions < InteractionAccess::Read {
            let what = request.kind.as_deref().unwrap_or("*").to_owned();
            return Err(self.deny("interactions.query", &what, "permissions.interactions").await);
        }
        if !(1..=PAGE_MAX).contains(&request.limit) {
            let message = format!("limit {} is not between 1 and {PAGE_MAX}", request.limit);
            return Err(CallError::new(Fault::Invalid, message).into());
        }
        let filter = InteractionFilter {
            customer: request.customer.as_deref().map(str::parse).transpose()?,
            channel: request.channel,
            kind: request.kind,
            since: request.since_ms.map(Timestamp::from_millis),
            until: request.until_ms.map(Timestamp::from_millis),
        };
        let before = request.cursor.as_deref().map(parse_cursor).transpose()?;
        let limit = request.limit as usize;
        // One more than asked tells whether there is another page.
        let mut items = self.scope.services.reads.interactions(&filter, before, limit + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next_cursor = last.map(|last| format!("{}.{}", last.occurred_at.as_millis(), last.id));
        Ok(Page { items, next_cursor })
    }

    /// `metrics.latest`.
    pub(crate) async fn latest(&mut self, metric: &str, subject: &str) -> Result<Option<Observation>, Stop> {
        self.enter(Interface::Metrics).await?;
        if self.scope.permissions.metrics < MetricAccess::Read {
            return Err(self.deny("metrics.latest", metric, "permissions.metrics").await);
        }
        let subject: Subject = subject.parse()?;
        Ok(self.scope.services.reads.latest(metric, subject).await?)
    }

    /// `messages.enqueue`. The plugin's id before the key keeps plugins from taking each other's.
    pub(crate) async fn enqueue(&mut self, message: Message) -> Result<OutboxId, Stop> {
        self.enter(Interface::Messages).await?;
        if !self.scope.permissions.messages {
            return Err(self.deny("messages.enqueue", &message.customer, "permissions.messages").await);
        }
        if message.idempotency_key.trim().is_empty() {
            return Err(CallError::new(Fault::Invalid, "idempotency_key: must not be empty").into());
        }
        let message = NewMessage {
            customer: message.customer.parse()?,
            purpose: message.purpose,
            channel: message.channel,
            body: message.body,
            parameters: message.parameters,
            idempotency_key: format!("{}:{}", self.scope.id, message.idempotency_key),
            not_before: message.not_before_ms.map(Timestamp::from_millis),
        }
        .checked()?;
        let same =
            |(_, earlier): &&(OutboxId, NewMessage)| earlier.idempotency_key == message.idempotency_key;
        if let Some((id, _)) = self.effects.messages.iter().find(same) {
            return Ok(*id);
        }
        self.spend_effect_bytes(message.body.len() + size(&message.parameters) + size_of::<NewMessage>())?;
        let id = self.scope.services.ids.next(self.scope.services.clock.now());
        self.effects.messages.push((id, message));
        Ok(id)
    }

    /// The customer as this call has left it, when it has changed it.
    fn as_left(&self, customer: Customer) -> Customer {
        self.customers.get(&customer.id).cloned().unwrap_or(customer)
    }

    /// The customer as the plugin may see it.
    fn shown(&self, customer: &Customer) -> Customer {
        self.scope.permissions.customer_fields.show(customer).into_owned()
    }

    async fn need_field(&mut self, call: &str, field: &str) -> Result<(), Stop> {
        if self.scope.permissions.customer_fields.has(field) {
            return Ok(());
        }
        Err(self.deny(call, field, "permissions.customer_fields").await)
    }

    async fn enter_customers(&mut self, call: &str, what: &str, needed: CustomerAccess) -> Result<(), Stop> {
        self.enter(Interface::Customers).await?;
        if self.scope.permissions.customers < needed {
            return Err(self.deny(call, what, "permissions.customers").await);
        }
        Ok(())
    }
}

/// A cursor is the last interaction of the page before, by (occurred-at, id).
fn parse_cursor(text: &str) -> Result<(Timestamp, InteractionId), Stop> {
    let parsed = text.split_once('.').and_then(|(millis, id)| Some((millis.parse().ok()?, id.parse().ok()?)));
    let (millis, id) = parsed
        .ok_or_else(|| CallError::new(Fault::Invalid, format!("`{text}` is no cursor of this function")))?;
    Ok((Timestamp::from_millis(millis), id))
}

/// Bytes of the attributes, near enough for a bound.
fn size(attributes: &Attributes) -> usize {
    attributes.0.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_size).sum::<usize>() + size_of::<Value>(),
        Value::Object(fields) => fields.iter().map(|(name, item)| name.len() + value_size(item)).sum(),
        _ => size_of::<Value>(),
    }
}
