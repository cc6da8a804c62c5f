//! The audit log: each line carries the hash of the line before, so that a line taken out or changed later shows.
//!
//! The hash covers what is stored, byte by byte. Lines cut off at the end do not show in the chain itself; whoever
//! wants to see that too writes the last hash down somewhere else.

use regard_engine::StoreError;
use regard_model::{Attributes, AuditEntry, AuditId, Timestamp};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use sha2::{Digest, Sha256};

use crate::entity::audit::{Column, Entity, Model};
use crate::failure::{During, without_nul};
use crate::json;
use crate::open::Store;

/// Lines that are checked at a time.
const LINES_PER_PAGE: u64 = 1_000;

/// Which lines of the audit log to list; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Who, such as `plugin:hook-welcome`.
    pub actor: Option<String>,
    /// What, such as `call.denied`.
    pub action: Option<String>,
    /// To what, such as `customer:<id>`.
    pub subject: Option<String>,
}

/// What a check of the audit log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCheck {
    /// Lines that were read.
    pub lines: u64,
    /// The first line that does not follow from the line before.
    pub broken_at: Option<AuditId>,
    /// Hash of the last line, empty when there is none.
    pub head: String,
}

impl Store {
    /// Adds a line to the audit log.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn append_audit(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        details: Attributes,
    ) -> Result<AuditEntry, StoreError> {
        let during = "append to the audit log";
        let write = self.begin_ordered(during).await?;
        let last = Entity::find().order_by_desc(Column::Id).one(&*write).await.during(during)?;
        let now = self.now();
        let mut row = Model {
            id: self.inner.ids.next::<()>(now).as_i64(),
            at: now.as_millis(),
            actor: without_nul(actor),
            action: without_nul(action),
            subject: without_nul(subject),
            details: json::to_text(during, &details)?.into_owned(),
            hash: String::new(),
        };
        row.hash = hash_of(last.as_ref().map_or("", |line| &line.hash), &row);
        let entry = read(row.clone(), during)?;
        Entity::insert(row.into_active_model()).exec_without_returning(&*write).await.during(during)?;
        write.commit().await?;
        Ok(entry)
    }

    /// At most `limit` lines older than `before`, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_audit(
        &self,
        filter: &AuditFilter,
        before: Option<AuditId>,
        limit: u64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let during = "list the audit log";
        let mut query = Entity::find().order_by_desc(Column::Id).limit(limit);
        for (column, wanted) in [
            (Column::Actor, &filter.actor),
            (Column::Action, &filter.action),
            (Column::Subject, &filter.subject),
        ] {
            if let Some(wanted) = wanted {
                query = query.filter(column.eq(wanted.as_str()));
            }
        }
        if let Some(before) = before {
            query = query.filter(Column::Id.lt(before.as_i64()));
        }
        query.all(&self.inner.db).await.during(during)?.into_iter().map(|row| read(row, during)).collect()
    }

    /// Computes every hash again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn check_audit(&self) -> Result<AuditCheck, StoreError> {
        let mut check = AuditCheck { lines: 0, broken_at: None, head: String::new() };
        let mut position = i64::MIN;
        loop {
            let page = Entity::find()
                .filter(Column::Id.gt(position))
                .order_by_asc(Column::Id)
                .limit(LINES_PER_PAGE)
                .all(&self.inner.db)
                .await
                .during("check the audit log")?;
            let Some(last) = page.last() else { return Ok(check) };
            position = last.id;
            for line in page {
                check.lines += 1;
                if check.broken_at.is_none() && hash_of(&check.head, &line) != line.hash {
                    check.broken_at = Some(AuditId::from_i64(line.id));
                }
                check.head = line.hash;
            }
        }
    }
}

/// SHA-256 over the hash before and the line; every text is preceded by its length, so that none can lend its end to
/// the next one.
fn hash_of(previous: &str, line: &Model) -> String {
    let mut hash = Sha256::new();
    for number in [line.id, line.at] {
        hash.update(number.to_be_bytes());
    }
    for text in [previous, &line.actor, &line.action, &line.subject, &line.details] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(row: Model, during: &'static str) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        id: AuditId::from_i64(row.id),
        at: Timestamp::from_millis(row.at),
        actor: row.actor,
        action: row.action,
        subject: row.subject,
        details: json::read(during, &row.details)?,
        hash: row.hash,
    })
}
