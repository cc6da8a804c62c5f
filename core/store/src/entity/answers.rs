//! Evaluations and what they observed.

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
