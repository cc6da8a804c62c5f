//! The demo, exactly as a stranger runs it, and what the literature says about its data.

use std::path::Path;

use regard_tests::server::{regard, regard_json};
use serde_json::Value;

fn demo(folder: &Path, dataset: &str) -> Value {
    let data_dir = folder.join("demo");
    let arguments = ["demo", "--once", "--dataset", dataset, "--data-dir", &data_dir.to_string_lossy()];
    regard_json(folder, &arguments).expect("the demo runs")
}

/// Within half a per cent.
fn close(found: &Value, published: f64, what: &str) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{what} is no number: {found}"));
    assert!((found / published - 1.0).abs() < 0.005, "{what}: {found}, published {published}");
}

#[test]
fn the_whole_shop_twice_in_a_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = demo(folder.path(), "master");
    assert_eq!(first["customers"], 23_570);
    assert_eq!(first["interactions"], 69_659);
    assert_eq!(first["metrics"]["clv"]["customers"], 23_570);
    let segments = first["metrics"]["rfm"]["segments"].as_object().expect("segments");
    assert_eq!(
        segments.values().filter_map(Value::as_u64).sum::<u64>(),
        23_570,
        "everybody is in one segment"
    );
    let repeat = &first["metrics"]["repeat-rate"]["summary"];
    assert_eq!(repeat["customers"], 23_570);
    assert_eq!(repeat["repeat_customers"], 11_516, "customers with orders on two or more days");
    let delivered = first["outbox"]["delivered"].as_u64().expect("a count");
    assert!(delivered > 0 && first["outbox"]["suppressed"].as_u64().expect("a count") > 0);
    assert_eq!(first["received"], delivered, "the receiver saw each message once");
    for model in ["r", "alpha", "a", "b", "log_likelihood", "p", "q", "v"] {
        assert!(first["metrics"]["clv"]["model"][model].is_f64(), "{model}");
    }

    let second = demo(folder.path(), "master");
    for key in ["customers", "interactions", "outbox", "received"] {
        assert_eq!(first[key], second[key], "{key}");
    }
    assert_eq!(first["metrics"]["clv"]["model"], second["metrics"]["clv"]["model"]);
    assert_eq!(first["metrics"]["rfm"]["segments"], second["metrics"]["rfm"]["segments"]);
}

#[test]
fn the_sample_fits_as_published() {
    let folder = tempfile::tempdir().expect("a folder");
    let answer = demo(folder.path(), "sample");
    assert_eq!(answer["customers"], 2357);
    let model = &answer["metrics"]["clv"]["model"];
    // Fader, Hardie, Lee (2005), Marketing Science 24, table 1.
    for (name, published) in
        [("r", 0.243), ("alpha", 4.414), ("a", 0.793), ("b", 2.426), ("log_likelihood", -9582.4)]
    {
        close(&model[name], published, name);
    }
    // Fader, Hardie (2013), The Gamma-Gamma model of monetary value: 6.25, 3.74, 15.44.
    for (name, published) in [("p", 6.25), ("q", 3.74), ("v", 15.44)] {
        close(&model[name], published, name);
    }
}

#[test]
fn a_customers_value_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    demo(folder.path(), "sample");
    let store = folder.path().join("demo");
    let observations = {
        let server = regard_tests::server::Server::start_in(&store).expect("serves");
        let token = server.token("analyst").expect("a token");
        let (status, page) = server
            .call(reqwest::Method::GET, "/customers?identifier=external:cdnow:00004", &token, None)
            .expect("an answer");
        assert_eq!(status, 200);
        page["items"][0]["id"].as_str().expect("an id").to_owned()
    };
    let subject = format!("customer:{observations}");
    let arguments = ["metric", "show", "clv", "--subject", &subject, "--until", "1997-10-01"];
    for horizon in ["39w", "13w"] {
        let shown = regard_json(&store, &[&arguments[..], &["--horizon", horizon]].concat()).expect("shown");
        // The customer of Fader, Hardie and Lee's worked example: two repeat orders, t_x = 30.43, T = 38.86.
        assert_eq!(shown["frequency"], 2.0);
        close(&shown["recency_weeks"], 30.43, "recency");
        close(&shown["age_weeks"], 38.86, "age");
        let probability = shown["probability_active"].as_f64().expect("a number");
        assert!((0.0..=1.0).contains(&probability));
        if horizon == "39w" {
            close(&shown["expected_orders"], 1.226, "expected orders");
        }
        let evaluation = &shown["explain"]["evaluation"];
        assert_eq!(evaluation["evaluator_digest"].as_str().map(str::len), Some(64));
        assert!(evaluation["window"]["end"].as_str().is_some_and(|end| end.starts_with("1997-10-01")));
        assert_eq!(shown["explain"]["inputs"]["count"], 3);
    }
}

#[test]
fn the_report_is_for_people() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("demo");
    let report = regard(
        folder.path(),
        &["demo", "--once", "--dataset", "sample", "--data-dir", &data_dir.to_string_lossy()],
    )
    .expect("the demo runs");
    for words in ["2,357 customers", "came back", "champions", "dollars", "messages delivered", "\u{2588}"] {
        assert!(report.contains(words), "`{words}` is missing in:\n{report}");
    }
}

#[test]
fn a_folder_that_no_demo_made_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("letters.txt"), "dear").expect("written");
    let output = regard_tests::server::run(
        folder.path(),
        &["demo", "--once", "--data-dir", &folder.path().to_string_lossy()],
    )
    .expect("runs");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("name an empty folder"));
    assert!(folder.path().join("letters.txt").is_file());
}
