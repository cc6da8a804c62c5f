use anyhow::Result;
use regard_engine::ports::{Incoming, Log};
use regard_model::consent::{ConsentState, NewConsent};
use regard_model::outbox::NewMessage;
use regard_model::{Attributes, Evaluation, Subject, Timestamp, Window};
use serde_json::json;

use crate::bed::{Backend, Bed, START_MS, customer, order, shop};

/// The views that people query, with their columns, in order.
const VIEWS: [(&str, &str); 6] = [
    ("customers", "id, kind, name, stage, attributes, created_at"),
    ("identifiers", "customer_id, scheme, value"),
    (
        "interactions",
        "id, customer_id, channel_id, channel, external_id, kind, occurred_at, received_at, amount_minor, currency, attributes",
    ),
    ("observations", "metric, subject_kind, subject_id, window_start, window_end, value"),
    ("consents", "id, customer_id, purpose, channel_kind, state, basis, source, recorded_at"),
    (
        "deliveries",
        "id, customer_id, purpose, channel, idempotency_key, origin, state, reason, provider_id, attempts, due_at, created_at, updated_at",
    ),
];

fn columns_of(bed: &Bed, view: &str) -> Result<String> {
    let sql = match bed.backend {
        Backend::Sqlite => format!("SELECT name FROM pragma_table_info('{view}') ORDER BY cid"),
        Backend::Postgres => {
            format!(
                "SELECT column_name FROM information_schema.columns WHERE table_name = '{view}' ORDER BY ordinal_position"
            )
        }
    };
    Ok(bed.sql(&sql)?.replace('\n', ", "))
}

/// An instant of a view as text, the same on both databases.
fn instant(bed: &Bed, column: &str) -> String {
    match bed.backend {
        Backend::Sqlite => column.to_owned(),
        Backend::Postgres => {
            format!(r#"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#)
        }
    }
}

pub async fn have_the_same_columns_everywhere(bed: Bed) -> Result<()> {
    let _store = bed.open().await?;
    for (view, columns) in VIEWS {
        assert_eq!(columns_of(&bed, view)?, columns, "{view}");
    }
    if bed.backend == Backend::Postgres {
        let instants = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND
            data_type = 'timestamp with time zone' AND (column_name LIKE '%\\_at' OR column_name LIKE 'window\\_%') AND
            table_name IN ('customers', 'interactions', 'observations', 'consents', 'deliveries')";
        assert_eq!(bed.sql(instants)?, "9");
    }
    // Opening again neither fails nor changes anything.
    let _again = bed.open().await?;
    assert_eq!(columns_of(&bed, VIEWS[0].0)?, VIEWS[0].1);
    Ok(())
}

pub async fn show_customers_after_merges_and_instants_in_utc(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    let (ada, old) =
        (customer(&store, "Ada", &["cookie:a"]).await?, customer(&store, "Old", &["cookie:b"]).await?);
    let instants = [-2_208_988_800_000, -1, 0, 867_672_000_001, START_MS + 999, 7_258_118_399_999];
    let mut items = Vec::new();
    for at in instants {
        let occurred_at = Timestamp::from_millis(at);
        let attributes = Attributes::from([("n", json!(at))]);
        items.push(Incoming { occurred_at, attributes, ..order(shop.id, &at.to_string(), &["cookie:b"]) });
    }
    items.push(order(shop.id, "nobody", &[]));
    store.append(items, None).await?;
    let consent = NewConsent {
        purpose: "marketing".into(),
        channel_kind: "email".into(),
        state: ConsentState::Granted,
        basis: "form".into(),
        source: "web".into(),
    };
    store.record_consent(old.id, consent).await?;
    let message = NewMessage {
        customer: old.id,
        purpose: "service".into(),
        channel: None,
        body: "hello".into(),
        parameters: Attributes::new(),
        idempotency_key: "k".into(),
        not_before: None,
    };
    store.enqueue(message, "person", None).await?;
    let evaluation = Evaluation {
        id: store.next_id(),
        metric: "clv".into(),
        metric_version: 1,
        evaluator: "kpi-x@0.1.0".into(),
        evaluator_digest: String::new(),
        parameters: json!({}),
        window: Window { start: None, end: Timestamp::from_millis(START_MS) },
        currency: None,
        rows: 0,
        rows_other_currency: 0,
        subjects: 0,
        watermark: None,
        model: None,
        summary: json!({}),
        evaluated_at: Timestamp::from_millis(START_MS),
        elapsed_ms: 0,
    };
    let findings = vec![
        (Subject::Customer(old.id), Some(0.5), Attributes::new()),
        (Subject::Business, Some(2.5), Attributes::new()),
    ];
    store.store_evaluation(evaluation, "minor", findings).await?;
    store.merge_customers(old.id, ada.id, "same", Attributes::new(), "t").await?;

    let ada = ada.id.as_i64();
    assert_eq!(bed.sql("SELECT id, name, stage FROM customers")?, format!("{ada}|Ada|prospect"));
    assert_eq!(bed.sql("SELECT DISTINCT customer_id FROM identifiers")?, ada.to_string());
    let shown = bed.sql(&format!(
        "SELECT {} FROM interactions WHERE customer_id = {ada} ORDER BY id",
        instant(&bed, "occurred_at")
    ))?;
    let expected: Vec<String> = instants.map(|at| Timestamp::from_millis(at).to_string()).into();
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    assert_eq!(
        bed.sql("SELECT channel, amount_minor, currency FROM interactions WHERE customer_id IS NULL")?,
        "shop|1177|USD"
    );
    assert_eq!(
        bed.sql("SELECT count(*) FROM interactions WHERE CAST(attributes ->> 'n' AS TEXT) = '-1'")?,
        "1"
    );
    assert_eq!(
        bed.sql("SELECT subject_kind, subject_id, window_start, value FROM observations ORDER BY subject_kind DESC")?,
        format!("customer|{ada}||0.5\nbusiness|||2.5")
    );
    assert_eq!(bed.sql("SELECT customer_id, state FROM consents")?, format!("{ada}|granted"));
    assert_eq!(
        bed.sql("SELECT customer_id, state, idempotency_key FROM deliveries")?,
        format!("{ada}|pending|person/k")
    );
    let start = Timestamp::from_millis(START_MS).to_string();
    assert_eq!(bed.sql(&format!("SELECT {} FROM deliveries", instant(&bed, "due_at")))?, start);
    Ok(())
}
