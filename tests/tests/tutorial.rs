//! The tutorial, run as it stands there, by somebody in an empty folder.

use std::process::Command;

use regard_tests::server::{program, source};

/// How long the whole of it may take, in seconds: a build in Rust is part of it.
const TIME_MAX_S: &str = "900";

#[test]
fn the_tutorial_works_as_written() {
    let text = std::fs::read_to_string(source("sdk/TUTORIAL.md")).expect("the tutorial");
    let blocks: Vec<&str> =
        text.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert!(blocks.len() > 5, "the blocks are the tutorial");
    // A port of its own, so that a server that happens to run does not answer instead.
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let script = format!(
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{}\n",
        blocks.join("\n").replace("8420", &free.to_string())
    );
    let program = program().expect("the program");
    let path = format!(
        "{}:{}",
        program.parent().expect("a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let empty = tempfile::tempdir().expect("a folder");
    // What waits for something that never comes must end as well.
    let mut bash = Command::new("timeout");
    for name in ["REGARD_DATA_DIR", "REGARD_SERVER", "REGARD_TOKEN", "REGARD_PLUGINS_LOCK", "REGARD_INDEX"] {
        bash.env_remove(name);
    }
    let output = bash
        .args(["--kill-after=10", TIME_MAX_S, "bash", "-c", &script])
        .env("PATH", path)
        .current_dir(empty.path())
        .output();
    let output = output.expect("bash runs");
    let said =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    for words in
        ["installed hook-first-order serves", "signed by key", "index.json: 1 packages", "orders: 1 subjects"]
    {
        assert!(said.contains(words), "`{words}` is missing in:\n{said}");
    }
}
