//! Keys and signatures are minisign's: its own program verifies ours and we verify its. A server decides for itself whom
//! it trusts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Desk, tool};

#[test]
fn the_stock_program_verifies_what_we_sign_and_the_other_way_round() {
    let desk = Desk::new();
    let public = desk.key("ours.key");
    let mode = fs::metadata(desk.path("ours.key")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file = desk.pack(".", "hook-x", "0.1.0", Some("ours.key"));
    tool(desk.folder.path(), "minisign", &["-Vm", &file, "-P", &public]);
    tool(desk.folder.path(), "minisign", &["-Vm", &file, "-p", "ours.key.pub"]);

    tool(desk.folder.path(), "minisign", &["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"]);
    tool(desk.folder.path(), "minisign", &["-S", "-W", "-s", "theirs.key", "-m", &file]);
    let verified = desk.does(&["plugin", "verify", &file, "--key", "theirs.pub"]);
    assert_eq!(verified["id"], "hook-x");
    let other = desk.fails(&["plugin", "verify", &file, "--key", &public]);
    assert!(other.contains("the signature is by key"), "{other}");
    // Their secret key signs here too.
    let packed = desk.does(&["plugin", "pack", "sources/0.1.0/hook-x", "--key", "theirs.key"]);
    assert_eq!(packed["key"], verified["signed_by"]["key"]);
    tool(desk.folder.path(), "minisign", &["-Vm", &file, "-p", "theirs.pub"]);

    // And the other way round.
    tool(desk.folder.path(), "minisign", &["-S", "-W", "-s", "ours.key", "-m", &file]);
    desk.does(&["plugin", "verify", &file, "--key", &public]);

    let again = desk.fails(&["plugin", "key", "new", "--out", "ours.key", "--no-password"]);
    assert!(again.contains("a key is never overwritten"), "{again}");
}

#[test]
fn a_password_protects_a_key() {
    let desk = Desk::new();
    let run = |password: &str, arguments: &[&str]| {
        let output = desk.command(arguments).env("REGARD_KEY_PASSWORD", password).output().expect("runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (made, said) = run("correct horse", &["plugin", "key", "new", "--out", "k"]);
    assert!(made, "{said}");
    let folder = desk.plugin("hook-x", "0.1.0");
    let pack = ["plugin", "pack", folder.to_str().expect("text"), "--key", "k"];
    let (packed, said) = run("battery staple", &pack);
    assert!(!packed && said.contains("the password is wrong"), "{said}");
    assert!(!desk.path("hook-x-0.1.0.regard").exists(), "nothing is packed that should have been signed");
    let (packed, said) = run("correct horse", &pack);
    assert!(packed, "{said}");
    tool(desk.folder.path(), "minisign", &["-Vm", "hook-x-0.1.0.regard", "-p", "k.pub"]);
    fs::write(desk.path("no.key"), "hello\n").expect("written");
    let (packed, said) = run("x", &["plugin", "pack", folder.to_str().expect("text"), "--key", "no.key"]);
    assert!(!packed && said.contains("no.key is no secret key"), "{said}");
}

#[test]
fn verify_says_who_signed_and_what_is_wrong() {
    let desk = Desk::new();
    let public = desk.key("k");
    let file = desk.pack(".", "hook-x", "0.1.0", Some("k"));
    let unknown = desk.fails(&["plugin", "verify", &file]);
    assert!(unknown.contains("is not among `plugins.publishers`"), "{unknown}");
    desk.trust(false, &[("acme", &public)]);
    assert_eq!(desk.does(&["plugin", "verify", &file])["signed_by"]["name"], "acme");

    // A sound package, but not the one that was signed.
    let signature = desk.read("hook-x-0.1.0.regard.minisig");
    let other = desk.pack(".", "hook-x", "0.2.0", None);
    fs::write(desk.path("hook-x-0.2.0.regard.minisig"), &signature).expect("written");
    let wrong = desk.fails(&["plugin", "verify", &other]);
    assert!(wrong.contains("does not fit: the file or its signature was changed"), "{wrong}");
    fs::write(desk.path("hook-x-0.2.0.regard.minisig"), "nonsense").expect("written");
    let nonsense = desk.fails(&["plugin", "verify", &other]);
    assert!(nonsense.contains("no minisign signature"), "{nonsense}");
    fs::remove_file(desk.path("hook-x-0.2.0.regard.minisig")).expect("removed");
    let unsigned = desk.fails(&["plugin", "verify", &other]);
    assert!(unsigned.contains("is not signed"), "{unsigned}");

    // Packing anew without a key must not leave a signature that no longer fits.
    fs::write(desk.path("sources/0.1.0/hook-x/README.md"), "changed").expect("written");
    desk.does(&["plugin", "pack", "sources/0.1.0/hook-x"]);
    assert!(!desk.path("hook-x-0.1.0.regard.minisig").exists());
}

/// The body of a call that installs the package `file`.
fn body(desk: &Desk, file: &str, signature: Option<&str>) -> Value {
    let bytes = fs::read(desk.path(file)).expect("a package");
    json!({ "archive": STANDARD.encode(bytes), "signature": signature })
}

#[test]
fn a_server_that_requires_signatures_decides_for_itself() {
    let desk = Desk::new();
    let (acme, _) = (desk.key("acme.key"), desk.key("other.key"));
    desk.trust(true, &[("acme", &acme)]);
    let site = desk.serve();
    let signed = desk.pack("acme", "hook-x", "0.1.0", Some("acme.key"));
    let by_acme = desk.read("acme/hook-x-0.1.0.regard.minisig");
    let later = desk.pack("acme", "hook-x", "0.2.0", Some("acme.key"));
    let foreign = desk.pack("foreign", "hook-x", "0.1.0", Some("other.key"));
    let by_other = desk.read("foreign/hook-x-0.1.0.regard.minisig");

    let loose = json!({
        "manifest": desk.read("sources/0.1.0/hook-x/plugin.toml"),
        "files": { "handler.luau": STANDARD.encode(desk.read("sources/0.1.0/hook-x/handler.luau")) },
    });
    let changed = by_acme.replace("hook-x", "hook-y");
    for (what, body, says) in [
        ("loose files", loose, "not signed, and `require_signatures`"),
        ("no signature", body(&desk, &signed, None), "not signed, and `require_signatures`"),
        ("an unknown key", body(&desk, &foreign, Some(&by_other)), "which is not among `plugins.publishers`"),
        ("another file's signature", body(&desk, &later, Some(&by_acme)), "does not fit"),
        ("a changed comment", body(&desk, &signed, Some(&changed)), "does not fit"),
        ("no signature at all", body(&desk, &signed, Some("nonsense")), "no minisign signature"),
    ] {
        let (status, answer) = site.call(Method::POST, "/plugins", Some(body));
        assert_eq!(status, 422, "{what}: {answer}");
        assert!(answer["detail"].as_str().expect("a detail").contains(says), "{what}: {answer}");
        assert_eq!(answer["errors"][0]["pointer"], "/signature", "{what}");
    }
    assert!(site.plugins().is_empty(), "nothing of that was stored");
    let refused = site.refused();
    assert_eq!(refused.len(), 6, "each left a line: {refused:?}");
    assert!(refused.iter().all(|line| line["details"]["reason"].is_string()));

    let (status, record) = site.call(Method::POST, "/plugins", Some(body(&desk, &signed, Some(&by_acme))));
    assert_eq!(status, 201, "{record}");
    assert_eq!(record["signed_by"]["name"], "acme");
    assert_eq!(site.plugins()[0]["signed_by"], record["signed_by"], "the record keeps who signed it");

    // A refused upgrade leaves what is there as it is.
    let (status, _) = site.call(Method::POST, "/plugins", Some(body(&desk, &later, Some(&by_acme))));
    assert_eq!((status, &site.plugins()[0]["version"]), (422, &json!("0.1.0")));

    // The commands go the same way.
    let address = site.address();
    desk.does(&site.through(&address, &["plugin", "install", &later]));
    let folder = desk.path("sources/0.1.0/hook-x");
    let said = desk.fails(&site.through(&address, &["plugin", "install", folder.to_str().expect("text")]));
    assert!(said.contains("is not signed"), "{said}");
    let (_, page) = site.call(Method::GET, "/audit?action=plugin.installed", None);
    assert_eq!(page["items"][0]["details"]["signed_by"], record["signed_by"]["key"]);
}

#[test]
fn without_the_policy_a_signature_counts_when_the_key_is_known() {
    let desk = Desk::new();
    let acme = desk.key("acme.key");
    desk.key("other.key");
    desk.trust(false, &[("acme", &acme)]);
    let site = desk.serve();
    let signed = desk.pack("acme", "hook-x", "0.1.0", Some("acme.key"));
    let by_acme = desk.read("acme/hook-x-0.1.0.regard.minisig");
    let foreign = desk.pack("foreign", "hook-x", "0.2.0", Some("other.key"));
    let by_other = desk.read("foreign/hook-x-0.2.0.regard.minisig");

    let (status, answer) = site.call(Method::POST, "/plugins", Some(body(&desk, &foreign, Some(&by_acme))));
    assert_eq!(status, 422, "a wrong signature is refused whatever the policy: {answer}");
    let (status, record) = site.call(Method::POST, "/plugins", Some(body(&desk, &foreign, Some(&by_other))));
    assert_eq!((status, &record["signed_by"]), (201, &Value::Null), "nobody vouches for it");
    let (status, record) = site.call(Method::POST, "/plugins", Some(body(&desk, &signed, Some(&by_acme))));
    assert_eq!((status, &record["signed_by"]["name"]), (201, &json!("acme")));

    let mut insists = body(&desk, &foreign, Some(&by_other));
    insists["signed_by"] = record["signed_by"]["key"].clone();
    let (status, answer) = site.call(Method::POST, "/plugins", Some(insists));
    assert_eq!(status, 422, "{answer}");
    assert!(answer["detail"].as_str().expect("a detail").contains("must be signed by key"), "{answer}");
    for wrong in
        [json!({}), json!({ "manifest": "x" }), json!({ "archive": "", "files": {}, "manifest": "" })]
    {
        let (status, answer) = site.call(Method::POST, "/plugins", Some(wrong));
        assert_eq!(status, 422, "{answer}");
        assert!(answer["detail"].as_str().expect("a detail").contains("give either"), "{answer}");
    }
}

#[test]
fn a_publisher_whose_key_is_wrong_stops_the_server() {
    let desk = Desk::new();
    desk.trust(true, &[("acme", "RWnonsense")]);
    let said = desk.fails(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("regard.toml: plugins.publishers.acme: this is no minisign public key"), "{said}");
}
