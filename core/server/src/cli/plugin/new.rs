//! `regard plugin new`: a folder with a plugin that works.

mod templates;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use regard_host::build;
use regard_host::manifest::{CONTRACT, check_id};
use serde_json::json;

use crate::cli::Output;

/// The language of a new plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Lang {
    /// Runs as it is: no tools, no build.
    Luau,
    /// A WebAssembly component; needs rustup.
    Rust,
    /// A WebAssembly component; needs Node with npm.
    #[value(name = "typescript")]
    TypeScript,
    /// A WebAssembly component; needs Python with venv and pip.
    Python,
    /// A native library, unprotected; needs a C compiler. Evaluators only.
    C,
}

/// What a new plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// Reacts to what happens.
    Hook,
    /// Evaluates a metric.
    Kpi,
    /// Connects a channel: messages in and out.
    Connector,
}

impl Lang {
    /// The folder of its templates.
    const fn folder(self) -> &'static str {
        match self {
            Self::Luau => "luau",
            Self::Rust => "rust",
            Self::TypeScript => "typescript",
            Self::Python => "python",
            Self::C => "c",
        }
    }
}

impl Kind {
    /// How ids of this kind begin by custom.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Kpi => "kpi",
            Self::Connector => "connector",
        }
    }

    /// The kind that `id` begins with.
    fn of(id: &str) -> Option<Self> {
        let first = id.split('-').next().unwrap_or_default();
        Self::value_variants().iter().copied().find(|kind| kind.prefix() == first)
    }
}

/// Arguments of `regard plugin new`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct New {
    /// Its id: lower-case letters, digits and single hyphens, by custom with its kind first, such as hook-first-order.
    name: String,
    /// The language.
    #[arg(long, value_name = "LANGUAGE", default_value = "luau")]
    lang: Lang,
    /// What it does; left out, the first word of the name says it, or it is a hook.
    #[arg(long)]
    kind: Option<Kind>,
    /// The folder that is made; left out, one with its name here.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What stands below the help.
const EXAMPLES: &str = "Examples:
  regard plugin new hook-first-order
  regard plugin new kpi-order-count --lang rust
  regard plugin new connector-chat --lang rust --dir plugins/connector-chat
  regard plugin new kpi-order-count --lang c

Templates:
  hook       luau, rust, typescript, python
  kpi        luau, rust, typescript, python, c
  connector  luau, rust";

impl New {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let Self { name: id, lang, kind, dir } = self;
        check_id(&id)?;
        let kind = kind.or_else(|| Kind::of(&id)).unwrap_or(Kind::Hook);
        let files = templates::of(lang.folder(), kind.prefix());
        if files.is_empty() {
            let offered = Lang::value_variants().iter().map(|lang| lang.folder());
            let offered: Vec<_> =
                offered.filter(|lang| !templates::of(lang, kind.prefix()).is_empty()).collect();
            bail!(
                "there is no template of a {} in {}; there is one in {}",
                kind.prefix(),
                lang.folder(),
                offered.join(", ")
            );
        }
        let folder = dir.unwrap_or_else(|| PathBuf::from(&id));
        ensure!(
            is_free(&folder)?,
            "{} is there already and not empty; choose another name, or another folder with --dir",
            folder.display()
        );
        for (file, text) in &files {
            write(&folder.join(file), &filled(text, &id, kind))?;
        }
        build::show_sdk(&folder, &mut |line| output.say(line))?;

        let names: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
        let answer = json!({
            "id": id, "folder": folder, "language": lang.folder(), "kind": kind.prefix(), "files": names,
        });
        let shown = folder.display();
        output.print(&answer, || {
            let next = match lang {
                // A native library is allowed by its digest, which `check` says.
                Lang::C => ["test", "check", "install"],
                _ => ["test", "dev", "install"],
            };
            let next = next.map(|command| format!("  regard plugin {command} {shown}"));
            format!("{id} stands in {shown}: {}\n\nNext:\n{}", names.join(", "), next.join("\n"))
        });
        Ok(())
    }
}

/// Whether a new plugin may go there.
fn is_free(folder: &Path) -> Result<bool> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(why) => Err(why).with_context(|| format!("cannot make the folder {}", folder.display())),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text)).with_context(|| format!("cannot write {}", path.display()))
}

/// A template's text with what belongs to the new plugin.
fn filled(text: &str, id: &str, kind: Kind) -> String {
    let bare = id.strip_prefix(kind.prefix()).and_then(|rest| rest.strip_prefix('-')).unwrap_or(id);
    let mut name = bare.replace('-', " ");
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text.replace("{{id}}", id)
        .replace("{{name}}", &name)
        .replace("{{metric}}", bare)
        .replace("{{contract}}", &CONTRACT.to_string())
        .replace("{{sdk}}", &build::rust_sdk::version())
}

#[cfg(test)]
mod tests {
    use regard_host::Manifest;

    use super::*;

    #[test]
    fn every_template_has_a_good_manifest_and_nothing_left_to_fill_in() {
        let mut count = 0;
        for lang in Lang::value_variants() {
            for kind in Kind::value_variants() {
                let id = format!("{}-x", kind.prefix());
                let files = templates::of(lang.folder(), kind.prefix());
                let text = |name: &str| {
                    let found = files.iter().find(|(file, _)| *file == name);
                    found.map(|(_, text)| filled(text, &id, *kind))
                };
                for (file, _) in &files {
                    assert!(!text(file).expect("it").contains("{{"), "{lang:?} {kind:?} {file}");
                }
                let Some(manifest) = text("plugin.toml") else { continue };
                let manifest = Manifest::parse(&manifest, Path::new("plugin.toml")).expect("a manifest");
                assert_eq!((manifest.id.as_str(), manifest.name.as_str()), (id.as_str(), "X"));
                assert_eq!(manifest.capabilities.len(), 1);
                assert!(files.iter().any(|(file, _)| file.starts_with("fixtures/")));
                assert!(text("README.md").is_some_and(|text| text.starts_with("# X\n")));
                // The help says which there are.
                let row = EXAMPLES.lines().rfind(|line| line.trim_start().starts_with(kind.prefix()));
                let offered = row.expect("a row").split([' ', ',']);
                assert!(offered.into_iter().any(|word| word == lang.folder()), "{lang:?} {kind:?}");
                count += 1;
            }
        }
        assert_eq!(count, 11);
    }

    #[test]
    fn the_name_says_the_kind() {
        assert_eq!(Kind::of("kpi-order-count"), Some(Kind::Kpi));
        assert_eq!(Kind::of("order-count"), None);
        assert_eq!(filled("{{name}} {{metric}}", "kpi-order-count", Kind::Kpi), "Order count order-count");
        assert_eq!(filled("{{name}} {{metric}}", "order-count", Kind::Kpi), "Order count order-count");
    }
}
