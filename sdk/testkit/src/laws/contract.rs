//! The contract: a plugin loads, describes itself twice alike, refuses settings that do not fit, reports what it is not
//! allowed, and breaks on nothing that it may be handed.

use anyhow::Result;
use regard_engine::ports::{Event, Hooks as _};
use regard_host::manifest::{Capability, EventKind, Permissions};
use regard_host::{Grants, LoadError};
use regard_model::interaction::Provenance;
use regard_model::{
    Attributes, Customer, CustomerId, CustomerKind, EvaluationId, Interaction, InteractionId, Kind,
    LifecycleStage, Money, Observation, ObservationId, Subject, Timestamp, Window,
};
use serde_json::{Value, json};

use super::{broke, verdict};
use crate::Trial;
use crate::report::{Report, Verdict};
use crate::run;
use crate::scenario::Scenario;
use crate::scenario::parts::Action;
use crate::world::World;

/// A text longer than any field of a CRM, in bytes.
const HUGE_TEXT_BYTES: usize = 60_000;

/// Tries the laws; whether the plugin loads at all.
pub(super) async fn tried(trial: &Trial, report: &mut Report) -> Result<bool> {
    let ground = trial.ground();
    let world = match trial.world(&ground).await {
        Ok(world) => world,
        Err(why) => {
            report.add("contract: loads", Verdict::Failed(vec![format!("{why:#}")]));
            return Ok(false);
        }
    };
    report.add("contract: loads", Verdict::Ok);
    report.add("contract: describes itself twice alike", alike(trial, &ground, &world).await?);
    report.add("contract: settings", settings(trial, &world).await);
    report.cost(&world);
    let refused = without_permissions(trial, report).await?;
    report.add("contract: without permissions", refused);
    if world.can(Capability::Hook) {
        let hostile = hostile(trial, &ground, report).await?;
        report.add("contract: hostile events", hostile);
    }
    Ok(true)
}

/// Set up once more, with nothing left of the first time.
async fn alike(trial: &Trial, ground: &Scenario, world: &World) -> Result<Verdict> {
    let again = trial.world(ground).await?;
    let mut complaints = Vec::new();
    let (first, second) = (&world.status, &again.status);
    if first.metrics != second.metrics {
        complaints.push(run::different(
            "metrics",
            format!("{:?}", first.metrics),
            format!("{:?}", second.metrics),
        ));
    }
    if first.features != second.features {
        let words = |features| format!("{features:?}");
        complaints.push(run::different("features", words(&first.features), words(&second.features)));
    }
    // The same instance's code, configured a second time in the same host.
    let config = if ground.config.is_null() { json!({}) } else { ground.config.clone() };
    let grants = Some(world.status.grants.clone());
    match world.host.prepare(trial.package.clone(), config, grants).await {
        Ok(prepared) if prepared.status().metrics == first.metrics => {}
        Ok(_) => complaints.push("metrics differ when it is set up a second time".to_owned()),
        Err(why) => complaints.push(format!("set up a second time: {why}")),
    }
    Ok(verdict(complaints))
}

/// Defaults are taken, an unknown setting and a value of another type are refused.
async fn settings(trial: &Trial, world: &World) -> Verdict {
    let good = world.status.config.clone();
    let grants = || Some(world.status.grants.clone());
    let refused = async |config: Value| {
        let prepared = world.host.prepare(trial.package.clone(), config, grants()).await;
        matches!(prepared, Err(LoadError::Config { .. }))
    };
    let mut complaints = Vec::new();
    let with = |name: &str, value: Value| {
        let mut config = good.clone();
        if let Value::Object(members) = &mut config {
            members.insert(name.to_owned(), value);
        }
        config
    };
    if !refused(with("no such setting", json!(1))).await {
        complaints.push("an unknown setting is taken: wanted `additionalProperties = false`".to_owned());
    }
    let properties = world.status.config_schema.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        let Some(kind) = schema.get("type").and_then(Value::as_str) else { continue };
        let other = if kind == "array" { json!({}) } else { json!([]) };
        if !refused(with(name, other)).await {
            complaints.push(format!("`{name}` takes another type than {kind}"));
        }
    }
    verdict(complaints)
}

/// Everything that the manifest asks for is withheld: the plugin may fail, but only by reporting an error.
async fn without_permissions(trial: &Trial, report: &mut Report) -> Result<Verdict> {
    if trial.package.manifest().permissions == Permissions::default() {
        return Ok(Verdict::Ok);
    }
    let mut complaints = Vec::new();
    let mut has_called = false;
    for scenario in &trial.scenarios {
        let mut world = match World::open(trial, scenario, Some(Grants::default())).await {
            Ok(world) => world,
            Err(why) => {
                has_called = true;
                if let Some(LoadError::Call(error)) = why.downcast_ref::<LoadError>()
                    && error.fault.breaks_instance()
                {
                    complaints.push(format!("{}: set-up: {error}", scenario.name));
                }
                continue;
            }
        };
        let played = run::raw(&mut world, scenario).await?;
        has_called |= played.called;
        let broken = played.errors.iter().filter(|error| error.fault.breaks_instance());
        complaints.extend(
            broken
                .map(|error| format!("{}: wanted the refusal to be reported, found {error}", scenario.name)),
        );
        report.cost(&world);
    }
    if !has_called {
        let add = "add a scenario in which the plugin is called".to_owned();
        return Ok(Verdict::NotTried(add));
    }
    Ok(verdict(complaints))
}

/// Contents that no provider should send and some will.
async fn hostile(trial: &Trial, ground: &Scenario, report: &mut Report) -> Result<Verdict> {
    let subscribed = &trial.package.manifest().subscribe;
    if subscribed.is_empty() {
        let add = "the manifest subscribes to nothing; add a [[subscribe]]".to_owned();
        return Ok(Verdict::NotTried(add));
    }
    let world = trial.world(ground).await?;
    let known = world.customers.values().next().copied();
    let mut complaints = Vec::new();
    let mut batches: Vec<(String, Vec<Event>)> = Vec::new();
    for wanted in subscribed {
        match wanted.event {
            EventKind::InteractionAppended => {
                let kind = wanted.kind.as_deref().unwrap_or("order.placed").replace('*', "hostile");
                if let Ok(kind) = kind.parse::<Kind>() {
                    batches.extend(interactions(&kind, known));
                }
            }
            EventKind::CustomerChanged => batches.extend(customers(known)),
            EventKind::MetricObserved => {
                let named = |text: &String| vec![text.clone()];
                let metrics = wanted.metric.as_ref().map_or_else(|| metrics(trial, &world), named);
                batches.extend(metrics.iter().flat_map(|metric| observations(metric, known)));
            }
        }
    }
    for (what, events) in batches {
        let ended = world.host.handle(world.plugin(), &events).await;
        complaints.extend(broke(&what, &ended));
        world.forgive();
    }
    report.cost(&world);
    Ok(verdict(complaints))
}

/// The metrics that the plugin may be looking for: those of its scenarios, and every text of its settings that could be one.
fn metrics(trial: &Trial, world: &World) -> Vec<String> {
    let mut names = vec!["hostile".to_owned()];
    for step in trial.scenarios.iter().flat_map(|scenario| &scenario.steps) {
        if let Action::Observation(part) = &step.action {
            names.push(part.metric.clone());
        }
    }
    let settings = world.status.config.as_object().into_iter().flatten();
    names.extend(
        settings
            .filter(|(name, _)| name.contains("metric"))
            .filter_map(|(_, value)| Some(value.as_str()?.to_owned())),
    );
    names.sort();
    names.dedup();
    names
}

/// Texts with a name for the report.
fn texts() -> [(&'static str, String); 5] {
    [
        ("empty text", String::new()),
        ("huge text", "x".repeat(HUGE_TEXT_BYTES)),
        ("control characters", "\u{1}\u{1b}[31m\r\n\t\u{7f}\u{202e}".to_owned()),
        ("NUL", "a\0b".to_owned()),
        ("emoji", "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f3f4}\u{e0067} \u{fdfd}".to_owned()),
    ]
}

fn interactions(kind: &Kind, known: Option<CustomerId>) -> Vec<(String, Vec<Event>)> {
    let now = Timestamp::from_millis(1_767_603_600_000);
    let plain = Interaction {
        id: InteractionId::from_i64(1),
        customer: known,
        channel: "shop".to_owned(),
        external_id: "1".to_owned(),
        kind: kind.clone(),
        occurred_at: now,
        received_at: now,
        thread: None,
        amount: None,
        attributes: Attributes::new(),
        provenance: Provenance::Of,
        causation_id: None,
    };
    let event = Event::InteractionAppended;
    let mut all: Vec<(String, Vec<Event>)> = Vec::new();
    let mut add = |what: &str, events: Vec<Event>| all.push((format!("{kind}: {what}"), events));
    for (what, text) in texts() {
        let names = ["text", "subject", "body", "name", "email", "sku", "priority", "rating", "score"];
        let attributes = Attributes(names.map(|name| (name.to_owned(), json!(text))).into());
        add(what, vec![event(Interaction { attributes, thread: Some(text), ..plain.clone() })]);
    }
    add("no customer", vec![event(Interaction { customer: None, ..plain.clone() })]);
    let stranger = Some(CustomerId::from_i64(7));
    add("a customer that is gone", vec![event(Interaction { customer: stranger, ..plain.clone() })]);
    if let Ok(currency) = "USD".parse() {
        for minor in [i64::MIN, i64::MAX, 0, -1] {
            let amount = Some(Money { minor, currency });
            add(&format!("amount {minor}"), vec![event(Interaction { amount, ..plain.clone() })]);
        }
    }
    for occurred_at in [regard_model::time::EARLIEST, regard_model::time::LATEST] {
        add(&format!("{occurred_at}"), vec![event(Interaction { occurred_at, ..plain.clone() })]);
    }
    let shapes = [("null", Value::Null), ("nested", json!({ "a": [[[[1e308, -0.0, i64::MIN]]]] }))];
    for (what, value) in shapes {
        let attributes = Attributes::from([("text", value.clone()), ("subject", value)]);
        add(what, vec![event(Interaction { attributes, ..plain.clone() })]);
    }
    add("the same event twice", vec![event(plain.clone()), event(plain)]);
    add("no event", Vec::new());
    all
}

fn customers(known: Option<CustomerId>) -> Vec<(String, Vec<Event>)> {
    let now = Timestamp::from_millis(1_767_603_600_000);
    let id = known.unwrap_or_else(|| CustomerId::from_i64(7));
    let each = texts().into_iter().map(|(what, text)| {
        let customer = Customer {
            id,
            kind: CustomerKind::Person,
            name: text.clone(),
            stage: LifecycleStage::Prospect,
            tags: Default::default(),
            attributes: Attributes::from([("text", json!(text))]),
            identifiers: Vec::new(),
            source: "hostile".to_owned(),
            version: i64::MAX,
            created_at: now,
            updated_at: now,
        };
        let event = Event::CustomerChanged(customer);
        (format!("customer.changed: {what}"), vec![event.clone(), event])
    });
    each.collect()
}

fn observations(metric: &str, known: Option<CustomerId>) -> Vec<(String, Vec<Event>)> {
    let values = [None, Some(f64::MAX), Some(f64::MIN), Some(-0.0), Some(f64::INFINITY), Some(f64::NAN)];
    let stranger = Subject::Customer(CustomerId::from_i64(7));
    let subjects = [known.map_or(stranger, Subject::Customer), stranger, Subject::Business];
    let mut all = Vec::new();
    for subject in subjects {
        for value in values {
            let observation = Observation {
                id: ObservationId::from_i64(1),
                evaluation: EvaluationId::from_i64(1),
                metric: metric.to_owned(),
                subject,
                window: Window { start: None, end: Timestamp::from_millis(i64::MAX / 4) },
                value,
                unit: String::new(),
                details: Attributes::new(),
                previous: value.map(|value| -value),
            };
            let event = Event::MetricObserved(observation);
            let what = format!("metric {metric} of {subject}: {value:?}");
            all.push((what, vec![event.clone(), event]));
        }
    }
    all
}
