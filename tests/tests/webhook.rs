//! The webhook connector between the real program and real peers: messages signed by another implementation of the
//! specification come in, messages go out over HTTP to a receiver that misbehaves.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use regard_tests::server::{Server, block_on, client, run, source};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use standardwebhooks::Webhook;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

struct Desk {
    server: Server,
    admin: String,
}

impl Desk {
    /// A server with the connector installed; `receiver` is where it may send to.
    fn new(receiver: Option<SocketAddr>) -> Self {
        let server = Server::start().expect("serves");
        let admin = server.token("admin").expect("a token");
        let (address, folder) = (format!("http://{}", server.address()), source("plugins/connector-webhook"));
        let private = receiver.map(|address| address.to_string()).unwrap_or_else(|| "127.0.0.1:9".into());
        let arguments = [
            "plugin",
            "install",
            &folder.to_string_lossy(),
            "--server",
            &address,
            "--token",
            &admin,
            "--allow-private",
            &private,
        ];
        let output = run(server.data_dir(), &arguments).expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let desk = Self { server, admin };
        let mut channel = json!({ "name": "hooks", "kind": "webhook", "connector": "connector-webhook", "settings": {}, "secrets": { "signing-secret": SECRET } });
        if let Some(receiver) = receiver {
            channel["settings"] =
                json!({ "url": format!("http://{receiver}/in"), "address_scheme": "external:shop" });
        }
        desk.ask(201, Method::POST, "/channels", Some(channel));
        desk
    }

    fn ask(&self, status: u16, method: Method, path: &str, body: Option<Value>) -> Value {
        let (found, answer) = self.server.call(method, path, &self.admin, body).expect("an answer");
        assert_eq!(found, status, "{path}: {answer}");
        answer
    }

    /// Posts a webhook call and returns status and body.
    fn post(&self, id: &str, timestamp: i64, signature: &str, body: &[u8]) -> (u16, String) {
        let request = client()
            .post(format!("http://{}/api/v1/inbound/hooks", self.server.address()))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body.to_vec());
        block_on(async move {
            let response = request.send().await.expect("an answer");
            (response.status().as_u16(), response.text().await.expect("a body"))
        })
    }

    fn interactions(&self, kind: &str) -> Vec<Value> {
        self.ask(200, Method::GET, &format!("/interactions?kind={kind}&limit=100"), None)["items"]
            .as_array()
            .expect("items")
            .clone()
    }

    /// Waits until an outbox entry is in `state`.
    fn wait_for(&self, id: &str, state: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let entry = self.ask(200, Method::GET, &format!("/outbox/{id}"), None);
            if entry["state"] == state {
                return entry;
            }
            assert!(Instant::now() < until, "the entry never became {state}: {entry}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

/// Signs bytes that are no text, which the other implementation does not.
fn sign_bytes(id: &str, at: i64, body: &[u8]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD;
    let key = base64.decode(SECRET.trim_start_matches("whsec_")).expect("a key");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    format!("v1,{}", base64.encode(mac.finalize().into_bytes()))
}

fn rating(score: u32) -> Vec<u8> {
    json!({
        "kind": "rating.given",
        "occurred_at": "2024-05-01T10:00:00Z",
        "sender": { "scheme": "external:shop", "value": "4711" },
        "aliases": [{ "scheme": "email", "value": "Ada@Example.com" }],
        "sender_name": "Ada Lovelace",
        "attributes": { "score": score },
    })
    .to_string()
    .into_bytes()
}

#[test]
fn signed_calls_come_in_once_and_forged_ones_do_not() {
    let desk = Desk::new(None);
    let peer = Webhook::new(SECRET).expect("a secret");
    let sign = |id: &str, at: i64, body: &[u8]| peer.sign(id, at, body).expect("signed");

    let (body, at) = (rating(5), now());
    let (status, answer) = desk.post("msg_1", at, &sign("msg_1", at, &body), &body);
    assert!((200..300).contains(&status), "{status}: {answer}");
    let stored = desk.interactions("rating.given");
    assert_eq!(stored.len(), 1);
    assert_eq!((&stored[0]["attributes"]["score"], &stored[0]["external_id"]), (&json!(5), &json!("msg_1")));
    let customer = stored[0]["customer"].as_str().expect("the sender became a customer");
    let customer = desk.ask(200, Method::GET, &format!("/customers/{customer}"), None);
    assert_eq!(customer["name"], "Ada Lovelace");
    let known = json!([{ "scheme": "email", "value": "ada@example.com" }, { "scheme": "external:shop", "value": "4711" }]);
    assert_eq!(customer["identifiers"], known);

    // A sender that heard no answer sends again; that is no second rating.
    let (status, _) = desk.post("msg_1", at, &sign("msg_1", at, &body), &body);
    assert!((200..300).contains(&status));
    // Several signatures of which one is right: a secret is being rotated.
    let both = format!("v1,{} {}", "A".repeat(44), sign("msg_2", at, &body));
    assert!((200..300).contains(&desk.post("msg_2", at, &both, &body).0));
    assert_eq!(desk.interactions("rating.given").len(), 2);

    let other = Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
    let old = at - 3600;
    for (what, id, timestamp, signature, sent) in [
        ("another secret", "msg_3", at, other.sign("msg_3", at, &body).expect("signed"), &body),
        ("another body", "msg_3", at, sign("msg_3", at, &rating(1)), &body),
        ("another id", "msg_3", at, sign("msg_4", at, &body), &body),
        ("an hour old", "msg_3", old, sign("msg_3", old, &body), &body),
        ("an hour ahead", "msg_3", at + 3600, sign("msg_3", at + 3600, &body), &body),
        ("no signature", "msg_3", at, String::new(), &body),
    ] {
        let (status, answer) = desk.post(id, timestamp, &signature, sent);
        assert_eq!(status, 401, "{what}: {answer}");
    }
    for (what, body, says) in [
        ("no JSON", b"{\"kind\":".to_vec(), "EOF while parsing a value at line 1 column 8"),
        ("an unknown field", br#"{"kind":"rating.given","occurred_at":"2024-05-01T10:00:00Z","colour":1}"#.to_vec(), "colour"),
        ("no kind", br#"{"occurred_at":"2024-05-01T10:00:00Z"}"#.to_vec(), "kind"),
        ("a day that is none", br#"{"kind":"rating.given","occurred_at":"2024-02-31T10:00:00Z"}"#.to_vec(), "occurred_at"),
        ("an unknown currency", br#"{"kind":"rating.given","occurred_at":"2024-05-01T10:00:00Z","amount":{"minor":1,"currency":"XYZ"}}"#.to_vec(), "XYZ"),
    ] {
        let (status, answer) = desk.post("msg_5", at, &sign("msg_5", at, &body), &body);
        assert_eq!(status, 400, "{what}: {answer}");
        assert!(answer.contains(says), "{what}: `{says}` is missing in {answer}");
    }
    let no_text = b"{\"kind\":\"\xff\"}";
    let (status, answer) = desk.post("msg_6", at, &sign_bytes("msg_6", at, no_text), no_text);
    assert_eq!(status, 400, "no UTF-8: {answer}");
    assert!(answer.contains("unicode"), "{answer}");
    assert_eq!(desk.interactions("rating.given").len(), 2, "nothing of that was stored");
}

/// Takes HTTP posts and answers what it was told to, then 200.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Receiver {
    fn start(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let mut answers: VecDeque<(u16, String)> =
            answers.iter().map(|(status, headers)| (*status, (*headers).to_owned())).collect();
        let log = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
                let (mut length, mut key, mut line) = (0, String::new(), String::new());
                while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                    let (name, value) = line.trim().split_once(": ").unwrap_or_default();
                    match name.to_ascii_lowercase().as_str() {
                        "content-length" => length = value.parse().expect("a length"),
                        "idempotency-key" => key = value.to_owned(),
                        _ => {}
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                log.lock().expect("a lock").push((key, serde_json::from_slice(&body).expect("JSON")));
                let (status, headers) = answers.pop_front().unwrap_or((200, String::new()));
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n"
                );
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<(String, Value)> {
        self.seen.lock().expect("a lock").clone()
    }
}

fn customer(desk: &Desk) -> String {
    let body = json!({ "kind": "person", "name": "Ada", "identifiers": [{ "scheme": "external:shop", "value": "4711" }], "source": "test" });
    desk.ask(201, Method::POST, "/customers", Some(body))["id"].as_str().expect("an id").to_owned()
}

fn send(desk: &Desk, customer: &str, purpose: &str, text: &str) -> String {
    let channels = desk.ask(200, Method::GET, "/channels", None);
    let channel = channels["items"][0]["id"].as_str().expect("an id").to_owned();
    let body = json!({ "customer": customer, "purpose": purpose, "body": text });
    let entry = desk.ask(202, Method::POST, &format!("/channels/{channel}/send"), Some(body));
    entry["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_busy_receiver_gets_the_message_once_under_one_key() {
    let receiver = Receiver::start(&[(429, "retry-after: 1\r\n"), (503, "retry-after: 1\r\n")]);
    let desk = Desk::new(Some(receiver.address));
    let id = send(&desk, &customer(&desk), "service", "Your order is on its way");
    let entry = desk.wait_for(&id, "delivered");
    assert_eq!(
        entry["attempts"].as_array().map(Vec::len).or(entry["attempts"].as_u64().map(|count| count as usize)),
        Some(3),
        "{entry}"
    );
    let seen = receiver.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|(key, _)| !key.is_empty() && *key == seen[0].0), "one key for all tries");
    assert_eq!(seen[0].1["recipient"], "4711");
    let sent = desk.interactions("message.sent");
    assert_eq!(sent.len(), 1, "the receipt is an interaction of the customer");
    assert_eq!(sent[0]["attributes"]["text"], "Your order is on its way");
}

#[test]
fn a_refused_message_is_a_dead_letter_that_can_be_requeued() {
    let receiver = Receiver::start(&[(422, "")]);
    let desk = Desk::new(Some(receiver.address));
    let id = send(&desk, &customer(&desk), "service", "Hello");
    let entry = desk.wait_for(&id, "dead");
    assert!(entry["reason"].as_str().is_some_and(|reason| reason.contains("422")), "{entry}");
    assert!(desk.interactions("message.sent").is_empty());
    desk.ask(200, Method::POST, &format!("/outbox/{id}/requeue"), None);
    desk.wait_for(&id, "delivered");
    assert_eq!(receiver.seen().len(), 2);
}

#[test]
fn without_consent_nothing_leaves() {
    let receiver = Receiver::start(&[]);
    let desk = Desk::new(Some(receiver.address));
    let customer = customer(&desk);
    let first = send(&desk, &customer, "marketing", "Buy more");
    let entry = desk.wait_for(&first, "suppressed");
    assert!(entry["reason"].as_str().is_some_and(|reason| reason.contains("no consent")), "{entry}");
    let consent = |state: &str| json!({ "purpose": "marketing", "channel_kind": "webhook", "state": state, "basis": "form", "source": "web" });
    desk.ask(201, Method::POST, &format!("/customers/{customer}/consents"), Some(consent("granted")));
    desk.wait_for(&send(&desk, &customer, "marketing", "News"), "delivered");
    desk.ask(201, Method::POST, &format!("/customers/{customer}/consents"), Some(consent("withdrawn")));
    desk.wait_for(&send(&desk, &customer, "marketing", "More"), "suppressed");
    assert_eq!(receiver.seen().len(), 1);
}

#[test]
fn an_address_that_was_not_granted_is_not_called() {
    let receiver = Receiver::start(&[]);
    let desk = Desk::new(None);
    let channel = json!({
        "name": "elsewhere", "kind": "webhook", "connector": "connector-webhook",
        "settings": { "url": format!("http://{}/in", receiver.address), "address_scheme": "external:shop" },
    });
    let channel = desk.ask(201, Method::POST, "/channels", Some(channel));
    let customer = customer(&desk);
    let body = json!({ "customer": customer, "purpose": "service", "body": "Hello" });
    let path = format!("/channels/{}/send", channel["id"].as_str().expect("an id"));
    let entry = desk.ask(202, Method::POST, &path, Some(body));
    let id = entry["id"].as_str().expect("an id");
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let entry = desk.ask(200, Method::GET, &format!("/outbox/{id}"), None);
        if entry["reason"].as_str().is_some_and(|reason| reason.contains("denied")) {
            break;
        }
        assert!(Instant::now() < until, "never denied: {entry}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(receiver.seen().is_empty());
    let audit = desk.ask(200, Method::GET, "/audit?limit=100", None);
    let denied = audit["items"].as_array().expect("items").iter().any(|line| line["action"] == "call.denied");
    assert!(denied, "the denied call stands in the audit log: {audit}");
}
