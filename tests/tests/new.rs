//! A plugin's first hour, for every language and kind: made, checked, tested, installed into a server and seen acting, by
//! somebody who has the program and the language's tools and no clone of the source.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use regard_tests::server::{Server, block_on, client, command};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the work of a hook may take to show.
const PATIENCE: Duration = Duration::from_secs(20);

/// An author with an empty folder.
struct Author(TempDir);

impl Author {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.folder("store"), arguments).expect("the program");
        command.current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    /// Runs a command that must succeed.
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = both(&output);
        assert!(output.status.success(), "regard {}: {said}", arguments.join(" "));
        said
    }

    /// Runs a command that must fail, and returns what it says.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "regard {} succeeded", arguments.join(" "));
        both(&output)
    }
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A plugin as its author has made, checked and tested it, in a server.
struct Installed {
    _author: Author,
    server: Server,
    admin: String,
}

impl Installed {
    fn ask(&self, status: u16, method: Method, path: &str, body: Option<Value>) -> Value {
        let (found, answer) = self.server.call(method, path, &self.admin, body).expect("an answer");
        assert_eq!(found, status, "{path}: {answer}");
        answer
    }

    /// An order of the customer with this address.
    fn order(&self, external_id: &str, email: &str) {
        let order = json!({
            "channel": "shop", "external_id": external_id, "kind": "order.placed",
            "occurred_at": "2026-01-05T09:00:00Z", "identifier": { "scheme": "email", "value": email },
            "amount": { "minor": 1499, "currency": "USD" },
        });
        self.ask(200, Method::POST, "/interactions", Some(order));
    }
}

/// From `plugin new` to a plugin that serves. Prints the seconds to the green test.
fn install(language: &str, id: &str) -> Installed {
    let author = Author::new();
    let begun = Instant::now();
    let said = author.good(&["plugin", "new", id, "--lang", language]);
    assert!(said.contains(&format!("regard plugin test {id}")), "{said}");
    let tested = author.good(&["plugin", "test", id]);
    println!("{language} {id}: {:.1} s from `plugin new` to the green test", begun.elapsed().as_secs_f64());
    assert!(!tested.contains("FAILED"), "{tested}");

    let checked = author.command(&["plugin", "check", id, "--json"]).output().expect("it runs");
    assert!(checked.status.success(), "{}", both(&checked));
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let digest = checked["digest"].as_str().expect("a digest");
    // Only a native library has to be allowed; for the others it says nothing.
    let server =
        Server::start_with(&author.folder("store"), &["--allow-native", digest]).expect("the server");
    let admin = server.token("admin").expect("a token");
    let address = format!("http://{}", server.address());
    author.good(&["plugin", "install", id, "--server", &address, "--token", &admin]);
    Installed { _author: author, server, admin }
}

fn a_hook_acts(language: &str) {
    let id = format!("hook-first-{language}");
    let plugin = install(language, &id);
    plugin.server.make_channel("shop").expect("a channel");
    plugin.order("o-1", "ann@example.com");
    let until = Instant::now() + PATIENCE;
    loop {
        let found = plugin.ask(200, Method::GET, "/customers?identifier=email:ann@example.com", None);
        if found["items"][0]["tags"] == json!(["has-ordered"]) {
            return;
        }
        let shown = plugin.ask(200, Method::GET, &format!("/plugins/{id}"), None);
        assert!(Instant::now() < until, "no tag: {found} {shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn a_metric_is_evaluated(language: &str) {
    let plugin = install(language, &format!("kpi-count-{language}"));
    plugin.server.make_channel("shop").expect("a channel");
    for (id, email) in [("o-1", "ann@example.com"), ("o-2", "bob@example.com"), ("o-3", "ann@example.com")] {
        plugin.order(id, email);
    }
    let path = format!("/metrics/count-{language}/evaluate");
    let evaluated = plugin.ask(200, Method::POST, &path, Some(json!({})));
    let value = &evaluated["summary"]["value"];
    assert_eq!((value["count"].as_f64(), value["mean"].as_f64()), (Some(2.0), Some(1.5)), "{evaluated}");
}

fn a_connector_receives(language: &str) {
    let id = format!("connector-{language}");
    let plugin = install(language, &id);
    let channel = json!({
        "name": "chat", "kind": "chat", "connector": id,
        "settings": { "url": "https://api.example.com/v1/messages" }, "secrets": { "token": "abc" },
    });
    plugin.ask(201, Method::POST, "/channels", Some(channel));
    let url = format!("http://{}/api/v1/inbound/chat", plugin.server.address());
    let body =
        json!({ "id": "e-1", "email": "ann@example.com", "text": "Hello", "at_ms": 1_767_603_600_000_i64 });
    let call = |token: &str| {
        block_on(async {
            let request = client().post(&url).bearer_auth(token).body(body.to_string());
            request.send().await.expect("an answer").status().as_u16()
        })
    };
    assert_eq!((call("wrong"), call("abc")), (401, 204));
    let found = plugin.ask(200, Method::GET, "/customers?identifier=email:ann@example.com", None);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
}

#[test]
fn equal_sources_give_equal_components() {
    let digests = ["one", "two/deeper"].map(|folder| {
        let author = Author::new();
        let folder = author.folder(folder);
        author.good(&["plugin", "new", "hook-equal", "--lang", "rust", "--dir", &folder.to_string_lossy()]);
        let built = author.run(&["plugin", "build", &folder.to_string_lossy(), "--json"]);
        assert!(built.status.success(), "{}", both(&built));
        let built: Value = serde_json::from_slice(&built.stdout).expect("JSON");
        built["digest"].as_str().expect("a digest").to_owned()
    });
    assert_eq!(digests[0], digests[1]);
}

macro_rules! languages {
    ($($test:ident: $does:ident($language:literal);)+) => {
        $(#[test] fn $test() { $does($language); })+
    };
}

languages! {
    luau_hook: a_hook_acts("luau");
    luau_kpi: a_metric_is_evaluated("luau");
    luau_connector: a_connector_receives("luau");
    rust_hook: a_hook_acts("rust");
    rust_kpi: a_metric_is_evaluated("rust");
    rust_connector: a_connector_receives("rust");
    typescript_hook: a_hook_acts("typescript");
    typescript_kpi: a_metric_is_evaluated("typescript");
    python_hook: a_hook_acts("python");
    python_kpi: a_metric_is_evaluated("python");
    c_kpi: a_metric_is_evaluated("c");
}

#[test]
fn what_cannot_be_made_is_refused() {
    let author = Author::new();
    let told = author.refused(&["plugin", "new", "Hook_One"]);
    assert!(
        told.contains("`Hook_One` is not a kebab-case name") && told.contains("such as `kpi-clv`"),
        "{told}"
    );
    let told = author.refused(&["plugin", "new", "hook-x", "--lang", "go"]);
    assert!(["luau", "rust", "typescript", "python"].iter().all(|one| told.contains(one)), "{told}");
    let told = author.refused(&["plugin", "new", "hook-x", "--lang", "c"]);
    assert!(told.contains("no template of a hook in c; there is one in luau, rust"), "{told}");
    author.good(&["plugin", "new", "hook-x"]);
    let told = author.refused(&["plugin", "new", "hook-x"]);
    assert!(told.contains("is there already and not empty"), "{told}");
    std::fs::create_dir(author.folder("empty")).expect("a folder");
    author.good(&["plugin", "new", "hook-x", "--dir", "empty"]);
}

/// Cargo alone, as an editor calls it, finds the SDK too.
#[test]
fn cargo_finds_the_sdk() {
    let author = Author::new();
    author.good(&["plugin", "new", "hook-alone", "--lang", "rust"]);
    let folder = author.folder("hook-alone");
    let output = cargo(&folder).args(["check", "--offline"]).output().expect("cargo starts");
    let output =
        if output.status.success() { output } else { cargo(&folder).arg("check").output().expect("cargo") };
    assert!(output.status.success(), "{}", both(&output));
    // An SDK of another line of versions is refused by name, instead of failing somewhere in its code.
    let manifest = folder.join(".regard/rust/Cargo.toml");
    let text = std::fs::read_to_string(&manifest).expect("a Cargo.toml");
    std::fs::write(&manifest, text.replace("version = \"0.1.0\"", "version = \"0.9.0\"")).expect("written");
    let output = cargo(&folder).arg("check").output().expect("cargo starts");
    assert!(!output.status.success() && both(&output).contains("regard-sdk"), "{}", both(&output));
    // A build puts this program's SDK back.
    author.good(&["plugin", "check", "hook-alone"]);
    assert_eq!(std::fs::read_to_string(&manifest).expect("a Cargo.toml"), text);
}

fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    cargo.current_dir(folder);
    cargo
}
