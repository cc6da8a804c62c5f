//! The bundled hook that welcomes valued customers.

use regard_engine::Fault;
use regard_engine::ports::{Event, Hooks};
use regard_host::{LoadError, Package};
use regard_model::{CustomerId, EvaluationId, Observation, ObservationId, Subject, Window};
use serde_json::json;

use crate::world::{NOW, World, root};

fn package() -> Package {
    Package::from_folder(&root().join("plugins/hook-welcome")).expect("the plugin")
}

/// An observation of `metric`.
pub fn observed(metric: &str, subject: Subject, value: Option<f64>, previous: Option<f64>) -> Event {
    Event::MetricObserved(Observation {
        id: ObservationId::from_i64(1),
        evaluation: EvaluationId::from_i64(1),
        metric: metric.to_owned(),
        subject,
        window: Window { start: None, end: NOW },
        value,
        unit: "minor".to_owned(),
        details: Default::default(),
        previous,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reaches_the_threshold_is_welcomed_once() {
    let world = World::new();
    let config = json!({ "threshold": 1000, "message": "Dear {name}, {value} is over {threshold}.", "subject": "Hi {name}" });
    world.load_with(package(), config, None).await;
    let ada = world.customer(7, "Ada");
    let nameless = world.customer(8, "");
    let clv = |id: CustomerId, value, previous| observed("clv", Subject::Customer(id), value, previous);
    let effects = world
        .host
        .handle(
            "hook-welcome",
            &[
                clv(ada, Some(999.0), None),
                clv(ada, Some(1000.0), Some(999.0)),
                clv(ada, Some(1500.0), Some(1000.0)),
                clv(ada, Some(2000.5), Some(10.0)),
                clv(nameless, Some(5000.25), None),
                clv(CustomerId::from_i64(99), Some(5000.0), None),
                clv(ada, None, None),
                observed("rfm", Subject::Customer(ada), Some(5000.0), None),
                observed("clv", Subject::Business, Some(5000.0), None),
            ],
        )
        .await
        .expect("handled");
    let tagged: Vec<_> =
        effects.customers.iter().map(|(id, change)| (*id, change.add_tags.clone())).collect();
    let tag = std::collections::BTreeSet::from(["valued-customer".to_owned()]);
    assert_eq!(tagged, [(ada, tag.clone()), (nameless, tag)]);
    let messages: Vec<_> =
        effects.messages.iter().map(|(_, message)| (message.customer, message.body.as_str())).collect();
    assert_eq!(
        messages,
        [(ada, "Dear Ada, 1000 is over 1000."), (nameless, "Dear there, 5000.25 is over 1000.")]
    );
    let first = &effects.messages[0].1;
    assert_eq!(
        (first.purpose.as_str(), first.idempotency_key.as_str()),
        ("marketing", format!("hook-welcome:clv:{ada}").as_str())
    );
    assert_eq!(first.parameters.get("subject"), Some(&json!("Hi Ada")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placeholder_that_is_none_is_refused() {
    let config = json!({ "message": "Dear {nmae}" });
    let error = World::new().host.load(package(), config, None).await.expect_err("refused");
    assert!(error.to_string().contains("{nmae} is no placeholder"), "{error}");
    let error =
        World::new().host.load(package(), json!({ "threshold": "much" }), None).await.expect_err("refused");
    assert!(matches!(error, LoadError::Config { .. }), "{error}");
    let gone = World::new().host.handle("hook-welcome", &[]).await.expect_err("not installed");
    assert_eq!(gone.fault, Fault::OutOfService);
}
