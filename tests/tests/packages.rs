//! Packages from end to end: the real program packs and signs, a real static web server offers, a real server installs.
//!
//! - `packing`: the same bytes everywhere, and what others make of them
//! - `signing`: keys, signatures and whom a server trusts
//! - `offering`: an index on a web server, ranges, and what was tampered with on the way
//! - `pinning`: the lock file
//! - `refusing`: hostile archives over HTTP

#[path = "packages/offering.rs"]
mod offering;
#[path = "packages/packing.rs"]
mod packing;
#[path = "packages/pinning.rs"]
mod pinning;
#[path = "packages/refusing.rs"]
mod refusing;
#[path = "packages/signing.rs"]
mod signing;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regard_tests::server::{Server, command};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

/// A working folder with its `regard.toml`, its lock file, its keys and its plugins.
struct Desk {
    folder: TempDir,
}

/// A server over a store of its own, started from a desk.
struct Site {
    server: Server,
    admin: String,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    /// The folder of a hook with this version.
    fn plugin(&self, id: &str, version: &str) -> PathBuf {
        let folder = self.path("sources").join(version).join(id);
        fs::create_dir_all(folder.join("fixtures")).expect("made");
        let manifest = format!(
            "id = \"{id}\"\nname = \"A hook\"\nversion = \"{version}\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
             description = \"Says that it is {version}.\"\ncapabilities = [\"hook\"]\n"
        );
        for (name, text) in [
            ("plugin.toml", manifest.as_str()),
            ("handler.luau", "--!strict\nreturn { hook = { handle = function(_: any) end } }\n"),
            ("schema.luau", "--!strict\nreturn { type = \"object\", properties = {} }\n"),
            ("README.md", "# A hook\n"),
            ("LICENSE", "MIT\n"),
            ("fixtures/event.json", "{}\n"),
        ] {
            fs::write(folder.join(name), text).expect("written");
        }
        folder
    }

    /// A command in this folder, to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("runs")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.path("data"), arguments).expect("the program");
        command.env_remove("REGARD_PLUGINS_LOCK").current_dir(self.folder.path());
        command
    }

    /// A command that must succeed; what it says in JSON.
    fn does(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "regard {}: {said}", arguments.join(" "));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{}: {why}", arguments.join(" ")))
    }

    /// A command that must fail; what it says.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "regard {}: {said}", arguments.join(" "));
        said
    }

    /// A new key without a password; its public half.
    fn key(&self, name: &str) -> String {
        let made = self.does(&["plugin", "key", "new", "--out", name, "--no-password"]);
        made["public_key"].as_str().expect("a key").to_owned()
    }

    /// Packs a version of a hook into `folder`, signed where there is a key; the file's name.
    fn pack(&self, folder: &str, id: &str, version: &str, key: Option<&str>) -> String {
        fs::create_dir_all(self.path(folder)).expect("made");
        let source = self.plugin(id, version);
        let mut arguments = vec!["plugin", "pack", source.to_str().expect("text"), "--out", folder];
        arguments.extend(key.iter().flat_map(|key| ["--key", key]));
        let packed = self.does(&arguments);
        packed["package"].as_str().expect("a path").to_owned()
    }

    fn trust(&self, require_signatures: bool, publishers: &[(&str, &str)]) {
        let mut text =
            format!("[plugins]\nrequire_signatures = {require_signatures}\n[plugins.publishers]\n");
        for (name, key) in publishers {
            text.push_str(&format!("{name} = \"{key}\"\n"));
        }
        fs::write(self.path("regard.toml"), text).expect("written");
    }

    /// A server that trusts whom this desk's `regard.toml` names.
    fn serve(&self) -> Site {
        let server = Server::start_from(self.folder.path(), &self.path("data"), &[]).expect("serves");
        let admin = server.token("admin").expect("a token");
        Site { server, admin }
    }
}

impl Site {
    /// The arguments with those that go through this server.
    fn through<'a>(&'a self, address: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--server", address, "--token", &self.admin]].concat()
    }

    fn address(&self) -> String {
        format!("http://{}", self.server.address())
    }

    fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.server.call(method, path, &self.admin, body).expect("an answer")
    }

    fn plugins(&self) -> Vec<Value> {
        self.call(Method::GET, "/plugins", None).1["items"].as_array().expect("items").clone()
    }

    /// What the audit log says was refused, newest first.
    fn refused(&self) -> Vec<Value> {
        let (_, page) = self.call(Method::GET, "/audit?action=plugin.refused&limit=100", None);
        page["items"].as_array().expect("items").clone()
    }
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a program that must be there and must succeed.
fn tool(folder: &Path, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|why| panic!("`{program}` does not run ({why}): install it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    output.stdout
}
