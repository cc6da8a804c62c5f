//! A metric over HTTP: install its evaluator, evaluate, explain, take it out of service and put it back.

use regard_tests::server::{run, source};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, order};

/// Three customers, of whom one comes back on another day.
fn hand_in(api: &Api) {
    let orders = [
        ("1", "ada", "1997-01-02"),
        ("2", "bob", "1997-01-03"),
        ("3", "cid", "1997-01-04"),
        ("4", "ada", "1997-02-02"),
    ];
    let items: Vec<Value> = orders
        .iter()
        .map(|(id, who, day)| {
            let mut order = order(id);
            order["identifier"]["value"] = json!(format!("{who}@example.com"));
            order["occurred_at"] = json!(day);
            order
        })
        .collect();
    let answer = api.ask(200, Method::POST, "/interactions", json!(items));
    assert_eq!(answer["accepted"], 4, "{answer}");
}

#[test]
fn a_metric_is_evaluated_explained_and_taken_out_of_service() {
    let api = Api::start();
    hand_in(&api);
    let nothing = json!({});
    let evaluate = "/metrics/repeat-rate/evaluate";

    let missing = api.ask(404, Method::POST, evaluate, nothing.clone());
    let told = missing["detail"].as_str().expect("a detail");
    assert!(told.contains("no metric `repeat-rate`") && told.contains("regard plugin install"), "{told}");

    let (server, folder) = (api.url(""), source("plugins/kpi-repeat-rate"));
    let arguments =
        ["plugin", "install", &folder.to_string_lossy(), "--server", &server, "--token", &api.admin];
    let installed = run(api.server.data_dir(), &arguments).expect("runs");
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    assert_eq!(api.get("/metrics")["items"][0]["name"], "repeat-rate");
    assert_eq!(api.get("/metrics/repeat-rate/observations")["items"], json!([]), "nothing was evaluated yet");

    let wrong = api.ask(422, Method::POST, evaluate, json!({ "since": "1998-01-01", "until": "1997-01-01" }));
    assert!(wrong["detail"].as_str().is_some_and(|told| told.contains("1998-01-01")), "{wrong}");

    let run = api.ask(200, Method::POST, evaluate, json!({ "until": "1997-07-01" }));
    assert_eq!((&run["metric"], &run["rows"]), (&json!("repeat-rate"), &json!(4)), "{run}");
    assert_eq!(api.get(&format!("/evaluations/{}", run["id"].as_str().expect("an id")))["id"], run["id"]);

    let observed = api.get("/metrics/repeat-rate/observations?subject=business")["items"][0].clone();
    let value = observed["value"].as_f64().expect("a value");
    assert!((value - 1.0 / 3.0).abs() < 1e-9, "one of three came back: {observed}");
    let explained = api.get(&format!("/observations/{}/explain", observed["id"].as_str().expect("an id")));
    assert_eq!(explained["evaluation"]["id"], run["id"]);
    assert_eq!(explained["evaluation"]["window"]["end"], "1997-07-01T00:00:00.000Z");
    assert_eq!(explained["inputs"]["count"], 4, "{explained}");

    let off = api.ask(200, Method::POST, "/plugins/kpi-repeat-rate/disable", nothing.clone());
    assert_eq!(off["enabled"], false, "{off}");
    api.ask(404, Method::POST, evaluate, nothing.clone());
    assert_eq!(
        api.get("/metrics/repeat-rate/observations")["items"][0]["id"],
        observed["id"],
        "what was observed stays"
    );
    let on = api.ask(200, Method::POST, "/plugins/kpi-repeat-rate/enable", nothing.clone());
    assert_eq!(on["enabled"], true, "{on}");
    api.ask(200, Method::POST, evaluate, nothing);

    api.ask(204, Method::DELETE, "/plugins/kpi-repeat-rate", Value::Null);
    assert_eq!(api.get("/plugins")["items"], json!([]));
}
