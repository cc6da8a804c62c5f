//! Changing a customer.
//!
//! Changes go to the root's row. An attribute that a person removes while another row would fill the gap stays as
//! `null` in the root's row, which hides the other one; when the merge is undone both are as they were. A tag has no
//! such mark, so it is taken from every row.

use std::collections::BTreeSet;

use regard_engine::StoreError;
use regard_model::customer::{CustomerChange, TAGS_MAX};
use regard_model::{Attributes, Customer, CustomerId, Invalid};
use sea_orm::{ActiveModelTrait, IntoActiveModel};

use super::{link, no_customer, read_all, read_one, refuse_taken};
use crate::entity::customer;
use crate::failure::During;
use crate::json;
use crate::open::{Store, Write};

impl Store {
    /// Changes the customer that `id` is read as, and returns it as it is then. A change of nothing changes nothing,
    /// not even the version.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the version is not the one the change names, or when an identifier belongs to
    /// somebody else.
    pub async fn change_customer(
        &self,
        id: CustomerId,
        change: CustomerChange,
    ) -> Result<Customer, StoreError> {
        let write = self.begin_ordered("change a customer").await?;
        let customer = self.change_within(&write, id, change, "change a customer").await?;
        write.commit().await?;
        Ok(customer)
    }

    /// Changes a customer within an ordered transaction.
    pub(crate) async fn change_within(
        &self,
        write: &Write,
        id: CustomerId,
        change: CustomerChange,
        during: &'static str,
    ) -> Result<Customer, StoreError> {
        let change = change.checked()?;
        let now = self.now();
        let mut found = read_all(&**write, &[id], during).await?;
        let before = found.get(id).cloned().ok_or_else(|| no_customer(id))?;
        if change.version.is_some_and(|version| version != before.version) {
            return Err(StoreError::Conflict(format!(
                "customer {} is at version {}, the change was made against version {}",
                before.id,
                before.version,
                change.version.unwrap_or_default()
            )));
        }
        // Everything is checked before the first row is written: an import goes on after a change that is refused.
        check_outcome(&before, &change)?;
        refuse_taken(&**write, Some(before.id), &change.add_identifiers, during).await?;
        let mut fresh = change.add_identifiers.clone();
        fresh.retain(|identifier| !before.identifiers.contains(identifier));
        link(write, before.id, &fresh, now, during).await?;

        let rows = found.rows.remove(&before.id.as_i64()).unwrap_or_default();
        let mut changed: Vec<customer::Model> = Vec::new();
        for row in &rows {
            let mut new = row.clone();
            if row.id == before.id.as_i64() {
                apply(&mut new, &before, &change, rows.len() > 1, during)?;
            } else {
                let mut tags: BTreeSet<String> = json::read(during, &new.tags)?;
                tags.retain(|tag| !change.remove_tags.contains(tag));
                new.tags = json::write(during, &tags)?;
            }
            let is_root_with_news = row.id == before.id.as_i64() && !fresh.is_empty();
            if new != *row || is_root_with_news {
                new.version += 1;
                new.updated_at = now.as_millis();
                changed.push(new);
            }
        }
        if changed.is_empty() {
            return Ok(before);
        }
        for row in changed {
            row.into_active_model().reset_all().update(&**write).await.during(during)?;
        }
        self.announce(write, &[before.id], now, during).await?;
        read_one(&**write, before.id, during).await
    }
}

/// Refuses a change that would leave more on the customer than one may have.
fn check_outcome(before: &Customer, change: &CustomerChange) -> Result<(), Invalid> {
    let mut attributes = before.attributes.clone();
    attributes.patch(change.attributes.clone());
    attributes.checked()?;
    let kept = before.tags.iter().filter(|tag| !change.remove_tags.contains(*tag));
    let tags: BTreeSet<&String> = kept.chain(&change.add_tags).collect();
    if tags.len() > TAGS_MAX {
        return Err(Invalid::new("tags", format!("{} in all, at most {TAGS_MAX} are allowed", tags.len())));
    }
    Ok(())
}

/// Applies a change to the root's row. `merged` says whether other rows fill its gaps.
fn apply(
    row: &mut customer::Model,
    before: &Customer,
    change: &CustomerChange,
    merged: bool,
    during: &'static str,
) -> Result<(), StoreError> {
    if let Some(name) = &change.name {
        row.name.clone_from(name);
        row.name_folded = name.to_lowercase();
    }
    if let Some(kind) = change.kind {
        row.kind = kind.as_str().to_owned();
    }
    if let Some(stage) = change.stage {
        row.stage = stage.as_str().to_owned();
    }
    let mut attributes: Attributes = json::read(during, &row.attributes)?;
    for (name, value) in &change.attributes.0 {
        if !value.is_null() {
            attributes.set(name.clone(), value.clone());
        } else if merged && before.attributes.get(name).is_some() {
            attributes.set(name.clone(), serde_json::Value::Null);
        } else if !merged {
            attributes.0.remove(name);
        }
    }
    row.attributes = json::to_text(during, &attributes)?.into_owned();
    let mut tags: BTreeSet<String> = json::read(during, &row.tags)?;
    let missing =
        change.add_tags.iter().filter(|tag| !before.tags.contains(*tag) || change.remove_tags.contains(*tag));
    tags.retain(|tag| !change.remove_tags.contains(tag));
    tags.extend(missing.cloned());
    row.tags = json::write(during, &tags)?;
    Ok(())
}
