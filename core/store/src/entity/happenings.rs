//! What happened on which channel, and who has followed it how far.

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
