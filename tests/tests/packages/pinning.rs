//! `regard-plugins.lock`: the same plugins elsewhere, and nobody slips in another publisher's.

use std::fs;

use crate::Desk;
use crate::offering::Web;

#[test]
fn a_lock_brings_the_very_same_plugins_elsewhere() {
    let desk = Desk::new();
    let public = desk.key("k");
    desk.trust(false, &[("acme", &public)]);
    desk.pack("shop", "hook-b", "1.0.0", Some("k"));
    desk.pack("shop", "hook-b", "1.1.0", Some("k"));
    desk.does(&["plugin", "index", "shop"]);
    let web = Web::start(&desk.path("shop"));
    desk.does(&["plugin", "install", "hook-b@=1.0.0", "--index", &web.address]);
    let file = desk.pack("files", "hook-c", "0.1.0", None);
    desk.does(&["plugin", "install", &file]);
    let folder = desk.plugin("hook-a", "0.1.0");
    desk.does(&["plugin", "install", folder.to_str().expect("text")]);

    let lock = desk.read("regard-plugins.lock");
    let sections: Vec<&str> = lock.lines().filter(|line| line.starts_with("id = ")).collect();
    assert_eq!(
        sections,
        ["id = \"hook-a\"", "id = \"hook-b\"", "id = \"hook-c\""],
        "sorted, whatever came first"
    );
    assert!(lock.contains(&format!("source = \"{}/hook-b-1.0.0.regard\"", web.address)), "{lock}");
    assert!(
        lock.contains("source = \"sources/0.1.0/hook-a\"")
            && lock.contains("source = \"files/hook-c-0.1.0.regard\"")
    );
    desk.does(&["plugin", "install", &file]);
    assert_eq!(desk.read("regard-plugins.lock"), lock, "installing the same changes nothing");

    // Another installation, elsewhere: the folder moved with its lock file, a new store.
    let elsewhere = Desk::new();
    for name in ["sources", "files", "regard-plugins.lock", "regard.toml"] {
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .arg(desk.path(name))
            .arg(elsewhere.folder.path())
            .status();
        assert!(copied.expect("cp runs").success());
    }
    let all = elsewhere.does(&["plugin", "install", "--locked"]);
    let installed: Vec<_> =
        all["items"].as_array().expect("items").iter().map(|one| (&one["id"], &one["digest"])).collect();
    assert_eq!(installed.len(), 3);
    assert_eq!(elsewhere.read("regard-plugins.lock"), lock);
    for (id, digest) in installed {
        assert_eq!(desk.does(&["plugin", "show", id.as_str().expect("an id")])["digest"], *digest);
    }
    // By name: what is pinned, not what is newest.
    let one = elsewhere.does(&["plugin", "install", "hook-b", "--locked"]);
    assert_eq!(one["version"], "1.0.0");
    let said = elsewhere.fails(&["plugin", "install", "hook-b@1.1", "--locked"]);
    assert!(said.contains("pins hook-b 1.0.0, which is not within `^1.1`"), "{said}");
    let said = elsewhere.fails(&["plugin", "install", "hook-z", "--locked"]);
    assert!(said.contains("has no hook-z"), "{said}");

    // A prerelease, and a folder that happens to have the plugin's name.
    let early = elsewhere.pack("files", "hook-d", "0.1.0-rc.1", None);
    elsewhere.does(&["plugin", "install", &early]);
    fs::create_dir(elsewhere.path("hook-d")).expect("made");
    assert_eq!(elsewhere.does(&["plugin", "install", "--locked"])["items"].as_array().map(Vec::len), Some(4));
    fs::remove_dir(elsewhere.path("hook-d")).expect("removed");
    assert_eq!(elsewhere.does(&["plugin", "install", "hook-d", "--locked"])["version"], "0.1.0-rc.1");

    elsewhere.does(&["plugin", "remove", "hook-b"]);
    assert!(!elsewhere.read("regard-plugins.lock").contains("hook-b"));
    let other = elsewhere.does(&["plugin", "install", &file, "--lock", "other.lock"]);
    assert!(elsewhere.read("other.lock").contains(other["digest"].as_str().expect("a digest")));
}

#[test]
fn what_differs_from_the_lock_is_refused() {
    let desk = Desk::new();
    let file = desk.pack("files", "hook-x", "0.1.0", None);
    desk.does(&["plugin", "install", &file]);
    let folder = desk.plugin("hook-y", "0.1.0");
    desk.does(&["plugin", "install", folder.to_str().expect("text")]);
    let lock = desk.read("regard-plugins.lock");

    // The same code, another README: another archive.
    fs::write(desk.path("sources/0.1.0/hook-x/README.md"), "changed").expect("written");
    desk.does(&["plugin", "pack", "sources/0.1.0/hook-x", "--out", &file]);
    let said = desk.fails(&["plugin", "install", "--locked"]);
    assert!(said.contains("pins hook-x to sha256"), "{said}");
    fs::write(desk.path("sources/0.1.0/hook-x/handler.luau"), "return { hook = { handle = print } }")
        .expect("written");
    desk.does(&["plugin", "pack", "sources/0.1.0/hook-x", "--out", &file]);
    let said = desk.fails(&["plugin", "install", "hook-x", "--locked"]);
    assert!(said.contains("pins hook-x to digest"), "{said}");
    fs::write(folder.join("handler.luau"), "return { hook = { handle = print } }").expect("written");
    let said = desk.fails(&["plugin", "install", "hook-y", "--locked"]);
    assert!(said.contains("pins hook-y to digest"), "{said}");
    let said = desk.fails(&["plugin", "install", "--locked", "--lock", "none.lock"]);
    assert!(said.contains("none.lock pins nothing"), "{said}");
    assert_eq!(desk.read("regard-plugins.lock"), lock);
    fs::write(desk.path("regard-plugins.lock"), "format = 2\n").expect("written");
    let said = desk.fails(&["plugin", "install", &file]);
    assert!(said.contains("has format 2"), "{said}");
}

#[test]
fn another_signer_is_accepted_only_by_name() {
    let desk = Desk::new();
    let (acme, other) = (desk.key("acme.key"), desk.key("other.key"));
    desk.trust(false, &[("acme", &acme), ("other", &other)]);
    let first = desk.pack("a", "hook-x", "1.0.0", Some("acme.key"));
    let id =
        desk.does(&["plugin", "install", &first])["signed_by"]["key"].as_str().expect("a key").to_owned();
    let lock = desk.read("regard-plugins.lock");
    assert!(lock.contains(&format!("key = \"{id}\"")), "{lock}");

    // Trusted by the server, and still not whom this plugin was pinned to.
    let foreign = desk.pack("b", "hook-x", "1.1.0", Some("other.key"));
    let said = desk.fails(&["plugin", "install", &foreign]);
    assert!(said.contains(&format!("pins hook-x to key {id}")) && said.contains("--accept-key"), "{said}");
    // Without its signature it is not that publisher's any more either.
    let bare = desk.pack("c", "hook-x", "1.1.0", None);
    let said = desk.fails(&["plugin", "install", &bare]);
    assert!(said.contains("is not signed; if you know why, accept it with --accept-key none"), "{said}");
    let said = desk.fails(&["plugin", "install", "sources/1.1.0/hook-x"]);
    assert!(said.contains("is not signed"), "{said}");
    // A signature that only names the pinned key is found out by the server.
    let forged = desk.pack("d", "hook-x", "1.1.0", None);
    fs::copy(desk.path("a/hook-x-1.0.0.regard.minisig"), desk.path("d/hook-x-1.1.0.regard.minisig"))
        .expect("copied");
    let said = desk.fails(&["plugin", "install", &forged]);
    assert!(said.contains("does not fit"), "{said}");
    // Even by a server that has dropped the key, to which the signature says nothing.
    desk.trust(false, &[("other", &other)]);
    let said = desk.fails(&["plugin", "install", &forged]);
    assert!(said.contains(&format!("must be signed by key {id}")), "{said}");
    desk.trust(false, &[("acme", &acme), ("other", &other)]);
    assert_eq!(desk.read("regard-plugins.lock"), lock);
    assert_eq!(desk.does(&["plugin", "show", "hook-x"])["version"], "1.0.0");

    // The same publisher's next version needs no word.
    let next = desk.pack("a", "hook-x", "1.0.1", Some("acme.key"));
    desk.does(&["plugin", "install", &next]);
    let accepted =
        desk.does(&["plugin", "verify", &foreign])["signed_by"]["key"].as_str().expect("a key").to_owned();
    let said = desk.fails(&["plugin", "install", &next, "--accept-key", &accepted]);
    assert!(said.contains(&format!("--accept-key asks for key {accepted}")), "{said}");
    desk.does(&["plugin", "install", &foreign, "--accept-key", &accepted]);
    assert!(desk.read("regard-plugins.lock").contains(&format!("key = \"{accepted}\"")));
    desk.does(&["plugin", "install", &bare, "--accept-key", "none"]);
    assert!(!desk.read("regard-plugins.lock").contains("key = "));
    let said = desk.fails(&["plugin", "install", &bare, "--accept-key", "nonsense"]);
    assert!(said.contains("no key id"), "{said}");
}
