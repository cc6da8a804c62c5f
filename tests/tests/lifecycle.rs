//! A plugin's life on a running server: installed, upgraded with and without consent, migrated, rolled back, and changed
//! by another process, while it is used.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regard_tests::server::{Server, block_on, client, regard, regard_json};
use reqwest::Method;
use serde_json::{Value, json};

/// How long changes of another process and the work of hooks may take to show.
const PATIENCE: Duration = Duration::from_secs(20);

struct Desk {
    server: Server,
    admin: String,
}

impl Desk {
    fn new() -> Self {
        let server = Server::start().expect("serves");
        let admin = server.token("admin").expect("a token");
        Self { server, admin }
    }

    fn ask(&self, status: u16, method: Method, path: &str, body: Option<Value>) -> Value {
        let (found, answer) = self.server.call(method, path, &self.admin, body).expect("an answer");
        assert_eq!(found, status, "{path}: {answer}");
        answer
    }

    fn install(&self, status: u16, version: &str, permissions: &str, handler: &str) -> Value {
        self.ask(status, Method::POST, "/plugins", Some(package(version, permissions, handler)))
    }

    fn shown(&self) -> Value {
        self.ask(200, Method::GET, "/plugins/connector-desk", None)
    }

    /// Has the connector answer a webhook call with what it keeps and what it is.
    fn webhook(&self) -> String {
        let (status, text) = self.try_webhook();
        assert_eq!(status, 200, "{text}");
        text
    }

    fn try_webhook(&self) -> (u16, String) {
        let url = format!("http://{}/api/v1/inbound/desk", self.server.address());
        block_on(async {
            let answer = client().post(url).body("x").send().await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("a body"))
        })
    }
}

fn package(version: &str, permissions: &str, handler: &str) -> Value {
    let manifest = format!(
        "id = \"connector-desk\"\nname = \"Desk\"\nversion = \"{version}\"\ncontract = \"0.1.0\"\n\
         runtime = \"luau\"\ncapabilities = [\"connector\"]\n[permissions]\nkv = true\n{permissions}"
    );
    json!({ "manifest": manifest, "files": { "handler.luau": STANDARD.encode(handler) } })
}

/// Counts its calls under a key, and answers `<version> <count>`.
fn counting(version: &str, key: &str, migration: &str) -> String {
    format!(
        r#"
return {{
    {migration}
    connector = {{
        describe = function()
            return {{ receives = true, address_scheme = "email" }}
        end,
        receive = function()
            local count = (tonumber(regard.kv.get("{key}")) or 0) + 1
            regard.kv.set("{key}", tostring(count))
            return {{ items = {{}}, reply = {{ body = "{version} " .. count }} }}
        end,
    }},
}}"#
    )
}

/// Moves the count from `old` to `new` and back.
fn moving(old: &str, new: &str) -> String {
    let step = |from: &str, to: &str| {
        format!(
            "for _, key in regard.kv.keys(\"\") do assert(key == \"{from}\") end \
             local kept = regard.kv.get(\"{from}\") if kept then regard.kv.set(\"{to}\", kept) \
             regard.kv.delete(\"{from}\") end"
        )
    };
    format!(
        "migration = {{ upgrade = function() {} end, downgrade = function() {} end }},",
        step(old, new),
        step(new, old)
    )
}

fn with_channel(desk: &Desk) {
    let channel = json!({ "name": "desk", "kind": "desk", "connector": "connector-desk", "settings": {} });
    desk.ask(201, Method::POST, "/channels", Some(channel));
}

#[test]
fn a_version_hands_over_what_it_keeps_and_takes_it_back() {
    let desk = Desk::new();
    desk.install(201, "0.1.0", "", &counting("0.1.0", "count", ""));
    with_channel(&desk);
    assert_eq!((desk.webhook().as_str(), desk.webhook().as_str()), ("0.1.0 1", "0.1.0 2"));

    let upgraded = desk.install(201, "0.2.0", "", &counting("0.2.0", "calls", &moving("count", "calls")));
    assert_eq!(upgraded["version"], "0.2.0");
    assert_eq!(desk.webhook(), "0.2.0 3");

    let rolled = desk.ask(200, Method::POST, "/plugins/connector-desk/rollback", Some(json!({})));
    assert_eq!(rolled["version"], "0.1.0");
    assert_eq!(desk.webhook(), "0.1.0 4");
    let again = json!({ "version": "0.2.0" });
    // 0.1.0 has no migration, so what it keeps stays where it is.
    desk.ask(200, Method::POST, "/plugins/connector-desk/rollback", Some(again));
    assert_eq!(desk.webhook(), "0.2.0 1");

    let none =
        desk.ask(409, Method::POST, "/plugins/connector-desk/rollback", Some(json!({ "version": "9.9.9" })));
    assert!(none["detail"].as_str().expect("a detail").contains("there is 0.1.0"), "{none}");
    let versions = desk.ask(200, Method::GET, "/plugins/connector-desk/versions", None);
    let named: Vec<_> =
        versions["items"].as_array().expect("items").iter().map(|one| &one["version"]).collect();
    assert_eq!(named, ["0.2.0", "0.1.0"]);
    let audit = desk.ask(200, Method::GET, "/audit?limit=100", None);
    let actions: Vec<_> =
        audit["items"].as_array().expect("items").iter().map(|line| &line["action"]).collect();
    assert_eq!(actions.iter().filter(|action| ***action == "plugin.rolled-back").count(), 2, "{actions:?}");
}

#[test]
fn a_failed_migration_leaves_the_old_version_serving() {
    let desk = Desk::new();
    desk.install(201, "0.1.0", "", &counting("0.1.0", "count", ""));
    with_channel(&desk);
    assert_eq!(desk.webhook(), "0.1.0 1");
    for (how, told) in [
        ("regard.kv.delete(\"count\") error(\"lost\")", "lost"),
        (
            "regard.kv.delete(\"count\") regard.error(\"unsupported\", \"from \" .. from)",
            "unsupported: from 0.1.0",
        ),
        ("while true do end", "computed longer than"),
    ] {
        let migration =
            format!("migration = {{ upgrade = function(from) {how} end, downgrade = function() end }},");
        let refused = desk.install(422, "0.2.0", "", &counting("0.2.0", "calls", &migration));
        let detail = refused["detail"].as_str().expect("a detail");
        assert!(
            detail.contains("connector-desk: migration.upgrade failed") && detail.contains(told),
            "{detail}"
        );
        assert_eq!(desk.shown()["version"], "0.1.0");
    }
    assert_eq!(desk.webhook(), "0.1.0 2");
}

#[test]
fn a_wider_request_waits_for_consent() {
    let desk = Desk::new();
    desk.install(201, "0.1.0", "", &counting("0.1.0", "count", ""));
    with_channel(&desk);
    desk.webhook();
    let wider = "hosts = [\"api.example.com\"]\nsecrets = [\"token\"]\n";
    let waits = desk.install(202, "0.2.0", wider, &counting("0.2.0", "count", ""));
    assert_eq!((&waits["version"], &waits["waiting_version"]["version"]), (&json!("0.1.0"), &json!("0.2.0")));
    assert_eq!(waits["waiting_version"]["asks"], json!(["hosts: api.example.com", "secrets: token"]));
    assert_eq!(desk.webhook(), "0.1.0 2");

    let reach =
        ["--server", &format!("http://{}", desk.server.address()), "--token", &desk.admin].map(str::to_owned);
    let cli = |arguments: &[&str]| {
        let reach = reach.iter().map(String::as_str);
        regard(desk.server.data_dir(), &arguments.iter().copied().chain(reach).collect::<Vec<_>>())
            .expect("runs")
    };
    let told = cli(&["plugin", "grant", "connector-desk"]);
    assert!(
        told.contains("0.2.0 waits for your consent") && told.contains("hosts: api.example.com"),
        "{told}"
    );
    let declined = cli(&["plugin", "grant", "connector-desk", "--decline"]);
    assert!(declined.contains("0.1.0 goes on serving"), "{declined}");
    desk.ask(409, Method::POST, "/plugins/connector-desk/decline", None);

    desk.install(202, "0.2.0", wider, &counting("0.2.0", "count", ""));
    let narrow = json!({ "grants": { "kv": true, "hosts": ["api.example.com"] } });
    let still = desk.ask(200, Method::POST, "/plugins/connector-desk/grants", Some(narrow));
    assert_eq!(still["version"], "0.1.0", "the secret is still missing");
    let granted = cli(&["plugin", "grant", "connector-desk", "--all"]);
    assert!(granted.contains("connector-desk 0.2.0 serves"), "{granted}");
    assert_eq!(desk.webhook(), "0.2.0 3");
    let shown = desk.shown();
    assert_eq!((&shown["not_granted"], &shown["waiting_version"]), (&json!([]), &Value::Null));
    assert_eq!(shown["grants"]["secrets"], json!(["token"]));
    let calls = shown["calls"].as_array().expect("calls");
    assert!(calls.iter().any(|call| call["call"] == "receive" && call["calls"] == 1), "{shown}");
}

#[test]
fn another_process_changes_plugins_of_a_running_server() {
    let desk = Desk::new();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |version: &str| {
        let body = package(version, "", "");
        std::fs::write(folder.path().join("plugin.toml"), body["manifest"].as_str().expect("text"))
            .expect("written");
        std::fs::write(folder.path().join("handler.luau"), counting(version, "count", "")).expect("written");
    };
    let installs = |data_dir: &Path| {
        regard_json(data_dir, &["plugin", "install", &folder.path().to_string_lossy()]).expect("installs")
    };
    let until = |wanted: &str| {
        let begun = Instant::now();
        loop {
            let (status, shown) = desk
                .server
                .call(Method::GET, "/plugins/connector-desk", &desk.admin, None)
                .expect("an answer");
            if status == 200 && shown["service"] == wanted {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "never {wanted}: {shown}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    write("0.1.0");
    installs(desk.server.data_dir());
    until("enabled");
    with_channel(&desk);
    assert_eq!(desk.webhook(), "0.1.0 1");
    write("0.2.0");
    installs(desk.server.data_dir());
    let begun = Instant::now();
    loop {
        // Until this server has heard of it, what its old version wants to keep is refused, and the sender told to wait.
        let (status, text) = desk.try_webhook();
        if status == 200 {
            assert!(text.starts_with("0.2.0"), "what an old version kept was stored: {text}");
            break;
        }
        assert_eq!(status, 503, "{text}");
        assert!(begun.elapsed() < PATIENCE, "the new version never served");
        std::thread::sleep(Duration::from_millis(50));
    }
    regard(desk.server.data_dir(), &["plugin", "disable", "connector-desk"]).expect("disables");
    until("disabled");
    regard(desk.server.data_dir(), &["plugin", "enable", "connector-desk"]).expect("enables");
    until("enabled");
}

#[test]
fn swapping_under_load_fails_no_request() {
    let desk = Arc::new(Desk::new());
    desk.install(201, "0.1.0", "", &counting("0.1.0", "even", ""));
    with_channel(&desk);
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (desk, stop, made) = (desk.clone(), stop.clone(), made.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    desk.webhook();
                    made.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut key = "even";
    for swap in 1..=10 {
        let next = if key == "even" { "odd" } else { "even" };
        let version = format!("0.{}.0", swap + 1);
        desk.install(201, &version, "", &counting(&version, next, &moving(key, next)));
        key = next;
        let seen = made.load(Ordering::Relaxed);
        while made.load(Ordering::Relaxed) < seen + 20 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().expect("every request was answered with 200");
    }
    // The calls run side by side and may overwrite each other's count, as the contract says of kept bytes; what each
    // version finds under its own key shows that nothing was lost on the way.
    let (version, count) = {
        let told = desk.webhook();
        let (version, count) = told.split_once(' ').expect("two words");
        (version.to_owned(), count.parse::<u64>().expect("a count"))
    };
    assert_eq!(version, "0.11.0");
    assert!(count > 10 && count <= made.load(Ordering::Relaxed) + 1, "{count}");
}
