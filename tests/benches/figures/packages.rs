//! What a package costs on its way into service: packing, verifying, reading, installing.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use regard_host::package::archive::{Archive, pack};
use regard_host::package::signature::{PublicKey, Signature};
use regard_host::{Manifest, Package};
use regard_tests::server::{Server, regard, regard_json, source};

use super::{ROUNDS, median};

/// Verifications and readings of one round.
const READS: u32 = 20;

/// Prints milliseconds for a Luau plugin and for a WebAssembly component.
pub fn measure() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let made = regard_json(folder.path(), &["plugin", "key", "new", "--out", &path("k"), "--no-password"])?;
    let key = PublicKey::parse(made["public_key"].as_str().context("a key")?)?;
    let server = Server::start()?;
    let (address, admin) = (format!("http://{}", server.address()), server.token("admin")?);
    for (id, runtime) in [("hook-welcome", "Luau"), ("kpi-clv", "WebAssembly")] {
        let plugin = source("plugins").join(id);
        let packed = regard_json(
            folder.path(),
            &["plugin", "pack", &plugin.to_string_lossy(), "--out", &path(""), "--key", &path("k")],
        )?;
        let file = packed["package"].as_str().context("a package")?.to_owned();
        let bytes = std::fs::read(&file)?;
        let signature = Signature::parse(&std::fs::read_to_string(format!("{file}.minisig"))?)?;
        let package = Archive::read(&bytes)?.into_package();
        let (mut verify, mut read, mut pack, mut install) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let started = Instant::now();
            for _ in 0..READS {
                signature.verify(&key, &bytes)?;
            }
            verify.push(milliseconds(started) / f64::from(READS));
            let started = Instant::now();
            for _ in 0..READS {
                Archive::read(&bytes)?;
            }
            read.push(milliseconds(started) / f64::from(READS));
            pack.push(packing(&package, &plugin)?);
            // The whole command, through a server: start, read, send, verify, load, store. From the second round on the
            // server has the compiled code.
            let started = Instant::now();
            regard(folder.path(), &["plugin", "install", &file, "--server", &address, "--token", &admin])?;
            install.push(milliseconds(started));
        }
        let Manifest { version, .. } = package.manifest();
        let kilobytes = bytes.len().div_ceil(1000);
        println!(
            "| package of {id} {version} ({runtime}, {kilobytes} kB): pack, verify, read | | | {:.1}, {:.1}, {:.1} ms |",
            median(pack),
            median(verify),
            median(read)
        );
        println!("| `plugin install` of it through a server | | | {:.0} ms |", median(install));
    }
    Ok(())
}

fn packing(package: &Package, folder: &Path) -> Result<f64> {
    let started = Instant::now();
    pack(package, folder)?;
    Ok(milliseconds(started))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
