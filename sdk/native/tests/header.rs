//! The header and the crate describe the same memory.
//!
//! A C program, compiled with the system's compiler, prints what the header makes of every shape; here stands what Rust
//! makes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use regard_abi::{ABI_MAJOR, Batch, Column, ColumnType, ENTRY_SYMBOL, Host, Level, Plugin, Status, Text};

/// Names in C, and what Rust says to them.
#[derive(Default)]
struct Said(Vec<(String, u64)>);

/// The size of a struct and the place of every field, which has the same name on both sides.
macro_rules! shape {
    ($said:ident, $rust:ty, $c:literal: $($field:ident)+) => {
        $said.0.push((concat!("sizeof(", $c, ")").to_owned(), size_of::<$rust>() as u64));
        $($said.0.push((
            concat!("offsetof(", $c, ", ", stringify!($field), ")").to_owned(),
            offset_of!($rust, $field) as u64,
        ));)+
    };
}

fn rust() -> Said {
    let mut said = Said::default();
    shape!(said, Text, "regard_text": data length);
    shape!(said, Column, "regard_column": name kind texts validity values offsets data);
    shape!(said, Batch, "regard_batch": rows column_count columns);
    shape!(said, Host, "regard_host": abi_major struct_size call log write write_batch fail);
    shape!(said, Plugin, "regard_plugin":
        abi_major struct_size configure connector_describe connector_receive connector_poll connector_send
        hook_handle kpi_describe kpi_open kpi_update kpi_merge kpi_state kpi_finish kpi_model kpi_close
        migration_upgrade migration_downgrade);
    let statuses = [
        ("REGARD_OK", Status::OK),
        ("REGARD_ERROR", Status::ERROR),
        ("REGARD_CRASHED", Status::CRASHED),
        ("REGARD_STOPPED", Status::STOPPED),
        ("REGARD_MISUSED", Status::MISUSED),
    ];
    said.0.extend(statuses.map(|(name, status)| (name.to_owned(), u64::from(status.0.unsigned_abs()))));
    let levels = [
        ("REGARD_TRACE", Level::TRACE),
        ("REGARD_DEBUG", Level::DEBUG),
        ("REGARD_INFO", Level::INFO),
        ("REGARD_WARN", Level::WARN),
        ("REGARD_FAULT", Level::ERROR),
    ];
    said.0.extend(levels.map(|(name, level)| (name.to_owned(), u64::from(level.0))));
    let types = [
        ("REGARD_BOOLEAN", ColumnType::BOOLEAN),
        ("REGARD_INT64", ColumnType::INT64),
        ("REGARD_FLOAT64", ColumnType::FLOAT64),
        ("REGARD_TIMESTAMP_MS", ColumnType::TIMESTAMP_MS),
        ("REGARD_UTF8", ColumnType::UTF8),
        ("REGARD_DICTIONARY", ColumnType::DICTIONARY),
    ];
    said.0.extend(types.map(|(name, kind)| (name.to_owned(), u64::from(kind.0))));
    said.0.push(("REGARD_ABI_MAJOR".to_owned(), u64::from(ABI_MAJOR)));
    said.0.push(("sizeof(regard_status)".to_owned(), size_of::<Status>() as u64));
    said.0.push(("sizeof(regard_level)".to_owned(), size_of::<Level>() as u64));
    said.0.push(("sizeof(regard_type)".to_owned(), size_of::<ColumnType>() as u64));
    said
}

fn include() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

#[test]
fn header_and_crate_agree() {
    let said = rust().0;
    let mut source = "#include <stdio.h>\n#include \"regard.h\"\nint main(void) {\n".to_owned();
    for (name, _) in &said {
        writeln!(source, "    printf(\"%s=%llu\\n\", \"{name}\", (unsigned long long)({name}));")
            .expect("text");
    }
    source.push_str("    return 0;\n}\n");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (file, program) = (folder.join("layout.c"), folder.join("layout"));
    std::fs::write(&file, source).expect("the program's source");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"]).arg(include());
    let compiled = compiler.arg(&file).arg("-o").arg(&program).output().expect("a C compiler is installed");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));

    let output = Command::new(&program).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let c: BTreeMap<&str, u64> = text
        .lines()
        .map(|line| line.rsplit_once('=').map(|(name, value)| (name, value.parse().expect("a number"))))
        .map(|pair| pair.expect("name and number"))
        .collect();
    for (name, value) in &said {
        assert_eq!(c.get(name.as_str()), Some(value), "{name}");
    }
}

/// The plugin in the README compiles as it stands there.
#[test]
fn the_readme_compiles() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(readme).expect("the README");
    let (_, rest) = text.split_once("```c\n").expect("a block of C");
    let (block, _) = rest.split_once("```").expect("a closed block");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme.c");
    std::fs::write(&file, block).expect("the block");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
        .arg(include());
    let compiled = compiler.arg(&file).output().expect("a C compiler is installed");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

/// Every field of the header's structs is one that the test above looks at, in both directions.
#[test]
fn no_field_is_forgotten() {
    let header = std::fs::read_to_string(include().join("regard.h")).expect("the header");
    for name in ["regard_text", "regard_column", "regard_batch", "regard_host", "regard_plugin"] {
        let start = header.find(&format!("typedef struct {name} {{")).expect(name);
        let body = &header[start..start + header[start..].find(&format!("}} {name};")).expect(name)];
        // Comments hold semicolons too.
        let mut code = String::new();
        for (at, part) in body.split("/*").enumerate() {
            code.push_str(if at == 0 { part } else { part.split_once("*/").expect("a closed comment").1 });
        }
        let fields = code.matches(';').count();
        let looked_at =
            rust().0.iter().filter(|(said, _)| said.starts_with(&format!("offsetof({name},"))).count();
        assert_eq!(fields, looked_at, "{name}");
    }
    let entry = ENTRY_SYMBOL.strip_suffix(b"\0").expect("a zero byte at the end");
    assert!(header.contains(std::str::from_utf8(entry).expect("text")));
}
