//! Host functions over records. Hooks may call them, for the types that the plugin declares without asking, for those of
//! others each with its grant; migrations for the types that the plugin declares.
//!
//! While an upgrade runs, the types are those that the new version declares, and while a downgrade runs nobody here knows
//! those of the earlier one: what does not fit in the end is refused when the switch is stored.

use std::sync::Arc;

use regard_engine::Fault;
use regard_engine::ports::{RecordPlace, RecordQuery};
use regard_model::record::declaration::check_name;
use regard_model::record::{NewRecord, RecordChange, RecordFlaw, RecordType};
use regard_model::{Attributes, CustomerId, Record, RecordId};
use serde_json::Value;

use super::{CallError, Stop};
use crate::call::{CallContext, Interface, Role};
use crate::manifest::RecordAccess;
use crate::runtime::json;

/// The migration's function that runs on the new version.
const UPGRADE: &str = "upgrade";
/// Most records in one page, as the contract says.
const PAGE_MAX: u32 = 500;

/// What `records.query` is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecordRequest {
    pub(crate) customer: Option<String>,
    pub(crate) equal: Attributes,
    pub(crate) cursor: Option<String>,
    pub(crate) limit: u32,
}

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) struct RecordPage {
    pub(crate) items: Vec<Record>,
    pub(crate) next_cursor: Option<String>,
}

impl CallContext {
    /// `records.get`. Sees the changes that this call has made.
    pub(crate) async fn record(&mut self, kind: &str, id: &str) -> Result<Option<Record>, Stop> {
        self.enter_records("records.get", kind, RecordAccess::Read).await?;
        self.record_as_left(kind, id.parse()?).await
    }

    /// `records.query`. Sees what is stored.
    pub(crate) async fn records(&mut self, kind: &str, request: RecordRequest) -> Result<RecordPage, Stop> {
        self.enter_records("records.query", kind, RecordAccess::Read).await?;
        if !(1..=PAGE_MAX).contains(&request.limit) {
            let message = format!("limit {} is not between 1 and {PAGE_MAX}", request.limit);
            return Err(CallError::new(Fault::Invalid, message).into());
        }
        let query = RecordQuery {
            kind: kind.to_owned(),
            customer: request.customer.as_deref().map(str::parse).transpose()?,
            equal: request.equal.0,
            sort: None,
        };
        let after = request.cursor.as_deref().map(parse_cursor).transpose()?;
        let limit = request.limit as usize;
        // One more than asked tells whether there is another page.
        let mut items = self.scope.services.reads.records(&query, after.as_ref(), limit + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(RecordPage { items, next_cursor })
    }

    /// `records.create`.
    pub(crate) async fn create_record(
        &mut self,
        kind: &str,
        customer: Option<&str>,
        data: &str,
    ) -> Result<Record, Stop> {
        let declared = self.enter_records("records.create", kind, RecordAccess::Write).await?;
        let customer: Option<CustomerId> = customer.map(str::parse).transpose()?;
        let size = data.len();
        let data = parse_data(data)?;
        self.check_fits(&declared, customer, &data)?;
        let root = match customer {
            None => None,
            Some(id) => {
                let found = self.scope.services.reads.customer(id).await?;
                let missing =
                    || CallError::new(Fault::Invalid, format!("customer_id: there is no customer {id}"));
                Some(found.ok_or_else(missing)?.id)
            }
        };
        let now = self.scope.services.clock.now();
        let id: RecordId = self.scope.services.ids.next(now);
        self.refuse_taken(&declared, id, &data).await?;
        self.spend_effect_bytes(size + size_of::<RecordChange>())?;
        let new = NewRecord { kind: kind.to_owned(), customer_id: customer, data: data.clone() };
        self.effects.records.push(RecordChange::Create(id, new));
        let record = Record {
            id,
            kind: kind.to_owned(),
            customer_id: root,
            data,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        self.records.insert(id, Some(record.clone()));
        Ok(record)
    }

    /// `records.update`. The same data again change nothing, not even the version.
    pub(crate) async fn update_record(
        &mut self,
        kind: &str,
        id: &str,
        version: u64,
        data: &str,
    ) -> Result<Record, Stop> {
        let declared = self.enter_records("records.update", kind, RecordAccess::Write).await?;
        let mut record = self.record_at(kind, id.parse()?, version).await?;
        let size = data.len();
        let data = parse_data(data)?;
        self.check_fits(&declared, record.customer_id, &data)?;
        if data == record.data {
            return Ok(record);
        }
        self.refuse_taken(&declared, record.id, &data).await?;
        self.spend_effect_bytes(size + size_of::<RecordChange>())?;
        self.effects.records.push(RecordChange::Update {
            id: record.id,
            kind: kind.to_owned(),
            version: record.version,
            data: data.clone(),
        });
        record.data = data;
        record.version += 1;
        record.updated_at = self.scope.services.clock.now();
        self.records.insert(record.id, Some(record.clone()));
        Ok(record)
    }

    /// `records.delete`.
    pub(crate) async fn delete_record(&mut self, kind: &str, id: &str, version: u64) -> Result<(), Stop> {
        self.enter_records("records.delete", kind, RecordAccess::Write).await?;
        let record = self.record_at(kind, id.parse()?, version).await?;
        self.spend_effect_bytes(size_of::<RecordChange>())?;
        self.effects.records.push(RecordChange::Delete {
            id: record.id,
            kind: record.kind,
            version: record.version,
        });
        self.records.insert(record.id, None);
        Ok(())
    }

    /// The type, once the plugin may work with its records: it declares it, or was granted it.
    async fn enter_records(
        &mut self,
        call: &str,
        kind: &str,
        needed: RecordAccess,
    ) -> Result<Arc<RecordType>, Stop> {
        self.enter(Interface::Records).await?;
        check_name(kind)?;
        let upgrades = self.role == Role::Migration && self.name == UPGRADE;
        let coming = self.scope.record_types.iter().find(|declared| upgrades && declared.name() == kind);
        let found = match coming {
            Some(declared) => Some(declared.clone()),
            None => self.scope.services.reads.record_type(kind).await?,
        };
        let is_own = found.as_ref().is_some_and(|declared| declared.plugin() == self.scope.id);
        if !is_own && self.scope.permissions.record_access(kind) < Some(needed) {
            return Err(self.deny(call, kind, "permissions.records").await);
        }
        let missing = || CallError::new(Fault::NotFound, format!("there is no record type `{kind}`"));
        Ok(found.ok_or_else(missing)?)
    }

    fn check_fits(
        &self,
        declared: &RecordType,
        customer: Option<CustomerId>,
        data: &Value,
    ) -> Result<(), Stop> {
        if self.role == Role::Migration && self.name != UPGRADE {
            return Ok(());
        }
        declared.check(customer, data).map_err(|flaws| refused(flaws).into())
    }

    async fn record_as_left(&self, kind: &str, id: RecordId) -> Result<Option<Record>, Stop> {
        if let Some(left) = self.records.get(&id) {
            return Ok(left.clone().filter(|record| record.kind == kind));
        }
        Ok(self.scope.services.reads.record(kind, id).await?)
    }

    async fn record_at(&self, kind: &str, id: RecordId, version: u64) -> Result<Record, Stop> {
        let missing = || CallError::new(Fault::NotFound, format!("there is no {kind} {id}"));
        let record = self.record_as_left(kind, id).await?.ok_or_else(missing)?;
        if u64::try_from(record.version) != Ok(version) {
            let message = format!("{id} has version {}, not {version}", record.version);
            return Err(CallError::new(Fault::Conflict, message).into());
        }
        Ok(record)
    }

    /// Refuses a unique value that another record has, as this call has left them: the plugin hears of it here, where it
    /// can do something else, and not when its effects are stored.
    async fn refuse_taken(&self, declared: &RecordType, id: RecordId, data: &Value) -> Result<(), Stop> {
        let unique = declared.fields().iter().filter(|(_, field)| field.unique);
        for (field, value) in unique.filter_map(|(field, _)| Some((field, data.get(field)?))) {
            if value.is_null() {
                continue;
            }
            let taken = |by: RecordId| {
                let message = format!("the field `{field}` is unique, and {by} has this value");
                Stop::from(CallError::new(Fault::Conflict, message))
            };
            let has = |record: &Record| {
                record.id != id
                    && record.kind == declared.name()
                    && record.data.get(field).is_some_and(|theirs| same(theirs, value))
            };
            if let Some(holder) = self.records.values().flatten().find(|record| has(record)) {
                return Err(taken(holder.id));
            }
            let query = RecordQuery {
                kind: declared.name().to_owned(),
                equal: [(field.clone(), value.clone())].into(),
                ..RecordQuery::default()
            };
            let stored = self.scope.services.reads.records(&query, None, 1).await?;
            if let Some(holder) =
                stored.iter().find(|record| record.id != id && !self.records.contains_key(&record.id))
            {
                return Err(taken(holder.id));
            }
        }
        Ok(())
    }
}

fn parse_data(text: &str) -> Result<Value, CallError> {
    json::read(text, &mut { json::VALUES_MAX })
        .map_err(|why| CallError::new(Fault::Invalid, format!("data is no JSON: {why}")))
}

fn refused(flaws: Vec<RecordFlaw>) -> CallError {
    let words: Vec<_> = flaws.iter().map(ToString::to_string).collect();
    CallError::new(Fault::Invalid, words.join("; "))
}

/// Whether two values of a field are one: 1 and 1.0 are.
fn same(left: &Value, right: &Value) -> bool {
    let floats = || (left.is_f64() || right.is_f64()) && left.is_number() && left.as_f64() == right.as_f64();
    left == right || floats()
}

/// A cursor is the last record of the page before.
fn parse_cursor(text: &str) -> Result<RecordPlace, Stop> {
    let unknown = |_| CallError::new(Fault::Invalid, format!("`{text}` is no cursor of this function"));
    Ok(RecordPlace { id: text.parse().map_err(unknown)?, value: Value::Null })
}
