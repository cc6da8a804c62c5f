//! Plugins, what they are made of and what they keep.

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
