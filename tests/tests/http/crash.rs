//! The process is killed in the middle of writing: whatever was acknowledged is there afterwards, exactly once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use regard_tests::server::{Server, block_on};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::order;

/// Callers that hand in interactions at the same time.
const CALLERS: usize = 16;
/// Items of one call.
const ITEMS: usize = 5;
/// Acknowledged calls after which the process is killed.
const KILLED_AFTER: usize = 60;

#[test]
fn what_was_acknowledged_survives_a_kill_exactly_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_in(folder.path()).expect("serves");
    let token = server.token("ingest").expect("a token");
    server.make_channel("shop").expect("a channel");
    let url = format!("http://{}/api/v1/interactions", server.address());
    let acknowledged: Mutex<BTreeMap<String, String>> = Mutex::default();
    let calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (url, token, acknowledged, calls) = (&url, &token, &acknowledged, &calls);
            scope.spawn(move || block_on(hand_in(caller, url, token, acknowledged, calls)));
        }
        while calls.load(Ordering::SeqCst) < KILLED_AFTER {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.kill().expect("kills");
    });
    let acknowledged = acknowledged.into_inner().expect("no caller panicked");
    assert!(acknowledged.len() >= KILLED_AFTER * ITEMS);

    let server = Server::start_in(folder.path()).expect("starts again");
    let admin = server.token("admin").expect("a token");
    let mut stored: BTreeMap<String, String> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = server
            .call(Method::GET, &format!("/interactions?limit=500{cursor}"), &admin, None)
            .expect("a page");
        assert_eq!(status, 200, "{page}");
        for item in page["items"].as_array().expect("items") {
            let (external_id, id) = (text(&item["external_id"]), text(&item["id"]));
            assert!(stored.insert(external_id, id).is_none(), "{item} is there twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for (external_id, id) in &acknowledged {
        assert_eq!(stored.get(external_id), Some(id), "{external_id} was acknowledged");
    }

    // Whoever got no answer sends again, and nothing is doubled.
    let again: Vec<Value> = stored.keys().map(|external_id| order(external_id)).collect();
    let (status, received) =
        server.call(Method::POST, "/interactions", &admin, Some(json!(again))).expect("an answer");
    assert_eq!((status, received["duplicates"].as_u64()), (200, Some(stored.len() as u64)));
}

/// Hands in call after call until the server is gone, and notes what it acknowledged.
async fn hand_in(
    caller: usize,
    url: &str,
    token: &str,
    acknowledged: &Mutex<BTreeMap<String, String>>,
    calls: &AtomicUsize,
) {
    let client = Client::new();
    for call in 0.. {
        let names: Vec<String> = (0..ITEMS).map(|item| format!("{caller}-{call}-{item}")).collect();
        let body: Vec<Value> = names.iter().map(|name| order(name)).collect();
        let request = client.post(url).bearer_auth(token).header("content-type", "application/json");
        let Ok(response) = request.body(json!(body).to_string()).send().await else { return };
        // An answer that broke off in the middle acknowledges nothing.
        let Ok(answer) = response.text().await else { return };
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let mut noted = acknowledged.lock().expect("no caller panicked");
        for (name, item) in names.into_iter().zip(answer["items"].as_array().expect("items")) {
            assert_eq!(item["status"], "accepted", "{name}: {item}");
            noted.insert(name, text(&item["id"]));
        }
        drop(noted);
        calls.fetch_add(1, Ordering::SeqCst);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
