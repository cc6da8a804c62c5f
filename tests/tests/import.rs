//! Files of customers and interactions, with all that is wrong with real files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use regard_tests::server::{Server, command, regard_json, run, source};
use reqwest::Method;
use serde_json::{Value, json};

const ORDERS: &str = r#"
kind = "order.placed"
channel = "shop"
external_id = "{order}"
occurred_at = { value = "{date}", format = "%Y-%m-%d" }
amount = { value = "{total}", currency = "EUR" }
[identifiers]
email = "{email}"
[attributes]
note = "{note}"
"#;

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("written");
        path.to_string_lossy().into_owned()
    }

    fn rejects(&self, file: &str) -> Vec<(u64, String)> {
        let text = fs::read_to_string(format!("{file}.rejects.jsonl")).expect("a reject file");
        text.lines()
            .map(|line| {
                let row: Value = serde_json::from_str(line).expect("one object per line");
                (
                    row["line"].as_u64().expect("a line number"),
                    row["reason"].as_str().expect("a reason").to_owned(),
                )
            })
            .collect()
    }
}

#[test]
fn a_broken_row_in_the_middle_costs_only_itself() {
    let desk = Desk::new();
    let mut rows = b"order,date,total,email,note\n\
        1,1997-01-01,10.00,ada@example.com,fine\n\
        2,1997-02-30,10.00,ada@example.com,no such day\n\
        3,1997-03-01,ten,ada@example.com,no amount\n\
        4,1997-03-01,10.00,nobody,no address\n\
        5,1997-03-01,10.00\n\
        6,1997-03-01,10.00,ada@example.com,\"a note\nover two lines, with commas\"\n\
        7,1997-03-01,10.00,ada@example.com,\"never closed\n\
        8,1997-03-01,10.00,bob@example.com,Robert'); DROP TABLE interaction;--\n\
        1,1997-01-01,10.00,ada@example.com,the same order again\n\
        ,1997-03-01,10.00,ada@example.com,no order number\n"
        .to_vec();
    rows.extend_from_slice(b"9,1997-03-01,10.00,ada@example.com,\xff\xfe\n");
    rows.extend_from_slice("10,1997-03-01,10.00,ada@example.com,\u{1f600} \u{5bff}\u{53f8}\n".as_bytes());
    let file = desk.write("orders.csv", rows);
    let map = desk.write("orders.toml", ORDERS);
    let arguments = ["import", "interactions", &file, "--map", &map, "--source", "shop"];
    let report = regard_json(&desk.store(), &arguments).expect("imports");
    assert_eq!(
        (&report["accepted"], &report["duplicates"], &report["rejected"]),
        (&json!(4), &json!(1), &json!(7))
    );
    let rejects = desk.rejects(&file);
    let reason = |line: u64| {
        rejects.iter().find(|(at, _)| *at == line).map(|(_, reason)| reason.as_str()).unwrap_or_default()
    };
    for (line, says) in [
        (3, "`1997-02-30` is no date"),
        (4, "`ten` is no amount in EUR"),
        (5, "no e-mail address"),
        (6, "3 fields, 5 were expected"),
        (9, "a quote opens and does not close"),
        (12, "external_id is empty"),
        (13, "invalid UTF-8 after byte"),
    ] {
        assert!(reason(line).contains(says), "line {line}: {:?} in {rejects:?}", reason(line));
    }

    let again = regard_json(&desk.store(), &arguments).expect("imports again");
    assert_eq!(again["accepted"], 4, "the same import is known to be done: {again}");
    let server = Server::start_in(&desk.store()).expect("serves");
    let token = server.token("analyst").expect("a token");
    let (_, page) = server.call(Method::GET, "/interactions?limit=100", &token, None).expect("an answer");
    let notes: Vec<&str> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|one| one["attributes"]["note"].as_str())
        .collect();
    assert_eq!(notes.len(), 4);
    for note in [
        "\u{1f600} \u{5bff}\u{53f8}",
        "Robert'); DROP TABLE interaction;--",
        "a note\nover two lines, with commas",
    ] {
        assert!(notes.contains(&note), "{note}");
    }
}

#[test]
fn customers_from_a_list_of_persons() {
    let desk = Desk::new();
    let map = desk.write(
        "febrl.toml",
        r#"
        name = "{given_name} {surname}"
        [identifiers]
        "external:febrl" = "{rec_id}"
        [attributes]
        birth_date = { value = "{date_of_birth}", type = "date", format = "%Y%m%d" }
        postcode = "{postcode}"
        "#,
    );
    let file = desk.write(
        "persons.csv",
        "rec_id, given_name, surname, postcode, date_of_birth\n\
         rec-223-org, , waller, 4011, 19081209\n\
         rec-122-org, lachlan, berry, 4814, 19990219\n\
         rec-373-org, deakin, sondergeld, 2193, 19600210\n",
    );
    let report =
        regard_json(&desk.store(), &["import", "customers", &file, "--map", &map, "--source", "febrl"])
            .expect("imports");
    assert_eq!((&report["accepted"], &report["rejected"]), (&json!(3), &json!(0)));
    let server = Server::start_in(&desk.store()).expect("serves");
    let token = server.token("agent").expect("a token");
    let (_, page) = server
        .call(Method::GET, "/customers?identifier=external:febrl:rec-223-org", &token, None)
        .expect("an answer");
    assert_eq!(page["items"][0]["name"], "waller");
    assert_eq!(page["items"][0]["attributes"]["birth_date"], "1908-12-09");

    // A second list of the same persons changes them and makes nobody anew.
    let file = desk.write(
        "persons2.csv",
        "rec_id, given_name, surname, postcode, date_of_birth\nrec-223-org, ann, waller, 4012, 19081209\n",
    );
    regard_json(&desk.store(), &["import", "customers", &file, "--map", &map, "--source", "febrl"])
        .expect("imports");
    let (_, page) = server.call(Method::GET, "/customers?limit=100", &token, None).expect("an answer");
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), 3);
    assert!(items.iter().any(|one| one["name"] == "ann waller" && one["attributes"]["postcode"] == "4012"));
}

#[test]
fn wrong_usage_says_how_to_mend_it() {
    let desk = Desk::new();
    let file = desk.write("orders.csv", "a,b\n1,2\n");
    let map = desk.write("orders.toml", ORDERS);
    for (arguments, says) in [
        (vec!["import", "interactions", &file], "--map FILE"),
        (vec!["import", "interactions", &file, "--map", &map], "that the file has not; it has: a, b"),
        (vec!["import", "interactions", "/nowhere/x.csv", "--map", &map], "cannot read /nowhere/x.csv"),
        (vec!["import", "customers", &file, "--map", &map], "does not belong into a map"),
    ] {
        let output = run(&desk.store(), &arguments).expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{says}: {said}");
    }
    let output = run(&desk.store(), &["import", "everything"]).expect("runs");
    assert_eq!(output.status.code(), Some(2), "wrong usage");
}

#[test]
fn json_lines_in_the_form_of_the_api() {
    let desk = Desk::new();
    let good = |id: u64| json!({ "channel": "shop", "external_id": id.to_string(), "kind": "order.placed", "occurred_at": "1997-01-01T00:00:00Z" });
    let file = desk.write(
        "orders.jsonl",
        format!("{}\n{{\"channel\": \n{}\n{}\n", good(1), json!({ "channel": "shop", "colour": 1 }), good(2)),
    );
    // Without a map nobody says which channels to make.
    let server = Server::start_in(&desk.store()).expect("serves");
    server.make_channel("shop").expect("made");
    let token = server.token("admin").expect("a token");
    let address = format!("http://{}", server.address());
    let report = regard_json(
        &desk.store(),
        &["import", "interactions", &file, "--server", &address, "--token", &token],
    )
    .expect("imports");
    assert_eq!((&report["accepted"], &report["rejected"]), (&json!(2), &json!(2)));
    assert!(
        desk.rejects(&file)
            .iter()
            .any(|(line, reason)| *line == 3 && reason.contains("unknown field `colour`"))
    );
}

/// Kills an import again and again; in the end every row is there once, and every bad row is told once.
#[test]
fn killed_again_and_again_an_import_loses_and_doubles_nothing() {
    const ROWS: usize = 60_000;
    let desk = Desk::new();
    let mut text = String::from("order,date,total,email,note\n");
    for row in 0..ROWS {
        let date = if row % 1000 == 999 { "never" } else { "1997-01-01" };
        writeln!(text, "{row},{date},{}.50,c{}@example.com,", row % 90, row % 7000).expect("written");
    }
    let file = desk.write("orders.csv", text);
    let map = desk.write("orders.toml", ORDERS);
    let arguments = ["import", "interactions", &file, "--map", &map, "--source", "shop", "--json"];
    let mut kills = 0;
    let report: Value = loop {
        let mut child = command(&desk.store(), &arguments)
            .expect("a command")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        // A different moment each time, later and later so that it ends.
        let patience = Duration::from_millis(60 + 97 * kills);
        let started = Instant::now();
        let ended = loop {
            if let Some(status) = child.try_wait().expect("waits") {
                break Some(status);
            }
            if started.elapsed() > patience {
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        match ended {
            Some(status) => {
                assert!(status.success());
                let output = child.wait_with_output().expect("output");
                break serde_json::from_slice(&output.stdout).expect("one JSON document");
            }
            None => {
                child.kill().expect("killed");
                child.wait().expect("gone");
                kills += 1;
                assert!(kills < 100, "the import does not get on");
            }
        }
    };
    assert!(kills >= 2, "killed only {kills} times: the import is too small to be broken off");
    let bad = (ROWS / 1000) as u64;
    assert_eq!(report["accepted"], ROWS as u64 - bad, "after {kills} kills: {report}");
    assert_eq!((&report["duplicates"], &report["rejected"]), (&json!(0), &json!(bad)));
    let lines: Vec<u64> = desk.rejects(&file).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, (1..=bad).map(|n| n * 1000 + 1).collect::<Vec<_>>());
    assert_eq!(count(&desk.store(), "interaction"), ROWS as i64 - bad as i64);
    assert_eq!(
        count(&desk.store(), "customer"),
        7000 - 7,
        "customers of rows that were refused are not made"
    );
}

/// Rows of a table, asked of the database itself.
fn count(store: &Path, table: &str) -> i64 {
    let database = rusqlite::Connection::open(store.join("regard.db")).expect("a database");
    database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a count")
}

#[test]
fn the_shops_own_format_needs_only_a_map() {
    let desk = Desk::new();
    let file = desk
        .write("orders.txt", fs::read(source("examples/quickstart/cdnow_sample.txt")).expect("the sample"));
    let map = source("examples/quickstart/orders-sample.toml");
    let report = regard_json(
        &desk.store(),
        &["import", "interactions", &file, "--map", &map.to_string_lossy(), "--source", "cdnow"],
    )
    .expect("imports");
    assert_eq!((&report["accepted"], &report["rejected"]), (&json!(6919), &json!(0)));
    assert_eq!(count(&desk.store(), "customer"), 2357);
}
