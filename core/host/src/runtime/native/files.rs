//! The library on disk: the system's loader takes files only.
//!
//! A file is named after its package's digest, and its content is compared with the package's each time before it is
//! loaded.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes sure that `folder` has the library of the package with this digest; gives its place.
pub(super) fn place(folder: &Path, digest: &str, library: &[u8]) -> Result<PathBuf, String> {
    closed_folder(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let file = folder.join(format!("{digest}{}", std::env::consts::DLL_SUFFIX));
    match fs::read(&file) {
        Ok(found) if found == library => return Ok(file),
        Ok(_) => tracing::warn!("{} is damaged and written anew", file.display()),
        Err(_) => {}
    }
    write(&file, library).map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(file)
}

/// Makes the folder, closed to other users; one that is open already is refused, since what lies in it is run.
fn closed_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(folder)?);
        if mode & 0o077 != 0 {
            return Err(std::io::Error::other("other users may open this folder; chmod it to 0700"));
        }
    }
    Ok(())
}

/// Writes beside and renames: nobody ever loads half a file, and who has loaded the one before keeps it. Two hosts may do so
/// at once, also within one program, and each has a name of its own beside.
fn write(file: &Path, library: &[u8]) -> std::io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let (program, write) = (std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed));
    let beside = file.with_extension(format!("{program}-{write}.new"));
    let mut new = fs::File::create(&beside)?;
    new.write_all(library)?;
    new.sync_all()?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("cache/native");
        let file = place(&inner, "d1", b"library").expect("placed");
        assert_eq!(fs::read(&file).expect("the file"), b"library");
        fs::write(&file, b"damaged").expect("damage");
        assert_eq!(place(&inner, "d1", b"library"), Ok(file.clone()));
        assert_eq!(fs::read(&file).expect("the file"), b"library");
        assert_eq!(fs::read_dir(&inner).expect("the folder").count(), 1);
    }

    #[test]
    fn several_hosts_place_the_same_library_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("native");
        let library = vec![7; 1 << 20];
        std::thread::scope(|scope| {
            let hosts: Vec<_> = (0..8).map(|_| scope.spawn(|| place(&inner, "d1", &library))).collect();
            for host in hosts {
                host.join().expect("a host").expect("placed");
            }
        });
        assert_eq!(fs::read_dir(&inner).expect("the folder").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn an_open_folder_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("opened");
        let refused = place(folder.path(), "d1", b"library").expect_err("refused");
        assert!(refused.contains("chmod it to 0700"), "{refused}");
    }
}
