//! Customers, their names and what they allowed.

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
