//! The tables as sea-orm entities, one module per table. What the columns mean stands in [`crate::migrations`].
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

pub mod customer {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "customer")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub kind: String,
        pub name: String,
        pub name_folded: String,
        pub stage: String,
        pub tags: String,
        pub attributes: String,
        pub source: String,
        pub version: i64,
        pub root_id: i64,
        pub merged_into: Option<i64>,
        pub created_at: i64,
        pub updated_at: i64,
    }
    no_relations!();
}

pub mod identifier {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "identifier")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub value: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub scheme: String,
        pub customer_id: i64,
        pub linked_at: i64,
    }
    no_relations!();
}

pub mod customer_merge {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "customer_merge")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub from_id: i64,
        pub into_id: i64,
        pub reason: String,
        pub evidence: String,
        pub actor: String,
        pub merged_at: i64,
        pub undone_at: Option<i64>,
    }
    no_relations!();
}

pub mod customer_change {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "customer_change")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub customer_id: i64,
    }
    no_relations!();
}

pub mod consent {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "consent")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub customer_id: i64,
        pub purpose: String,
        pub channel_kind: String,
        pub state: String,
        pub basis: String,
        pub source: String,
        pub recorded_at: i64,
    }
    no_relations!();
}

pub mod relationship {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "relationship")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub from_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub to_id: i64,
        pub created_at: i64,
    }
    no_relations!();
}

pub mod channel {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "channel")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub name: String,
        pub kind: String,
        pub connector: Option<String>,
        pub settings: String,
        pub enabled: bool,
        pub created_at: i64,
    }
    no_relations!();
}

pub mod secret {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "secret")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub owner: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub sealed: Vec<u8>,
    }
    no_relations!();
}

pub mod interaction {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "interaction")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub customer_id: Option<i64>,
        pub channel_id: i64,
        pub occurred_at: i64,
        pub amount_minor: Option<i64>,
        pub currency: Option<String>,
        pub kind: String,
        pub external_id: String,
        pub received_at: i64,
        pub provenance: String,
        pub thread: Option<String>,
        pub causation_id: Option<i64>,
        pub attributes: String,
    }
    no_relations!();
}

pub mod evaluation {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "evaluation")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub metric: String,
        pub metric_version: i64,
        pub unit: String,
        pub evaluator: String,
        pub evaluator_digest: String,
        pub parameters: String,
        pub window_start: Option<i64>,
        pub window_end: i64,
        pub currency: Option<String>,
        pub rows_read: i64,
        pub rows_other_currency: i64,
        pub subjects: i64,
        pub watermark: Option<i64>,
        pub model: Option<String>,
        pub summary: String,
        pub evaluated_at: i64,
        pub elapsed_ms: i64,
    }
    no_relations!();
}

pub mod observation {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "observation")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub evaluation_id: i64,
        pub metric: String,
        pub subject_id: i64,
        #[sea_orm(column_type = "Double", nullable)]
        pub value: Option<f64>,
        #[sea_orm(column_type = "Double", nullable)]
        pub previous: Option<f64>,
        pub details: String,
    }
    no_relations!();
}

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

pub mod progress {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "progress")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub subscriber: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub stream: String,
        pub position: i64,
    }
    no_relations!();
}

pub mod kept {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "kept")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub plugin: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub value: Vec<u8>,
    }
    no_relations!();
}

pub mod plugin {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "plugin")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub version: String,
        pub runtime: String,
        pub capabilities: String,
        pub digest: String,
        pub manifest: String,
        pub grants: String,
        pub config: String,
        pub enabled: bool,
        pub fault: Option<String>,
        pub installed_at: i64,
        pub signed_by: Option<String>,
    }
    no_relations!();
}

pub mod plugin_version {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "plugin_version")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub plugin: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub digest: String,
        pub version: String,
        pub manifest: String,
        pub config: String,
        pub signed_by: Option<String>,
        pub waiting: bool,
        pub installed_at: i64,
        pub served_at: Option<i64>,
    }
    no_relations!();
}

pub mod kept_usage {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "kept_usage")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub plugin: String,
        pub bytes: i64,
    }
    no_relations!();
}

pub mod plugin_file {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "plugin_file")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub digest: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub bytes: Vec<u8>,
    }
    no_relations!();
}

pub mod record_type {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "record_type")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub plugin: String,
        pub declaration: String,
        pub declared_at: i64,
    }
    no_relations!();
}

pub mod record {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "record")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub kind: String,
        pub customer_id: Option<i64>,
        pub data: String,
        pub version: i64,
        pub created_at: i64,
        pub updated_at: i64,
    }
    no_relations!();
}

pub mod record_index {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "record_index")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub field: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub value: Vec<u8>,
        #[sea_orm(primary_key, auto_increment = false)]
        pub record_id: i64,
        pub is_unique: bool,
    }
    no_relations!();
}

pub mod script {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "script")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub digest: String,
        pub source: String,
        pub enabled: bool,
        pub deployed_at: i64,
    }
    no_relations!();
}

pub mod token {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "token")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub role: String,
        pub label: String,
        pub secret_hash: Vec<u8>,
        pub created_at: i64,
        pub revoked_at: Option<i64>,
    }
    no_relations!();
}

pub mod import {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "import")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub mark: String,
        pub updated_at: i64,
    }
    no_relations!();
}

pub mod audit {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub at: i64,
        pub actor: String,
        pub action: String,
        pub subject: String,
        pub details: String,
        pub hash: String,
    }
    no_relations!();
}

pub mod idempotency {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub principal: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub request_digest: String,
        pub status: i64,
        pub body: Vec<u8>,
        pub created_at: i64,
    }
    no_relations!();
}
