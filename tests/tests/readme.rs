//! The README's tour, run as it stands there.

use std::process::Command;

use regard_tests::server::{program, source};

#[test]
fn the_tour_works_as_written() {
    let text = std::fs::read_to_string(source("README.md")).expect("a README");
    let blocks: Vec<&str> =
        text.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert_eq!(blocks.len(), 1, "one block is the tour");
    // A port of its own, so that a server that happens to run does not answer instead.
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let script = format!(
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{}\n",
        blocks[0].replace("8420", &free.to_string())
    );
    let folder = program().expect("the program").parent().expect("a folder").to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let locks = tempfile::tempdir().expect("a folder");
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .env("PATH", path)
        .env("REGARD_PLUGINS_LOCK", locks.path().join("regard-plugins.lock"))
        .current_dir(source(""))
        .output()
        .expect("bash runs");
    let said =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    for words in ["rows stored", "clv", "cus_", "\"accepted\""] {
        assert!(said.contains(words), "`{words}` is missing in:\n{said}");
    }
}
