//! The examples do what their READMEs say, and the templates build.

use std::path::Path;

use regard_engine::columns::{Batch, Column, ColumnValues};
use regard_engine::ports::{Evaluators, Event, Hooks};
use regard_host::build::{BuildOptions, build_plugin};
use regard_model::Timestamp;
use serde_json::{Value, json};

use crate::built::{limits, package};
use crate::world::{World, event_with, root};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_order_is_thanked_for() {
    let world = World::with(|options| options.limits = limits());
    world.load(package(&root().join("examples/hook-first-order-typescript"))).await;
    let ada = world.customer(7, "Ada");
    let mut order = event_with("order", Some(ada), Default::default());
    if let Event::InteractionAppended(interaction) = &mut order {
        interaction.kind = "order.placed".parse().expect("a kind");
    }
    let id = "hook-first-order-typescript";
    let effects = world.host.handle(id, &[order.clone(), order.clone()]).await.expect("handled");
    assert_eq!(effects.customers.len(), 1, "the second order finds the tag");
    assert!(effects.customers[0].1.add_tags.contains("customer"));
    assert_eq!(effects.messages.len(), 1);
    assert_eq!(effects.messages[0].1.body, "Thank you for your first order, Ada!");
    world.stored.customers.lock().get_mut(&ada).expect("Ada").tags.insert("customer".into());
    assert!(world.host.handle(id, &[order]).await.expect("handled").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_counted() {
    let world = World::with(|options| options.limits = limits());
    world.load(package(&root().join("examples/kpi-order-count-python"))).await;
    let rows = |times: &[i64]| Batch {
        rows: times.len() as u32,
        columns: vec![Column::new("occurred-at", ColumnValues::TimestampMs(times.to_vec()))],
    };
    let open = async || world.host.open("order-count", json!({})).await.expect("opens").0;
    let mut whole = open().await;
    whole.update(&[0, 2, 0], 4, &rows(&[5, 7, 3])).await.expect("update");
    let mut part = open().await;
    part.update(&[0, 1], 2, &rows(&[9, 1])).await.expect("update");
    let state = part.state().await.expect("state");
    // Group 0 of the part is 2 here, group 1 is 3.
    whole.merge(&state, &[2, 3]).await.expect("merge");
    let finished = whole.finish(Timestamp::from_millis(10)).await.expect("finish");
    let values: Vec<Value> = (0..4).map(|row| finished.column("value").expect("value").json(row)).collect();
    assert_eq!(values, [json!(2.0), Value::Null, json!(2.0), json!(1.0)]);
    assert_eq!(finished.column("last_order").expect("a column").json(1), Value::Null);
    let failed = whole.merge(&state[..7], &[0]).await.expect_err("damaged");
    assert_eq!(failed.fault, regard_engine::Fault::Invalid, "{failed}");
}

/// A template with its names filled in.
fn filled(language: &str, id: &str, into: &Path) {
    for entry in
        std::fs::read_dir(root().join("sdk/templates").join(language).join("hook")).expect("the template")
    {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let text = text.replace("{{id}}", id).replace("{{name}}", "A new plugin");
        let text = text.replace("{{contract}}", &regard_host::manifest::CONTRACT.to_string());
        assert!(!text.contains("{{"), "{}: {text}", path.display());
        std::fs::write(into.join(path.file_name().expect("a name")), text).expect("written");
    }
}

#[test]
fn templates_build_and_an_unchanged_folder_is_not_built_again() {
    for (language, source) in [("typescript", "plugin.ts"), ("python", "plugin.py")] {
        let folder = tempfile::tempdir().expect("a folder");
        let id = format!("hook-new-{language}");
        filled(language, &id, folder.path());
        let out = folder.path().join("out");
        let build = || {
            let mut steps = Vec::new();
            let built = build_plugin(folder.path(), &BuildOptions::new(&out), &mut |line| {
                steps.push(line.to_owned());
            })
            .unwrap_or_else(|why| panic!("{why}"));
            let made = steps.iter().any(|step| step.contains("making a component"));
            (built, made)
        };
        let (first, made) = build();
        assert!(made && first.changed, "{language}");
        let imports = first.imports.iter().filter(|import| !import.contains("/types")).count();
        assert_eq!(imports, 4, "log, clock, config, customers: {:?}", first.imports);
        let (second, made) = build();
        assert!(!made && !second.changed, "{language}");
        assert_eq!(second.digest, first.digest);
        // Who asks for less than the code calls is told what to write.
        let manifest_file = folder.path().join("plugin.toml");
        let manifest = std::fs::read_to_string(&manifest_file).expect("the manifest");
        std::fs::write(&manifest_file, manifest.replace("customers = \"write\"", "")).expect("written");
        let refused = build_plugin(folder.path(), &BuildOptions::new(&out), &mut |_| {});
        let refused = refused.expect_err("the permission is missing").to_string();
        assert!(refused.contains("customers = \"read\""), "{language}: {refused}");
        // Whoever makes a mistake is told where.
        std::fs::write(&manifest_file, manifest).expect("written");
        std::fs::write(folder.path().join(source), "import json\nx = (\n").expect("written");
        let refused = build_plugin(folder.path(), &BuildOptions::new(&out), &mut |_| {});
        let refused = refused.expect_err("a syntax error").to_string();
        assert!(refused.contains(source) && !refused.contains("wasm backtrace"), "{language}: {refused}");
    }
}
