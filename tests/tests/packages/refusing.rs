//! Hostile archives over HTTP: refused with the reason, and nothing of them is kept. The table of all of them stands with
//! the reader, in `core/host/src/package/archive/tests.rs`; these are made with the tools that an attacker has.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use rusqlite::Connection;
use serde_json::json;

use crate::{Desk, tool};

#[test]
fn hostile_archives_are_refused_and_nothing_is_stored() {
    let desk = Desk::new();
    let site = desk.serve();
    let folder = desk.plugin("hook-x", "0.1.0");
    let good = fs::read(desk.path(&desk.pack("good", "hook-x", "0.1.0", None))).expect("a package");
    let tar = "tar --format=ustar -b1 --mode=0644 --owner=0 --group=0 --numeric-owner --mtime=@0";
    let make = |script: &str| {
        tool(&folder, "bash", &["-c", &format!("set -euo pipefail; rm -f out.gz; {script}")]);
        fs::read(folder.join("out.gz")).expect("an archive")
    };
    let code = "handler.luau plugin.toml";
    let cases = [
        ("nothing", Vec::new(), "does not begin as a gzip file"),
        ("a half", good[..good.len() / 2].to_vec(), "breaks off"),
        ("garbage behind", [&good[..], b"garbage"].concat(), "followed by 7 bytes"),
        ("two in one", [&good[..], &good[..]].concat(), "followed by"),
        ("a bomb", make("head -c 300M /dev/zero | gzip -n9 > out.gz"), "unpacks to more than"),
        (
            "a path out",
            make(&format!("{tar} -cPf - --transform 's,^plugin,../plugin,' {code} | gzip -n > out.gz")),
            "leaves its folder",
        ),
        (
            "an absolute path",
            make(&format!("{tar} -cPf - --transform 's,^handler,/etc/handler,' {code} | gzip -n > out.gz")),
            "is an absolute path",
        ),
        (
            "a symbolic link",
            make(&format!(
                "ln -sf /etc/passwd a.luau; {tar} -cf - a.luau {code} | gzip -n > out.gz; rm a.luau"
            )),
            "is a link",
        ),
        (
            "a hard link",
            make(&format!(
                "ln -f handler.luau lib.luau; {tar} -cf - handler.luau lib.luau plugin.toml | gzip -n > out.gz; rm lib.luau"
            )),
            "is a link",
        ),
        (
            "a pipe",
            make(&format!("mkfifo a.luau; {tar} -cf - a.luau {code} | gzip -n > out.gz; rm a.luau")),
            "is a device",
        ),
        ("a folder", make(&format!("{tar} -cf - fixtures {code} | gzip -n > out.gz")), "is a folder"),
        (
            "pax headers",
            make(&format!("tar --format=pax -cf - {code} | gzip -n > out.gz")),
            "extension of tar",
        ),
        (
            "owners and times",
            make(&format!("tar --format=ustar -cf - {code} | gzip -n > out.gz")),
            "carries an owner",
        ),
        (
            "a program",
            make(&format!("touch evil.sh; {tar} -cf - evil.sh {code} | gzip -n > out.gz")),
            "`evil.sh` does not belong",
        ),
        (
            "names that fold",
            make(&format!(
                "cp handler.luau Handler.luau; {tar} -cf - Handler.luau {code} | gzip -n > out.gz"
            )),
            "upper and lower case",
        ),
        (
            "a name twice",
            make(&format!(
                "{tar} -cf - --transform 's,schema,handler,' handler.luau schema.luau plugin.toml | gzip -n > out.gz"
            )),
            "is there twice",
        ),
        (
            "bytecode",
            make(&format!("printf '\\006\\003\\001' > b.luau; {tar} -cf - b.luau {code} | gzip -n > out.gz")),
            "bytecode is refused",
        ),
        (
            "a zip file",
            make("python3 -m zipfile -c out.gz handler.luau plugin.toml"),
            "does not begin as a gzip file",
        ),
    ];
    let count = cases.len();
    for (what, archive, says) in cases {
        let (status, answer) =
            site.call(Method::POST, "/plugins", Some(json!({ "archive": STANDARD.encode(archive) })));
        assert_eq!(status, 422, "{what}: {answer}");
        assert!(answer["detail"].as_str().expect("a detail").contains(says), "{what}: {answer}");
        assert_eq!(answer["errors"][0]["pointer"], "/archive", "{what}");
    }
    let (status, answer) = site.call(Method::POST, "/plugins", Some(json!({ "archive": "!" })));
    assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!("/archive")));

    assert!(site.plugins().is_empty());
    assert_eq!(site.refused().len(), count, "each archive left a line in the audit log");
    let store = Connection::open(desk.path("data/regard.db")).expect("the store");
    for table in ["plugin", "plugin_file"] {
        let rows: i64 =
            store.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counts");
        assert_eq!(rows, 0, "{table}");
    }
    // And the server goes on.
    let (status, record) =
        site.call(Method::POST, "/plugins", Some(json!({ "archive": STANDARD.encode(good) })));
    assert_eq!((status, &record["id"]), (201, &json!("hook-x")), "{record}");
}
