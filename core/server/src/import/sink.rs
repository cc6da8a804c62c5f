//! Where imported rows go.

use anyhow::Result;
use async_trait::async_trait;
use regard_engine::import::ImportMark;
use regard_engine::inbound::Submission;
use regard_engine::ports::Appended;
use regard_model::customer::NewCustomer;
use regard_store::Imported;

use super::rows::RowValue;
use crate::app::App;

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Accepted,
    /// It was there already.
    Duplicate,
    /// It is refused, for this reason.
    Rejected(String),
}

/// Takes batches of rows.
#[async_trait]
pub trait Sink: Send + Sync {
    /// How far an earlier import under the same key came.
    async fn resume(&self, key: &str) -> Result<Option<ImportMark>>;

    /// Stores `rows` and how far the import has come, together; one outcome per row, in order. The counts in `mark` are
    /// those before these rows: whoever stores it adds the outcomes.
    async fn store(&self, rows: Vec<RowValue>, mark: &ImportMark) -> Result<Vec<Stored>>;
}

#[async_trait]
impl Sink for App {
    async fn resume(&self, key: &str) -> Result<Option<ImportMark>> {
        Ok(self.store.import_mark(key).await?)
    }

    async fn store(&self, rows: Vec<RowValue>, mark: &ImportMark) -> Result<Vec<Stored>> {
        let (customers, interactions) = split(rows);
        if customers.is_empty() {
            let outcomes = self.pipeline.receive(interactions, Some(mark.clone())).await?;
            return Ok(outcomes.into_iter().map(Stored::from).collect());
        }
        let outcomes = self.store.import_customers(customers, Some(mark.clone())).await?;
        Ok(outcomes.into_iter().map(Stored::from).collect())
    }
}

fn split(rows: Vec<RowValue>) -> (Vec<NewCustomer>, Vec<Submission>) {
    let (mut customers, mut interactions) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            RowValue::Customer(customer) => customers.push(*customer),
            RowValue::Interaction(submission) => interactions.push(*submission),
        }
    }
    (customers, interactions)
}

impl From<Imported> for Stored {
    fn from(outcome: Imported) -> Self {
        match outcome {
            Imported::Created(_) | Imported::Updated(_) => Self::Accepted,
            Imported::Unchanged(_) => Self::Duplicate,
            Imported::Rejected(invalid) => Self::Rejected(invalid.to_string()),
        }
    }
}

impl From<Appended> for Stored {
    fn from(outcome: Appended) -> Self {
        match outcome {
            Appended::Accepted { .. } => Self::Accepted,
            Appended::Duplicate { .. } => Self::Duplicate,
            Appended::Rejected(invalid) => Self::Rejected(invalid.to_string()),
        }
    }
}
