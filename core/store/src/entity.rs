//! The tables as sea-orm entities, one module per table, in files by what they are about. What the columns mean stands in
//! [`crate::migrations`].
//!
//! Times are milliseconds since 1970; texts called `attributes`, `tags`, `evidence` and the like hold JSON.

/// Every entity here stands alone: joins are written where they are needed.
macro_rules! no_relations {
    () => {
        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}
        impl ActiveModelBehavior for ActiveModel {}
    };
}

mod access;
mod answers;
mod extensions;
mod happenings;
mod messages;
mod objects;
mod people;

pub use access::{audit, idempotency, token};
pub use answers::{evaluation, observation};
pub use extensions::{kept, kept_usage, plugin, plugin_file, plugin_version, script};
pub use happenings::{channel, import, interaction, progress, secret};
pub use messages::{delivery_attempt, outbox};
pub use objects::{record, record_index, record_type};
pub use people::{consent, customer, customer_change, customer_merge, identifier, relationship};
