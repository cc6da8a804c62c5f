//! Records of a declared type in the real program: a complaint comes in over HTTP, the example plugin opens a case, people
//! and other plugins work with it, and the core holds it together.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use regard_tests::server::{Server, block_on, client, regard, regard_json, source};
use reqwest::Method;
use serde_json::{Value, json};

/// Looks at cases without having asked for it.
const NOSY: &str = r#"
return { hook = { handle = function(events)
    for _, event in events do
        local ok, problem = pcall(regard.records.query, "case", { equal = { state = "open" } })
        assert(not ok and problem.code == "denied")
    end
end } }
"#;

/// Closes a customer's open cases when the customer says that all is well.
const CLOSER: &str = r#"
return { hook = { handle = function(events)
    for _, event in events do
        if event.interaction.kind == "complaint.settled" then
            local mine = { customer_id = event.interaction.customer_id, equal = { state = "open" } }
            for _, case in regard.records.query("case", mine).items do
                case.data.state = "closed"
                case.data.notes = { "settled by " .. event.interaction.id }
                regard.records.update("case", case.id, case.version, case.data)
            end
        end
    end
end } }
"#;

struct Desk {
    server: Server,
    admin: String,
}

impl Desk {
    fn new() -> Self {
        let server = Server::start().expect("serves");
        let admin = server.token("admin").expect("a token");
        server.make_channel("mail").expect("a channel");
        let desk = Self { server, admin };
        desk.command(&["plugin", "install", &source("examples/hook-case").to_string_lossy()]);
        desk
    }

    /// A command that goes through the running server.
    fn command(&self, arguments: &[&str]) -> String {
        let address = format!("http://{}", self.server.address());
        let reach = ["--server", &address, "--token", &self.admin];
        regard(self.server.data_dir(), &[arguments, &reach].concat()).expect("runs")
    }

    fn ask(&self, status: u16, method: Method, path: &str, body: Value) -> Value {
        let body = (!body.is_null()).then_some(body);
        let (found, answer) = self.server.call(method, path, &self.admin, body).expect("an answer");
        assert_eq!(found, status, "{path}: {answer}");
        answer
    }

    fn get(&self, path: &str) -> Value {
        self.ask(200, Method::GET, path, Value::Null)
    }

    /// Installs a hook in Luau that hears of complaints.
    fn install(&self, id: &str, permissions: &str, handler: &str) {
        let manifest = format!(
            "id = \"{id}\"\nname = \"{id}\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
             capabilities = [\"hook\"]\n[permissions]\n{permissions}\n[[subscribe]]\nevent = \"interaction.appended\"\n\
             kind = \"complaint.*\"\n"
        );
        let handler = base64::engine::general_purpose::STANDARD.encode(handler);
        let body = json!({ "manifest": manifest, "files": { "handler.luau": handler } });
        self.ask(201, Method::POST, "/plugins", body);
    }

    fn say(&self, external_id: &str, kind: &str, email: &str, subject: &str) -> Value {
        let said = json!({
            "channel": "mail", "external_id": external_id, "kind": kind, "occurred_at": "2026-01-01T10:00:00Z",
            "identifier": { "scheme": "email", "value": email }, "attributes": { "subject": subject },
        });
        self.ask(200, Method::POST, "/interactions", said)["items"][0].clone()
    }

    fn cases(&self, query: &str) -> Vec<Value> {
        self.get(&format!("/records/case?{query}"))["items"].as_array().expect("items").clone()
    }

    /// Waits until a list of cases has `count` of them.
    fn wait_for(&self, query: &str, count: usize) -> Vec<Value> {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let cases = self.cases(query);
            if cases.len() == count {
                return cases;
            }
            assert!(Instant::now() < until, "{query}: never {count}, but {cases:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A refusal's places.
    fn pointers(&self, status: u16, method: Method, path: &str, body: Value) -> Vec<String> {
        let problem = self.ask(status, method, path, body);
        let flaws = problem["errors"].as_array().unwrap_or_else(|| panic!("no places: {problem}"));
        flaws.iter().filter_map(|flaw| flaw["pointer"].as_str().map(str::to_owned)).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[test]
fn a_complaint_becomes_a_case_that_people_work_on() {
    let desk = Desk::new();
    let types = desk.get("/record-types");
    assert_eq!(
        (&types["items"][0]["name"], &types["items"][0]["plugin"]),
        (&json!("case"), &json!("hook-case"))
    );
    assert_eq!(types["items"][0]["schema"]["properties"]["state"]["enum"][0], "open");

    let said = desk.say("1", "complaint.opened", "ada@example.com", "The box was empty");
    desk.say("2", "order.placed", "ada@example.com", "");
    let case = desk.wait_for("state=open", 1).remove(0);
    assert_eq!(case["customer_id"], said["customer"]);
    let expected =
        json!({ "state": "open", "priority": 3, "interaction": said["id"], "subject": "The box was empty" });
    assert_eq!((&case["data"], &case["version"]), (&expected, &json!(1)));
    assert_eq!(desk.say("1", "complaint.opened", "ada@example.com", "again")["status"], "duplicate");
    desk.say("3", "complaint.opened", "bob@example.com", "Too loud");
    desk.wait_for("", 2);

    let path = format!("/records/case/{}", text(&case["id"]));
    assert_eq!(desk.get(&path), case);
    assert_eq!(desk.cases("state=closed"), Vec::<Value>::new());
    assert_eq!(
        desk.cases(&format!("priority=3&customer={}", text(&said["customer"]))),
        std::slice::from_ref(&case)
    );
    assert_eq!(desk.cases(&format!("interaction={}", text(&said["id"]))), std::slice::from_ref(&case));

    let changed = desk.ask(
        200,
        Method::PATCH,
        &path,
        json!({ "version": 1, "data": { "state": "waiting", "subject": null, "notes": ["called"] } }),
    );
    let expected =
        json!({ "state": "waiting", "priority": 3, "interaction": said["id"], "notes": ["called"] });
    assert_eq!((&changed["data"], &changed["version"]), (&expected, &json!(2)));
    desk.ask(409, Method::PATCH, &path, json!({ "version": 1, "data": { "state": "closed" } }));
    desk.ask(200, Method::PATCH, &path, json!({ "data": { "priority": 1 } }));
    let sorted = desk.cases("sort=priority");
    assert_eq!((&sorted[0]["id"], sorted.len()), (&case["id"], 2));
    let page = desk.get("/records/case?sort=-priority&limit=1");
    let next =
        desk.get(&format!("/records/case?sort=-priority&limit=1&cursor={}", text(&page["next_cursor"])));
    assert_eq!((&next["items"][0]["id"], &next["next_cursor"]), (&case["id"], &Value::Null));

    // With ETag and If-Match as well.
    let url = format!("http://{}/api/v1{path}", desk.server.address());
    let send = |method: Method, version: &str, body: &str| {
        let request = client().request(method, &url).bearer_auth(&desk.admin).header("if-match", version);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        block_on(async { request.send().await.expect("an answer") })
    };
    assert_eq!(send(Method::PATCH, "\"1\"", r#"{"data":{"priority":2}}"#).status(), 409);
    let answer = send(Method::PATCH, "\"3\"", r#"{"data":{"priority":2}}"#);
    assert_eq!((answer.status().as_u16(), answer.headers()["etag"].to_str().ok()), (200, Some("\"4\"")));
    assert_eq!(send(Method::DELETE, "\"3\"", "").status(), 409);
    assert_eq!(send(Method::DELETE, "\"4\"", "").status(), 204);
    desk.ask(404, Method::GET, &path, Value::Null);
    desk.ask(404, Method::DELETE, &path, Value::Null);

    let audit = desk.get("/audit?limit=500");
    let lines = audit["items"].as_array().expect("items");
    for action in ["record.changed", "record.deleted"] {
        let line = lines.iter().find(|line| line["action"] == action).expect(action);
        assert_eq!(
            (text(&line["subject"]), &line["details"]["kind"]),
            (&*format!("record:{}", text(&case["id"])), &json!("case"))
        );
        assert!(!line.to_string().contains("called"), "no values: {line}");
    }
}

#[test]
fn what_a_schema_refuses_is_named_with_its_place() {
    let desk = Desk::new();
    let said = desk.say("1", "complaint.opened", "ada@example.com", "x");
    let case = desk.wait_for("", 1).remove(0);
    let path = format!("/records/case/{}", text(&case["id"]));
    let customer = &said["customer"];
    let good = |interaction: &str| json!({ "state": "open", "priority": 2, "interaction": interaction });
    let made = desk.ask(
        201,
        Method::POST,
        "/records/case",
        json!({ "customer_id": customer, "data": good("by hand") }),
    );
    assert_eq!((&made["version"], &made["customer_id"]), (&json!(1), customer));

    let post = |body: Value| desk.pointers(422, Method::POST, "/records/case", body);
    let mut found =
        post(json!({ "customer_id": customer, "data": { "state": "lost", "priority": 9, "colour": 1 } }));
    found.sort();
    assert_eq!(found, ["/data/colour", "/data/interaction", "/data/priority", "/data/state"]);
    assert_eq!(post(json!({ "data": good("2") })), ["/customer_id"]);
    assert_eq!(post(json!({ "customer_id": "cus_0000000000001", "data": good("2") })), ["/customer_id"]);
    assert_eq!(post(json!({ "customer_id": customer, "data": [] })), ["/data"]);
    let patch = |data: Value| desk.pointers(422, Method::PATCH, &path, json!({ "data": data }));
    assert_eq!(patch(json!({ "state": "lost" })), ["/data/state"]);
    assert_eq!(patch(json!({ "state": null })), ["/data/state"]);
    assert_eq!(patch(json!({ "notes": ["a", 1] })), ["/data/notes/1"]);
    assert_eq!(patch(json!([])), ["/data"]);
    let refused = |status, path: &str| desk.pointers(status, Method::GET, path, Value::Null);
    assert_eq!(refused(400, "/records/case?subject=x"), ["subject"]);
    assert_eq!(refused(400, "/records/case?priority=high"), ["priority"]);
    assert_eq!(refused(400, "/records/case?sort=notes"), ["sort"]);
    assert_eq!(refused(400, "/records/case?customer=ada"), ["customer"]);
    desk.ask(400, Method::POST, "/records/case", json!({ "data": good("2"), "kind": "case" }));
    desk.ask(404, Method::GET, "/records/coupon", Value::Null);
    desk.ask(404, Method::POST, "/records/coupon", json!({ "data": {} }));
    desk.ask(404, Method::GET, "/records/case/rec_0000000000001", Value::Null);

    let taken = desk.ask(
        409,
        Method::POST,
        "/records/case",
        json!({ "customer_id": customer, "data": good(text(&said["id"])) }),
    );
    assert!(text(&taken["detail"]).contains("`interaction`"), "{taken}");
    assert_eq!(desk.get(&path), case, "nothing of this has changed the case");
}

#[test]
fn other_plugins_need_a_grant() {
    let desk = Desk::new();
    desk.install("hook-nosy", "", NOSY);
    desk.install("hook-closer", "records = { case = \"write\" }", CLOSER);
    desk.say("1", "complaint.opened", "ada@example.com", "x");
    desk.say("2", "complaint.opened", "bob@example.com", "y");
    desk.wait_for("state=open", 2);
    let settled = desk.say("3", "complaint.settled", "ada@example.com", "fine");
    let case = desk.wait_for("state=closed", 1).remove(0);
    assert_eq!(case["data"]["notes"], json!([format!("settled by {}", text(&settled["id"]))]));
    assert_eq!((&case["customer_id"], desk.cases("state=open").len()), (&settled["customer"], 1));

    let until = Instant::now() + Duration::from_secs(30);
    let line = loop {
        let audit = desk.get("/audit?action=call.denied&actor=plugin:hook-nosy");
        if let Some(line) = audit["items"].as_array().and_then(|lines| lines.first().cloned()) {
            break line;
        }
        assert!(Instant::now() < until, "the denied call is not in the audit log");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        (&line["details"]["call"], &line["details"]["what"]),
        (&json!("records.query"), &json!("case"))
    );
    assert_eq!(desk.get("/plugins/hook-nosy")["service"], "enabled");
}

#[test]
fn cases_follow_merges_and_outlive_their_plugin() {
    let desk = Desk::new();
    let ada = desk.say("1", "complaint.opened", "ada@example.com", "x")["customer"].clone();
    let bob = desk.say("2", "complaint.opened", "bob@example.com", "y")["customer"].clone();
    let (ada, bob) = (text(&ada), text(&bob));
    let before = desk.wait_for("", 2);
    let merge = desk.ask(
        201,
        Method::POST,
        &format!("/customers/{ada}/merge"),
        json!({ "into": bob, "reason": "same" }),
    );
    let merged = desk.cases(&format!("customer={ada}"));
    assert!(merged.len() == 2 && merged.iter().all(|case| case["customer_id"] == bob), "{merged:?}");
    let export = desk.get(&format!("/customers/{bob}/export"));
    assert_eq!(export["records"].as_array().map(Vec::len), Some(2), "{export}");
    desk.ask(200, Method::POST, &format!("/merges/{}/undo", text(&merge["id"])), Value::Null);
    assert_eq!(desk.cases(""), before);
    assert_eq!(desk.get(&format!("/customers/{ada}/export"))["records"], json!([before[1]]));

    // An upgrade whose schema a stored case does not fit is refused, and the version that is there goes on.
    desk.ask(
        200,
        Method::PATCH,
        &format!("/records/case/{}", text(&before[0]["id"])),
        json!({ "data": { "state": "waiting" } }),
    );
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["plugin.toml", "handler.luau", "schema.luau"] {
        let text = std::fs::read_to_string(source("examples/hook-case").join(file)).expect("the example");
        let text = text
            .replace("\"open\", \"waiting\", ", "\"open\", ")
            .replace("version = \"0.1.0\"", "version = \"0.2.0\"");
        std::fs::write(folder.path().join(file), text).expect("writes");
    }
    let files = |folder: &Path| {
        let read = |name: &str| std::fs::read(folder.join(name)).expect("a file");
        let encode = |name: &str| base64::engine::general_purpose::STANDARD.encode(read(name));
        let manifest = String::from_utf8(read("plugin.toml")).expect("text");
        json!({ "manifest": manifest, "files": { "handler.luau": encode("handler.luau"), "schema.luau": encode("schema.luau") } })
    };
    let refused = desk.ask(409, Method::POST, "/plugins", files(folder.path()));
    for word in [text(&before[0]["id"]), "/data/state", "case"] {
        assert!(text(&refused["detail"]).contains(word), "{word}: {refused}");
    }
    assert_eq!(desk.get("/plugins/hook-case")["version"], "0.1.0");
    desk.say("3", "complaint.opened", "cy@example.com", "z");
    desk.wait_for("", 3);
    desk.ask(
        200,
        Method::PATCH,
        &format!("/records/case/{}", text(&before[0]["id"])),
        json!({ "data": { "state": "closed" } }),
    );
    desk.ask(201, Method::POST, "/plugins", files(folder.path()));
    assert_eq!(desk.get("/plugins/hook-case")["version"], "0.2.0");

    desk.ask(204, Method::DELETE, "/plugins/hook-case", Value::Null);
    assert_eq!(desk.cases("").len(), 3);
    assert_eq!(desk.get("/record-types")["items"][0]["plugin"], "hook-case");
    assert_eq!(desk.get(&format!("/customers/{ada}/export"))["records"].as_array().map(Vec::len), Some(1));
    let types = desk.command(&["record", "types"]);
    assert!(
        types.contains("case") && types.contains("hook-case") && types.contains("state, priority"),
        "{types}"
    );
    let listed = desk.command(&["record", "list", "case", "--where", "state=open", "--sort", "-priority"]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let shown = desk.command(&["record", "show", "case", text(&before[1]["id"])]);
    assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON"), before[1]);
    let local =
        regard_json(desk.server.data_dir(), &["record", "list", "case", "--customer", ada]).expect("lists");
    assert_eq!(local["items"], json!([before[1]]));
}
