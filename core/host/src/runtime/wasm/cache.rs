//! Compiled code on disk.
//!
//! Compiling a component takes seconds, loading compiled code milliseconds. A file is named after the component's
//! digest and the engine's settings, so another version of either never meets it. It begins with a checksum: a damaged
//! file is compiled anew.

#![allow(unsafe_code, reason = "compiled code is machine code: loading it means trusting the file")]

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::package::hex;

/// Bytes of the checksum at the start of a file.
const CHECKSUM_BYTES: usize = 32;
/// Hex digits of a digest that name a file; 64 bits are far from colliding by chance, and the checksum of the component
/// inside decides.
const NAME_DIGITS: usize = 32;

/// A folder with compiled components, which only the host writes.
pub(super) struct Cache {
    folder: PathBuf,
    engine: u64,
}

impl Cache {
    /// Opens the folder below `cache_dir` and makes it if needed, closed to other users.
    pub(super) fn open(cache_dir: &Path, engine: &Engine) -> anyhow::Result<Self> {
        let folder = cache_dir.join("wasm");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder).map_err(|why| anyhow::anyhow!("{}: {why}", folder.display()))?;
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder, engine: hasher.finish() })
    }

    /// The component in `bytes`, from the cache or compiled; blocks for as long as compiling takes.
    pub(super) fn load(&self, engine: &Engine, bytes: &[u8]) -> Result<Component, String> {
        if Engine::detect_precompiled(bytes).is_some() {
            return Err(
                "is precompiled code, which is never loaded from a package; ship the component".to_owned()
            );
        }
        let digest = Sha256::digest(bytes);
        let file = self.folder.join(format!("{}-{:016x}.cwasm", &hex(&digest)[..NAME_DIGITS], self.engine));
        if let Some(component) = self.read(engine, &file, &digest) {
            return Ok(component);
        }
        let component =
            Component::from_binary(engine, bytes).map_err(|why| format!("is no valid component: {why:#}"))?;
        if let Err(why) = self.write(&component, &file, &digest) {
            // Only the next start is slower for it.
            tracing::warn!("cannot keep compiled code in {}: {why:#}", file.display());
        }
        Ok(component)
    }

    fn read(&self, engine: &Engine, file: &Path, digest: &[u8]) -> Option<Component> {
        let content = fs::read(file).ok()?;
        let (found, code) = content.split_at_checked(CHECKSUM_BYTES)?;
        if found != checksum(digest, code) {
            tracing::warn!("{} is damaged and compiled anew", file.display());
            return None;
        }
        // SAFETY: `deserialize` demands the bytes that `Component::serialize` gave for a compatible engine. The folder
        // is made by this host and closed to other users, the file's name carries the engine's compatibility hash,
        // and the checksum over the component's digest and the code shows that the file is whole. Nothing of a package
        // ever gets here: `load` refuses precompiled code and reads only from this folder.
        let component = unsafe { Component::deserialize(engine, code) };
        component.inspect_err(|why| tracing::warn!("{} is compiled anew: {why:#}", file.display())).ok()
    }

    /// Writes beside and renames, so that nobody ever reads half a file.
    fn write(&self, component: &Component, file: &Path, digest: &[u8]) -> anyhow::Result<()> {
        let code = component.serialize().map_err(|why| anyhow::anyhow!("{why:#}"))?;
        let beside = file.with_extension(format!("{}.new", std::process::id()));
        let mut new = fs::File::create(&beside)?;
        new.write_all(&checksum(digest, &code))?;
        new.write_all(&code)?;
        new.sync_all()?;
        fs::rename(&beside, file)?;
        Ok(())
    }
}

fn checksum(digest: &[u8], code: &[u8]) -> [u8; CHECKSUM_BYTES] {
    Sha256::new().chain_update(digest).chain_update(code).finalize().into()
}
