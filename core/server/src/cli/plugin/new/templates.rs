//! The templates, from `sdk/templates`: a folder for each language and kind, and `shared` with the scenarios that every
//! language must pass.

/// A file of a template: language, kind, name and text.
type File = (&'static str, &'static str, &'static str, &'static str);

macro_rules! files {
    ($($language:literal, $kind:literal, $name:literal;)+) => {
        &[$((
            $language,
            $kind,
            $name,
            include_str!(concat!("../../../../../../sdk/templates/", $language, "/", $kind, "/", $name)),
        )),+]
    };
}

const FILES: &[File] = files![
    "luau", "hook", ".luaurc";
    "luau", "hook", "README.md";
    "luau", "hook", "handler.luau";
    "luau", "hook", "plugin.toml";
    "luau", "hook", "schema.luau";
    "luau", "kpi", ".luaurc";
    "luau", "kpi", "README.md";
    "luau", "kpi", "handler.luau";
    "luau", "kpi", "plugin.toml";
    "luau", "kpi", "schema.luau";
    "luau", "connector", ".luaurc";
    "luau", "connector", "README.md";
    "luau", "connector", "handler.luau";
    "luau", "connector", "plugin.toml";
    "luau", "connector", "schema.luau";
    "rust", "hook", ".gitignore";
    "rust", "hook", "Cargo.toml";
    "rust", "hook", "README.md";
    "rust", "hook", "plugin.toml";
    "rust", "hook", "src/lib.rs";
    "rust", "kpi", ".gitignore";
    "rust", "kpi", "Cargo.toml";
    "rust", "kpi", "README.md";
    "rust", "kpi", "plugin.toml";
    "rust", "kpi", "src/lib.rs";
    "rust", "connector", ".gitignore";
    "rust", "connector", "Cargo.toml";
    "rust", "connector", "README.md";
    "rust", "connector", "plugin.toml";
    "rust", "connector", "src/lib.rs";
    "typescript", "hook", "README.md";
    "typescript", "hook", "plugin.toml";
    "typescript", "hook", "plugin.ts";
    "typescript", "hook", "tsconfig.json";
    "typescript", "kpi", "README.md";
    "typescript", "kpi", "plugin.toml";
    "typescript", "kpi", "plugin.ts";
    "typescript", "kpi", "tsconfig.json";
    "python", "hook", "README.md";
    "python", "hook", "plugin.py";
    "python", "hook", "plugin.toml";
    "python", "hook", "pyproject.toml";
    "python", "kpi", "README.md";
    "python", "kpi", "plugin.toml";
    "python", "kpi", "pyproject.toml";
    "c", "kpi", "README.md";
    "c", "kpi", "plugin.toml";
    "shared", "hook", "fixtures/first-order.toml";
    "shared", "kpi", "fixtures/two-orders.toml";
    "shared", "connector", "fixtures/both-ways.toml";
];

/// Templates that are examples as well; the name of their metric stands in them.
const EXAMPLES: &[File] = &[
    (
        "c",
        "kpi",
        "src/order_count.c",
        include_str!("../../../../../../examples/kpi-order-count-c/src/order_count.c"),
    ),
    (
        "python",
        "kpi",
        "plugin.py",
        include_str!("../../../../../../examples/kpi-order-count-python/plugin.py"),
    ),
];
/// The metric of the examples.
const METRIC: &str = "order-count";

/// The files of a template; none when there is no such template.
pub(super) fn of(language: &str, kind: &str) -> Vec<(&'static str, String)> {
    let pick = |files: &'static [File], language: &str| {
        let fits = files.iter().filter(move |file| (file.0, file.1) == (language, kind));
        fits.map(|file| (file.2, file.3)).collect::<Vec<_>>()
    };
    let own = pick(FILES, language);
    if own.is_empty() {
        return Vec::new();
    }
    let examples = pick(EXAMPLES, language).into_iter();
    let examples = examples.map(|(name, text)| (name, text.replace(METRIC, "{{metric}}")));
    let plain = own.into_iter().chain(pick(FILES, "shared")).map(|(name, text)| (name, text.to_owned()));
    plain.chain(examples).collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn every_file_of_the_templates_is_packed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/templates");
        let mut found: Vec<PathBuf> = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).expect("below").to_owned());
                }
            }
        }
        let mut packed: Vec<PathBuf> =
            FILES.iter().map(|(language, kind, name, _)| Path::new(language).join(kind).join(name)).collect();
        found.sort();
        packed.sort();
        assert_eq!(packed, found);
    }
}
