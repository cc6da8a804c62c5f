//! The same folder gives the same file, and others can read and write it with the tools that they have.

use std::fs;

use regard_tests::server::source;

use crate::{Desk, digest, tool};

#[test]
fn the_same_folder_gives_the_same_bytes_wherever_it_lies() {
    let desk = Desk::new();
    let first = desk.plugin("hook-x", "0.1.0");
    let packed = desk.does(&["plugin", "pack", first.to_str().expect("text"), "--out", "one.regard"]);
    let bytes = fs::read(desk.path("one.regard")).expect("a package");
    assert_eq!(packed["sha256"], digest(&bytes));

    // A copy with other times, modes, and things around it that are no plugin.
    let copy = desk.path("elsewhere");
    tool(desk.folder.path(), "cp", &["-r", first.to_str().expect("text"), "elsewhere"]);
    tool(
        &copy,
        "sh",
        &[
            "-c",
            "find . -type f -exec touch -d '2001-02-03' {} + && chmod 600 README.md && mkdir -p target node_modules .git .regard/luau lib/tests && touch .env target/x.luau node_modules/y.luau .regard/luau/z.luau lib/tests/t.luau .git/config notes.txt && ln -s /etc/passwd fixtures/link",
        ],
    );
    desk.does(&["plugin", "pack", "elsewhere", "--out", "two.regard"]);
    assert_eq!(fs::read(desk.path("two.regard")).expect("a package"), bytes);
    desk.does(&["plugin", "pack", "elsewhere"]);
    assert_eq!(fs::read(desk.path("hook-x-0.1.0.regard")).expect("the name by default"), bytes);

    let checked = desk.does(&["plugin", "check", "two.regard"]);
    assert_eq!(checked["digest"], desk.does(&["plugin", "check", "elsewhere"])["digest"]);
    assert_eq!(checked["digest"], packed["digest"], "a folder and its package are the same plugin");
}

#[test]
fn the_recipe_of_the_page_makes_a_package_and_tar_reads_ours() {
    let desk = Desk::new();
    let folder = desk.plugin("hook-x", "0.1.0");
    let page = fs::read_to_string(source("sdk/PACKAGES.md")).expect("the page");
    let recipe = page.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a recipe");
    tool(&folder, "bash", &["-c", &format!("set -euo pipefail\n{recipe}")]);
    let by_hand = folder.join("hook-x-0.1.0.regard");
    let checked = desk.does(&["plugin", "check", by_hand.to_str().expect("text")]);

    let packed = desk.does(&["plugin", "pack", folder.to_str().expect("text"), "--out", "ours.regard"]);
    assert_eq!(checked["digest"], packed["digest"]);
    // The compressors differ, what they compress does not.
    let plain = |path: &str| tool(desk.folder.path(), "gzip", &["-dc", path]);
    fs::copy(&by_hand, desk.path("theirs.gz")).expect("copied");
    fs::copy(desk.path("ours.regard"), desk.path("ours.gz")).expect("copied");
    assert!(plain("theirs.gz") == plain("ours.gz"), "GNU tar writes the very container that we do");

    let listed = tool(desk.folder.path(), "tar", &["-tzf", "ours.regard"]);
    assert_eq!(
        String::from_utf8_lossy(&listed),
        "LICENSE\nREADME.md\nfixtures/event.json\nhandler.luau\nplugin.toml\nschema.luau\n"
    );
}

#[test]
fn the_bundled_luau_plugins_survive_packing() {
    let desk = Desk::new();
    for id in ["hook-welcome", "kpi-repeat-rate"] {
        let folder = source("plugins").join(id);
        let packed = desk.does(&["plugin", "pack", folder.to_str().expect("text")]);
        let file = packed["package"].as_str().expect("a path");
        let installed = desk.does(&["plugin", "install", file]);
        assert_eq!(
            installed["digest"],
            desk.does(&["plugin", "install", folder.to_str().expect("text")])["digest"]
        );
    }
}

#[test]
fn a_folder_that_makes_no_package_says_why() {
    let desk = Desk::new();
    let folder = desk.plugin("hook-x", "0.1.0");
    fs::write(folder.join("fixtures/two words.json"), "{}").expect("written");
    let said = desk.fails(&["plugin", "pack", folder.to_str().expect("text")]);
    assert!(said.contains("`fixtures/two words.json` has a name with other characters"), "{said}");
    assert!(!desk.path("hook-x-0.1.0.regard").exists());
    let said = desk.fails(&["plugin", "install", "nowhere/hook-x"]);
    assert!(said.contains("neither a folder, nor a .regard file"), "{said}");
    let said = desk.fails(&["plugin", "install", "hook-x.regard"]);
    assert!(said.contains("there is no hook-x.regard"), "{said}");
}
