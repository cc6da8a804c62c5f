use std::fs;

use proptest::prelude::*;

use super::*;

const MANIFEST: &str = "id = \"hook-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\n\
    runtime = \"luau\"\ncapabilities = [\"hook\"]\n";
const HANDLER: &str = "return {}\n";
/// The archive of manifest and handler alone. It changes when the compressor writes other bytes, which everybody who
/// compares archives must hear of; see `sdk/PACKAGES.md`.
const GOLDEN_SHA256: &str = "0b81876d4b04b9c752282d40c93110d21765c92929beec5d19eea2efa56948c5";

/// A container with any names and contents, in the order given.
fn container(members: &[(&str, &[u8])]) -> Vec<u8> {
    tar::write(members.iter().copied())
}

/// A good plugin with `more`, sorted.
fn with(more: &[(&str, &[u8])]) -> Vec<u8> {
    let mut members =
        [&[(MANIFEST_FILE, MANIFEST.as_bytes()), ("handler.luau", HANDLER.as_bytes())], more].concat();
    members.sort();
    gzip::pack(&container(&members))
}

/// A good plugin of which the first header has other bytes at `at`, and a checksum that fits.
fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut container =
        container(&[("handler.luau", HANDLER.as_bytes()), (MANIFEST_FILE, MANIFEST.as_bytes())]);
    container[at..at + bytes.len()].copy_from_slice(bytes);
    container[148..156].copy_from_slice(b"        ");
    let sum: u32 = container[..512].iter().map(|&byte| u32::from(byte)).sum();
    container[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    gzip::pack(&container)
}

fn refusal(archive: &[u8]) -> String {
    Archive::read(archive).expect_err("refused").to_string()
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let files = BTreeMap::from([("handler.luau".to_owned(), HANDLER.as_bytes().to_vec())]);
    let package =
        Package::from_parts(Path::new("x/plugin.toml"), MANIFEST.to_owned(), files).expect("package");
    let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let packed = pack(&package, one.path()).expect("packs");
    assert_eq!(packed, pack(&package, other.path()).expect("packs"));
    assert_eq!(sha256(&packed), GOLDEN_SHA256);
    assert_eq!(file_name(package.manifest()), "hook-x-0.1.0.regard");
}

#[test]
fn a_folder_is_packed_without_what_is_not_the_plugin() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        ("plugin.toml", MANIFEST),
        ("handler.luau", HANDLER),
        ("schema.luau", HANDLER),
        ("lib/deep/a.luau", HANDLER),
        ("README.md", "# X"),
        ("LICENSE-MIT", "MIT"),
        ("fixtures/orders/one.json", "{}"),
        ("fixtures/setup.luau", HANDLER),
        ("notes.txt", "private"),
        (".env", "SECRET=1"),
        (".git/config", ""),
        ("fixtures/.DS_Store", ""),
        ("tests/handler.luau", HANDLER),
        ("target/a.luau", HANDLER),
        ("node_modules/a.luau", HANDLER),
        ("docs/README.md", ""),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("fixtures/passwd")).expect("linked");
    let package = Package::from_folder(folder.path()).expect("package");
    let archive = Archive::read(&pack(&package, folder.path()).expect("packs")).expect("reads");
    assert_eq!(archive.package().digest(), package.digest());
    let code: Vec<_> = archive.package().files().keys().map(String::as_str).collect();
    assert_eq!(code, ["handler.luau", "lib/deep/a.luau", "schema.luau"]);
    let extras: Vec<_> = archive.extras().keys().map(String::as_str).collect();
    assert_eq!(extras, ["LICENSE-MIT", "README.md", "fixtures/orders/one.json", "fixtures/setup.luau"]);
}

#[test]
fn what_no_archive_may_be_is_refused_as_a_whole() {
    let good = with(&[]);
    let changed = |at: usize, bit: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= bit;
        bytes
    };
    let end = good.len();
    let plain = container(&[("handler.luau", b"return {}"), (MANIFEST_FILE, MANIFEST.as_bytes())]);
    let open = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = plain.clone();
        change(&mut bytes);
        gzip::pack(&bytes)
    };
    let many: Vec<String> = (0..=MEMBERS_MAX).map(|number| format!("fixtures/{number:04}")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let sources: Vec<String> = (0..SOURCES_MAX).map(|number| format!("{number:03}.luau")).collect();
    let sources: Vec<(&str, &[u8])> = sources.iter().map(|name| (name.as_str(), &b""[..])).collect();
    for (what, archive, says) in [
        ("nothing", Vec::new(), "does not begin as a gzip file"),
        ("a zip file", b"PK\x03\x04rest".to_vec(), "does not begin as a gzip file"),
        ("another compression", changed(2, 1), "gzip header"),
        ("a name in the header", changed(3, 8), "gzip header with a name"),
        ("a time in the header", changed(4, 1), "gzip header with a name, a time"),
        ("a wrong checksum", changed(end - 8, 1), "its checksum does not fit"),
        ("a wrong length", changed(end - 1, 1), "its checksum does not fit"),
        ("no deflate data", [&good[..10], &[0xff; 40]].concat(), "compressed data is not valid"),
        ("half of it", good[..end / 2].to_vec(), "breaks off"),
        ("all but a byte", good[..end - 1].to_vec(), "breaks off"),
        ("garbage behind", [&good[..], b"x"].concat(), "followed by 1 bytes"),
        ("another archive behind", [&good[..], &good[..]].concat(), "followed by"),
        ("a bomb", gzip::pack(&vec![0; UNPACKED_BYTES_MAX + 1]), "unpacks to more than 71303168 bytes"),
        ("too many bytes", vec![0x1f; ARCHIVE_BYTES_MAX + 1], "at most 73400320 are taken"),
        ("too many members", gzip::pack(&container(&many)), "more than 768 members"),
        ("too many sources", with(&sources), "more than 256 Luau files"),
        ("no tar file", gzip::pack(&[b'x'; 1024]), "no ustar container"),
        ("an empty file", gzip::pack(&[]), "breaks off"),
        ("an empty tar file", gzip::pack(&[0; 1024]), "has no plugin.toml"),
        ("one block at the end", open(&|bytes| bytes.truncate(bytes.len() - 512)), "breaks off"),
        ("no end", open(&|bytes| bytes.truncate(bytes.len() - 1024)), "breaks off"),
        ("a byte behind the end", open(&|bytes| bytes.push(0)), "bytes behind the end"),
        ("a member behind the end", open(&|bytes| bytes.extend(plain.clone())), "bytes behind the end"),
        ("half an end", open(&|bytes| *bytes.last_mut().expect("a byte") = 1), "bytes behind the end"),
        ("a size beyond the end", patched(124, b"00000777777\0"), "breaks off"),
        ("the greatest size", patched(124, b"77777777777\0"), "breaks off"),
        ("no manifest", gzip::pack(&container(&[("handler.luau", b"")])), "has no plugin.toml"),
    ] {
        let refused = refusal(&archive);
        assert!(refused.starts_with("the archive ") && refused.contains(says), "{what}: {refused}");
    }
}

#[test]
fn members_that_are_no_plain_files_are_refused() {
    let pax = b"30 path=../../etc/cron.d/evil\n";
    for (what, archive, says) in [
        ("a hard link", patched(156, b"1"), "is a link"),
        ("a symbolic link", patched(156, b"2"), "is a link"),
        ("a character device", patched(156, b"3"), "is a device"),
        ("a block device", patched(156, b"4"), "is a device"),
        ("a folder", patched(156, b"5"), "is a folder"),
        ("a pipe", patched(156, b"6"), "is a device"),
        ("a pax header", patched(156, b"x"), "extension of tar"),
        ("a global pax header", patched(156, b"g"), "extension of tar"),
        ("a long name of GNU's", patched(156, b"L"), "extension of tar"),
        ("an old file", patched(156, b"\0"), "unknown kind"),
        ("a contiguous file", patched(156, b"7"), "unknown kind"),
        ("a mode", patched(100, b"0004755\0"), "carries an owner, a mode"),
        ("an owner", patched(108, b"0001750\0"), "carries an owner"),
        ("an owner's name", patched(265, b"root"), "carries an owner"),
        ("a time", patched(136, b"14600000000\0"), "carries an owner, a mode, a time"),
        ("a link's target", patched(157, b"/etc/passwd"), "carries"),
        ("a size in base 256", patched(124, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), "no readable size"),
        ("a size with a sign", patched(124, b"+0000000012\0"), "no readable size"),
        ("a size with spaces", patched(124, b"         12\0"), "no readable size"),
        ("a name behind a NUL", patched(20, b"evil"), "has a NUL in its name"),
        ("a prefix", patched(345, b"prefix"), "more than 100 bytes"),
        ("bytes in the padding", patched(1000, b"x"), "bytes that do not belong to it"),
    ] {
        let refused = refusal(&archive);
        let named = "the archive's member `handler.luau";
        assert!(refused.starts_with(named) && refused.contains(says), "{what}: {refused}");
    }
    let smuggled = gzip::pack(&container(&[("x", pax), ("handler.luau", b"")]));
    assert!(refusal(&smuggled).contains("out of order"), "a pax header that says it is a file is one");
    let mut broken = container(&[("handler.luau", b"")]);
    broken[148] ^= 1;
    assert!(refusal(&gzip::pack(&broken)).contains("wrong checksum"));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let long = "x".repeat(95) + ".luau";
    assert!(Archive::read(&with(&[(&long, b"")])).is_ok(), "100 bytes are a name");
    for (name, says) in [
        ("../x.luau", "leaves its folder"),
        ("fixtures/../../x", "leaves its folder"),
        ("/etc/passwd", "is an absolute path"),
        ("C:/x.luau", "other characters"),
        ("a\\..\\x.luau", "has a backslash"),
        (".git/config", "hidden part"),
        ("fixtures/.env", "hidden part"),
        ("./handler.luau", "hidden part"),
        ("fixtures//x", "empty or hidden part"),
        ("fixtures/", "empty or hidden part"),
        ("", "has no name"),
        ("a b.luau", "other characters"),
        ("caf\u{e9}.luau", "other characters"),
        ("a\u{202e}luau.txt", "other characters"),
        ("x\nluau", "other characters"),
    ] {
        let refused = refusal(&with(&[(name, b"")]));
        assert!(refused.contains(says), "{name:?}: {refused}");
        assert!(!refused.contains(['\n', '\u{202e}']), "the message is safe to print: {refused:?}");
    }
    assert!(refusal(&patched(0, b"\xff")).contains("other characters"), "a name that is no text");
}

#[test]
fn names_are_there_once_and_in_order() {
    let manifest: (&str, &[u8]) = (MANIFEST_FILE, MANIFEST.as_bytes());
    let handler: (&str, &[u8]) = ("handler.luau", HANDLER.as_bytes());
    for (members, says) in [
        (vec![handler, handler, manifest], "`handler.luau` is there twice"),
        (vec![handler, manifest, manifest], "`plugin.toml` is there twice"),
        (vec![manifest, handler], "`handler.luau` is out of order"),
        (vec![handler, manifest, handler], "`handler.luau` is out of order"),
        (vec![("Handler.luau", b""), handler, manifest], "only in upper and lower case"),
        (vec![("PLUGIN.toml", b""), handler, manifest], "only in upper and lower case"),
    ] {
        let refused = refusal(&gzip::pack(&container(&members)));
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn what_does_not_belong_or_is_too_large_is_refused() {
    for name in [
        "evil.sh",
        "hook-x.wasm",
        "target/x.luau",
        "lib/node_modules/x.luau",
        "tests/x.luau",
        "a/b/c/d/e/x.luau",
        "fixtures/a/b/c/d/x",
        "LICENSES",
        "docs/README.md",
        "readme.md",
        "plugin.toml.bak",
        "handler.luau.minisig",
    ] {
        let refused = refusal(&with(&[(name, b"")]));
        assert!(refused.contains(&format!("`{name}` does not belong into a package")), "{refused}");
    }
    for (name, bytes_max) in [
        ("README.md", DOCUMENT_BYTES_MAX),
        ("LICENSE", DOCUMENT_BYTES_MAX),
        ("x.luau", SOURCE_BYTES_MAX),
        ("fixtures/x", FIXTURE_BYTES_MAX),
    ] {
        let bytes = vec![b' '; bytes_max as usize + 1];
        assert!(Archive::read(&with(&[(name, &bytes[1..])])).is_ok(), "{name} of the greatest length");
        let refused = refusal(&with(&[(name, &bytes)]));
        assert!(refused.contains(&format!("at most {bytes_max} are taken")), "{refused}");
    }
    let manifest = vec![b'#'; MANIFEST_BYTES_MAX as usize + 1];
    for (manifest, says) in [
        (&manifest[..], "at most 262144 are taken"),
        (b"id = 3", "plugin.toml"),
        (b"\xff", "is not UTF-8"),
        (MANIFEST.replace("luau", "wasm").as_bytes(), "`handler.luau` does not belong"),
    ] {
        let archive = gzip::pack(&container(&[("handler.luau", b""), (MANIFEST_FILE, manifest)]));
        assert!(refusal(&archive).contains(says), "{}", refusal(&archive));
    }
    let handler = |bytes: &[u8]| {
        gzip::pack(&container(&[("handler.luau", bytes), (MANIFEST_FILE, MANIFEST.as_bytes())]))
    };
    assert!(refusal(&handler(b"\x06\x03\x01")).contains("bytecode is refused"));
    let none = gzip::pack(&container(&[("lib.luau", b""), (MANIFEST_FILE, MANIFEST.as_bytes())]));
    assert!(refusal(&none).contains("begins in handler.luau"));
}

/// Sources and fixtures as authors may have them.
fn folders() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let sources = prop::collection::btree_map(
        "([a-z]{1,3}/){0,3}[a-zA-Z0-9_.-]{0,6}[a-z]\\.luau",
        "[ -~\n\t]{0,600}",
        0..6,
    );
    let fixtures = prop::collection::btree_map(
        "fixtures/([a-z]{1,3}/){0,2}[a-z0-9+_-]{1,8}",
        prop::collection::vec(any::<u8>(), 0..1500),
        0..6,
    );
    (sources, fixtures).prop_map(|(sources, fixtures)| {
        let mut all: BTreeMap<String, Vec<u8>> =
            sources.into_iter().map(|(name, text)| (name, text.into_bytes())).chain(fixtures).collect();
        all.insert("handler.luau".to_owned(), HANDLER.as_bytes().to_vec());
        all.insert(MANIFEST_FILE.to_owned(), MANIFEST.as_bytes().to_vec());
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_packed_reads_back(files in folders()) {
        let names: BTreeSet<String> = files.keys().map(|name| name.to_ascii_lowercase()).collect();
        // A name that is a folder elsewhere cannot be written, two that differ in case only must not be packed.
        let clash = files.keys().any(|name| files.keys().any(|other| other.starts_with(&format!("{name}/"))));
        let hidden = files.keys().any(|name| name.split('/').any(|part| part.starts_with('.')));
        prop_assume!(names.len() == files.len() && !clash && !hidden);
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in &files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, bytes).expect("written");
        }
        let package = Package::from_folder(folder.path()).expect("package");
        let packed = pack(&package, folder.path()).expect("packs");
        let archive = Archive::read(&packed).expect("reads");
        prop_assert_eq!(archive.package().digest(), package.digest());
        prop_assert_eq!(archive.package().files(), package.files());
        let there = package.files().len() + archive.extras().len() + 1;
        prop_assert_eq!(there, files.len());
        prop_assert!(archive.extras().iter().all(|(name, bytes)| files[name] == *bytes));
    }

    #[test]
    fn a_changed_archive_is_refused_or_means_the_same(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let good = with(&[("README.md", b"# X"), ("fixtures/a", b"1,2,3")]);
        let before = Archive::read(&good).expect("reads");
        let mut bytes = good;
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(after) = Archive::read(&bytes) {
            prop_assert_eq!(after.package().digest(), before.package().digest());
            prop_assert_eq!(after.extras(), before.extras());
        }
    }

    #[test]
    fn a_container_has_one_form(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = container(&[("README.md", b"# X"), ("handler.luau", HANDLER.as_bytes()), (MANIFEST_FILE, MANIFEST.as_bytes())]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(members) = tar::read(&bytes, MEMBERS_MAX) {
            let again = tar::write(members.iter().map(|member| (member.name.as_str(), member.bytes)));
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(Archive::read(&bytes).is_err());
        prop_assert!(Archive::read(&[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255], &bytes[..]].concat()).is_err());
        prop_assert!(Archive::read(&gzip::pack(&bytes)).is_err());
    }
}
