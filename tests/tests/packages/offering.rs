//! An index is a file beside the packages; any static web server hosts it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::Desk;

/// Python's static web server over a folder; ends with the test.
pub(crate) struct Web {
    child: Child,
    pub(crate) address: String,
}

impl Web {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|why| panic!("`python3` does not run ({why}): install it"));
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("output"));
        said.read_line(&mut line).expect("a line");
        let port = line.split("port ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a port");
        Self { child, address: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A desk with a folder `shop` of several versions, signed and indexed.
fn shop() -> (Desk, String) {
    let desk = Desk::new();
    let public = desk.key("k");
    desk.trust(true, &[("acme", &public)]);
    for version in ["0.9.0", "1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1"] {
        desk.pack("shop", "hook-x", version, Some("k"));
    }
    desk.pack("shop", "hook-other", "0.1.0", Some("k"));
    let made = desk.does(&["plugin", "index", "shop"]);
    assert_eq!((&made["packages"], &made["unsigned"]), (&6.into(), &Value::Array(Vec::new())));
    (desk, public)
}

#[test]
fn a_plugin_is_found_and_installed_by_name_and_range() {
    let (desk, _) = shop();
    let web = Web::start(&desk.path("shop"));
    let again = desk.read("shop/index.json");
    desk.does(&["plugin", "index", "shop"]);
    assert_eq!(desk.read("shop/index.json"), again, "an index says the same until a package changes");

    let found = desk.does(&["plugin", "search", "HOOK-X", "--index", &web.address]);
    let versions: Vec<&str> =
        found["items"].as_array().expect("items").iter().filter_map(|one| one["version"].as_str()).collect();
    assert_eq!(versions, ["0.9.0", "1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1"]);
    assert_eq!(found["items"][0]["url"], "hook-x-0.9.0.regard");
    assert_eq!(
        desk.does(&["plugin", "search", "--index", &web.address])["items"].as_array().map(Vec::len),
        Some(6)
    );

    for (wanted, version) in [
        ("hook-x", "1.10.0"),
        ("hook-x@1.2", "1.10.0"),
        ("hook-x@~1.2", "1.2.0"),
        ("hook-x@=1.0.0", "1.0.0"),
        ("hook-x@<1", "0.9.0"),
        ("hook-x@2.0.0-rc.1", "2.0.0-rc.1"),
    ] {
        let record = desk.does(&["plugin", "install", wanted, "--index", &web.address]);
        assert_eq!(
            (&record["version"], &record["signed_by"]["name"]),
            (&version.into(), &"acme".into()),
            "{wanted}"
        );
    }
    let said = desk.fails(&["plugin", "install", "hook-x@3", "--index", &web.address]);
    assert!(said.contains("no version of hook-x fits `^3` on this host; there are 0.9.0, 1.0.0"), "{said}");
    let said = desk.fails(&["plugin", "install", "hook-z", "--index", &web.address]);
    assert!(said.contains("the index has no plugin `hook-z`"), "{said}");

    // The file itself, a folder, and regard.toml name an index as well; so does the address of a package.
    for index in [format!("{}/index.json", web.address), "shop".to_owned(), "shop/index.json".to_owned()] {
        desk.does(&["plugin", "install", "hook-other", "--index", &index]);
    }
    desk.does(&["plugin", "install", &format!("{}/hook-x-1.0.0.regard", web.address)]);
    let said = desk.fails(&["plugin", "install", "hook-x"]);
    assert!(said.contains("no index is known: give --index URL"), "{said}");
    let settings =
        desk.read("regard.toml").replace("[plugins]\n", &format!("[plugins]\nindex = \"{}\"\n", web.address));
    fs::write(desk.path("regard.toml"), settings).expect("written");
    assert_eq!(desk.does(&["plugin", "install", "hook-x"])["version"], "1.10.0");
}

#[test]
fn what_was_changed_on_the_way_is_refused() {
    let (desk, _) = shop();
    let web = Web::start(&desk.path("shop"));
    let (package, signature) =
        (desk.path("shop/hook-x-1.10.0.regard"), desk.path("shop/hook-x-1.10.0.regard.minisig"));
    let install = ["plugin", "install", "hook-x@1.10", "--index", &web.address];
    let good = fs::read(&package).expect("a package");

    // The package is replaced by another sound one, and its signature with it.
    fs::copy(desk.path("shop/hook-x-1.2.0.regard"), &package).expect("copied");
    let said = desk.fails(&install);
    assert!(said.contains("is not what the index says: its SHA-256 is"), "{said}");
    // The index is forged to fit; then the content gives it away.
    let index = desk.read("shop/index.json");
    let sha = |name: &str| crate::digest(&fs::read(desk.path(name)).expect("a file"));
    let forged = index.replace(&crate::digest(&good), &sha("shop/hook-x-1.2.0.regard")).replace(
        &format!("\"size\": {}", good.len()),
        &format!("\"size\": {}", fs::metadata(&package).expect("there").len()),
    );
    fs::write(desk.path("shop/index.json"), forged).expect("written");
    let said = desk.fails(&install);
    assert!(said.contains("the index says something else"), "{said}");
    fs::write(desk.path("shop/index.json"), &index).expect("written");
    fs::write(&package, &good).expect("written");

    // The signature is another one's, gone, or endless.
    let was = fs::read(&signature).expect("a signature");
    fs::copy(desk.path("shop/hook-x-1.2.0.regard.minisig"), &signature).expect("copied");
    let said = desk.fails(&install);
    assert!(said.contains("does not fit"), "{said}");
    fs::remove_file(&signature).expect("removed");
    let said = desk.fails(&install);
    assert!(said.contains("there is no") && said.contains("minisig"), "{said}");
    fs::write(&signature, vec![b'x'; 1 << 20]).expect("written");
    let said = desk.fails(&install);
    assert!(said.contains("longer than the 16384 bytes"), "{said}");
    fs::write(&signature, was).expect("written");

    // An index that points elsewhere, is endless, or is none.
    for (text, says) in [
        (index.replace("\"hook-x-1.10.0.regard\"", "\"../../etc/passwd\""), "leaves its folder"),
        (index.replace("\"hook-x-1.10.0.regard\"", "\"https://example.com/x.regard\""), "other characters"),
        (index.replace("\"format\": 1", "\"format\": 9"), "has format 9"),
        ("hello".to_owned(), "is no JSON"),
        (" ".repeat((8 << 20) + 1), "longer than the 8388608 bytes"),
    ] {
        fs::write(desk.path("shop/index.json"), text).expect("written");
        let said = desk.fails(&install);
        assert!(said.contains(says), "{says}: {said}");
    }
    fs::remove_file(desk.path("shop/index.json")).expect("removed");
    let said = desk.fails(&install);
    assert!(said.contains("there is no http://127.0.0.1"), "{said}");
    assert!(desk.does(&["plugin", "list"])["items"].as_array().expect("items").is_empty());
    assert!(!desk.path("regard-plugins.lock").exists(), "nothing is pinned that was not installed");
    desk.does(&["plugin", "index", "shop"]);
    desk.does(&install);
}

#[test]
fn an_index_is_made_of_sound_packages_only() {
    let (desk, _) = shop();
    fs::write(desk.path("shop/broken-1.0.0.regard"), "nonsense").expect("written");
    let said = desk.fails(&["plugin", "index", "shop"]);
    assert!(said.contains("broken-1.0.0.regard: the archive does not begin as a gzip file"), "{said}");
    fs::rename(desk.path("shop/hook-other-0.1.0.regard"), desk.path("shop/broken-1.0.0.regard"))
        .expect("renamed");
    desk.does(&["plugin", "index", "shop"]);
    fs::copy(desk.path("shop/hook-x-1.0.0.regard"), desk.path("shop/twice.regard")).expect("copied");
    let said = desk.fails(&["plugin", "index", "shop"]);
    assert!(said.contains("is hook-x 1.0.0, as"), "{said}");
}
