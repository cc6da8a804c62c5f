//! What the cases begin with: the conforming plugin, and a world in which there is something to find.

use std::collections::BTreeSet;
use std::sync::Arc;

use regard_engine::ports::{Event, Hooks};
use regard_host::Package;
use regard_model::{
    Attributes, CustomerId, EvaluationId, Identifier, Interaction, InteractionId, Money, Observation,
    ObservationId, RecordType, Subject, Window,
};
use serde_json::json;

use crate::plugin::conforming;
use crate::world::{NOW, Runtime, World, event, root};

/// The customer whom everything is about.
pub const ADA: i64 = 7;

/// A world with the conforming plugin in service.
pub async fn world(runtime: Runtime) -> World {
    let package = conforming(runtime);
    let world = furnished(&package);
    world.load(package).await;
    world
}

/// A world with customers, interactions, observations, kept bytes, secrets and the types of records of `package`.
pub fn furnished(package: &Package) -> World {
    let world = World::new();
    let ada = world.customer(ADA, "Ada");
    {
        let mut customers = world.stored.customers.lock();
        let customer = customers.get_mut(&ada).expect("Ada");
        customer.tags = BTreeSet::from(["vip".to_owned()]);
        customer.identifiers = vec![Identifier::new("email", "ada@example.com").expect("an identifier")];
        customer.attributes = Attributes::from([("old", json!("x"))]);
    }
    let stored = &world.stored;
    for number in 1..=3 {
        stored.interactions.lock().push(interaction(ada, number));
    }
    stored.interactions.lock().push(interaction(CustomerId::from_i64(8), 4));
    stored.observations.lock().push(observation(Subject::Business, Some(0.5), None));
    for (plugin, key, value) in
        [("conforming", "a/1", "one"), ("conforming", "a/2", "two"), ("other", "theirs", "x")]
    {
        stored.kept.lock().insert((plugin.to_owned(), key.to_owned()), value.as_bytes().to_vec());
    }
    for (name, value) in [("token", "s3cret"), ("other", "0ther")] {
        stored.secrets.lock().insert(name.to_owned(), value.to_owned());
    }
    let note = package.manifest().records[0].clone();
    let mut theirs = note.clone();
    theirs.name = "secret-note".to_owned();
    for (plugin, declared) in [("conforming", note), ("other", theirs)] {
        let name = declared.name.clone();
        let declared = Arc::new(RecordType::new(plugin, declared).expect("a type"));
        stored.record_types.lock().insert(name, declared);
    }
    world
}

fn interaction(customer: CustomerId, number: i64) -> Interaction {
    let Event::InteractionAppended(interaction) = event("x") else { unreachable!("event makes one") };
    Interaction {
        id: InteractionId::from_i64(number),
        customer: Some(customer),
        external_id: format!("A{number}"),
        kind: "order.placed".parse().expect("a kind"),
        occurred_at: NOW.plus_millis(number),
        ..interaction
    }
}

/// An observation of `clv`.
pub fn observation(subject: Subject, value: Option<f64>, previous: Option<f64>) -> Observation {
    Observation {
        id: ObservationId::from_i64(1),
        evaluation: EvaluationId::from_i64(1),
        metric: "clv".to_owned(),
        subject,
        window: Window { start: None, end: NOW },
        value,
        unit: "minor".to_owned(),
        details: Attributes::new(),
        previous,
    }
}

/// An interaction of Ada's whose kind says what to do.
pub fn about(how: &str) -> Event {
    let Event::InteractionAppended(interaction) = event(how) else { unreachable!("event makes one") };
    let attributes = [("count", json!(3)), ("word", json!("ü")), ("url", json!("https://api.example.com/"))];
    Event::InteractionAppended(Interaction {
        customer: Some(CustomerId::from_i64(ADA)),
        amount: Some(Money { minor: -250, currency: "EUR".parse().expect("a currency") }),
        attributes: Attributes::from(attributes),
        ..interaction
    })
}

/// Another plugin, which must not notice anything.
pub async fn with_bystander(world: &World) {
    world.load(Package::from_folder(&root().join("plugins/hook-welcome")).expect("a bystander")).await;
}

pub async fn bystander_works(world: &World) {
    let seen = Event::MetricObserved(observation(Subject::Business, Some(1.0), None));
    world.host.handle("hook-welcome", &[seen]).await.expect("the other plugin works");
}
