//! Messages on their way out.

pub mod outbox {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "outbox")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub customer_id: i64,
        pub purpose: String,
        pub channel: Option<String>,
        pub body: String,
        pub parameters: String,
        pub idempotency_key: String,
        pub origin: String,
        pub causation_id: Option<i64>,
        pub state: String,
        pub reason: Option<String>,
        pub provider_id: Option<String>,
        pub attempts: i64,
        pub due_at: i64,
        pub wake_at: Option<i64>,
        pub created_at: i64,
        pub updated_at: i64,
    }
    no_relations!();
}

pub mod delivery_attempt {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "delivery_attempt")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub entry_id: i64,
        pub number: i64,
        pub channel: String,
        pub started_at: i64,
        pub elapsed_ms: i64,
        pub outcome: String,
        pub detail: String,
    }
    no_relations!();
}
