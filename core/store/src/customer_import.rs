//! Importing customers: many at once, each made or brought up to date by its identifiers.

use std::collections::{BTreeMap, HashMap};

use regard_engine::StoreError;
use regard_engine::import::ImportMark;
use regard_model::customer::{CustomerChange, NewCustomer};
use regard_model::{CustomerId, Identifier, Invalid};
use sea_orm::{ConnectionTrait, EntityTrait, IntoActiveModel, Statement};

use crate::customers::{new_row, owners_of, read_all};
use crate::entity::{customer, identifier};
use crate::failure::{During, damaged};
use crate::json;
use crate::open::{Store, Write};

const DURING: &str = "import customers";
/// Rows per statement: with thirteen columns, well within the parameters that both databases take.
const ROWS_PER_STATEMENT: usize = 500;

/// What became of one imported customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// Nobody had any of the identifiers.
    Created(CustomerId),
    /// Somebody had one of them, and something was new.
    Updated(CustomerId),
    /// Everything was known.
    Unchanged(CustomerId),
    /// It cannot be stored; nothing of it was.
    Rejected(Invalid),
}

impl Store {
    /// Stores customers in one transaction; one outcome per item, in order. `mark` says where the import stood in counts
    /// before this batch and is stored with the batch's own outcomes added.
    ///
    /// A customer without identifiers is always new. One whose identifiers somebody has changes that customer: what
    /// the import says replaces what was there, what it leaves empty stays, tags and identifiers are added, and the
    /// stage stays as it is. Identifiers of two customers are refused.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing is stored.
    pub async fn import_customers(
        &self,
        batch: Vec<NewCustomer>,
        mark: Option<ImportMark>,
    ) -> Result<Vec<Imported>, StoreError> {
        if batch.is_empty() && mark.is_none() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let write = self.begin_ordered(DURING).await?;
        let identifiers: Vec<Identifier> = batch.iter().flat_map(|new| new.identifiers.clone()).collect();
        let mut owners = owners_of(&*write, &identifiers, DURING).await?;
        let mut fresh: BTreeMap<CustomerId, NewCustomer> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for new in batch {
            let (new, owner) =
                match new.checked().and_then(|new| owner_of(&new, &owners).map(|owner| (new, owner))) {
                    Ok(checked) => checked,
                    Err(invalid) => {
                        outcomes.push(Imported::Rejected(invalid));
                        continue;
                    }
                };
            let Some(owner) = owner else {
                let id = self.inner.ids.next(now);
                owners.extend(new.identifiers.iter().map(|known| (known.clone(), id)));
                fresh.insert(id, new);
                outcomes.push(Imported::Created(id));
                continue;
            };
            let identifiers = new.identifiers.clone();
            let outcome = match fresh.get_mut(&owner) {
                Some(earlier) => merge_into_fresh(earlier, new, owner),
                None => self.import_known(&write, owner, new).await?,
            };
            if !matches!(outcome, Imported::Rejected(_)) {
                owners.extend(identifiers.into_iter().map(|known| (known, owner)));
            }
            outcomes.push(outcome);
        }
        self.insert_fresh(&write, fresh).await?;
        if let Some(mut mark) = mark {
            for outcome in &outcomes {
                match outcome {
                    Imported::Created(_) | Imported::Updated(_) => mark.accepted += 1,
                    Imported::Unchanged(_) => mark.duplicates += 1,
                    Imported::Rejected(_) => mark.rejected += 1,
                }
            }
            let values =
                [mark.key.clone().into(), json::write(DURING, &mark)?.into(), now.as_millis().into()];
            let upsert =
                Statement::from_sql_and_values(write.get_database_backend(), crate::imports::UPSERT, values);
            write.execute_raw(upsert).await.during(DURING)?;
        }
        write.commit().await?;
        Ok(outcomes)
    }

    async fn import_known(
        &self,
        write: &Write,
        owner: CustomerId,
        new: NewCustomer,
    ) -> Result<Imported, StoreError> {
        let found = read_all(&**write, &[owner], DURING).await?;
        let before = found
            .get(owner)
            .ok_or_else(|| damaged(DURING, format!("{owner} has an identifier and no row")))?;
        let mut attributes = new.attributes;
        attributes.0.retain(|name, value| !value.is_null() && before.attributes.get(name) != Some(value));
        let change = CustomerChange {
            name: Some(new.name).filter(|name| !name.is_empty() && *name != before.name),
            kind: Some(new.kind).filter(|kind| *kind != before.kind),
            attributes,
            add_tags: new.tags.into_iter().filter(|tag| !before.tags.contains(tag)).collect(),
            add_identifiers: new.identifiers,
            ..CustomerChange::default()
        };
        let version = before.version;
        Ok(match self.change_within(write, owner, change, DURING).await {
            Ok(after) if after.version == version => Imported::Unchanged(owner),
            Ok(_) => Imported::Updated(owner),
            Err(StoreError::Invalid(invalid)) => Imported::Rejected(invalid),
            Err(other) => return Err(other),
        })
    }

    async fn insert_fresh(
        &self,
        write: &Write,
        fresh: BTreeMap<CustomerId, NewCustomer>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let mut rows = Vec::with_capacity(fresh.len());
        let mut links = Vec::with_capacity(fresh.len());
        for (id, new) in &fresh {
            rows.push(new_row(*id, new, now, DURING)?.into_active_model());
            let known: std::collections::BTreeSet<&Identifier> = new.identifiers.iter().collect();
            links.extend(known.into_iter().map(|known| {
                identifier::Model {
                    value: known.value.clone(),
                    scheme: known.scheme.clone(),
                    customer_id: id.as_i64(),
                    linked_at: now.as_millis(),
                }
                .into_active_model()
            }));
        }
        while !rows.is_empty() {
            let chunk: Vec<_> = rows.drain(..rows.len().min(ROWS_PER_STATEMENT)).collect();
            customer::Entity::insert_many(chunk).exec_without_returning(&**write).await.during(DURING)?;
        }
        while !links.is_empty() {
            let chunk: Vec<_> = links.drain(..links.len().min(ROWS_PER_STATEMENT)).collect();
            identifier::Entity::insert_many(chunk).exec_without_returning(&**write).await.during(DURING)?;
        }
        let ids: Vec<CustomerId> = fresh.into_keys().collect();
        self.announce(write, &ids, now, DURING).await
    }
}

/// The one customer who has any of the identifiers.
fn owner_of(
    new: &NewCustomer,
    owners: &HashMap<Identifier, CustomerId>,
) -> Result<Option<CustomerId>, Invalid> {
    let mut chosen: Option<(CustomerId, &Identifier)> = None;
    for identifier in &new.identifiers {
        let Some(owner) = owners.get(identifier) else { continue };
        match chosen {
            None => chosen = Some((*owner, identifier)),
            Some((first, _)) if first == *owner => {}
            Some((first, by)) => {
                let reason = format!(
                    "{identifier} belongs to {owner}, {by} to {first}: leave one of them out, or merge the two customers first"
                );
                return Err(Invalid::new("identifiers", reason));
            }
        }
    }
    Ok(chosen.map(|(owner, _)| owner))
}

/// Brings a customer up to date that an earlier item of the same batch makes.
fn merge_into_fresh(earlier: &mut NewCustomer, new: NewCustomer, id: CustomerId) -> Imported {
    let mut merged = earlier.clone();
    if !new.name.is_empty() {
        merged.name = new.name;
    }
    merged.kind = new.kind;
    merged.tags.extend(new.tags);
    let mut attributes = new.attributes;
    attributes.0.retain(|_, value| !value.is_null());
    merged.attributes.patch(attributes);
    for identifier in new.identifiers {
        if !merged.identifiers.contains(&identifier) {
            merged.identifiers.push(identifier);
        }
    }
    match merged.checked() {
        Err(invalid) => Imported::Rejected(invalid),
        Ok(merged) if merged == *earlier => Imported::Unchanged(id),
        Ok(merged) => {
            *earlier = merged;
            Imported::Updated(id)
        }
    }
}
