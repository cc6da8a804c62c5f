//! `regard plugin test`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use regard_host::build;
use regard_host::manifest::Runtime;
use regard_testkit::Trial;

use crate::bundled;
use crate::cli::Output;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Test {
    #[command(flatten)]
    tried: Tried,
    /// Only this scenario, besides the laws: the name of its file without .toml.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
}

/// What is tried.
#[derive(Debug, clap::Args)]
pub(super) struct Tried {
    /// The folder with plugin.toml, and with the scenarios in fixtures/*.toml.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The seed of everything random, in place of the scenarios' own.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Tried {
    /// Builds the folder and reads its scenarios.
    pub(super) fn trial(&self, scenario: Option<&str>, output: Output) -> Result<Trial> {
        let package = bundled::package(&self.folder, &mut |line| output.say(line))?;
        if package.manifest().runtime == Runtime::Native {
            // Whoever tries the folder's code has built it: nothing else is trusted, and nothing is remembered.
            output.say(&format!(
                "{} is a native library and runs unprotected; trusting what was built from {} for this trial",
                package.digest(),
                self.folder.display()
            ));
        }
        let cache = build::cache_dir().join("testkit");
        Ok(Trial::new(package, &self.folder, cache, scenario)?.with_seed(self.seed))
    }
}

impl Test {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        let trial = tokio::task::block_in_place(|| self.tried.trial(self.scenario.as_deref(), output))?;
        let report = regard_testkit::test(&trial).await?;
        output.print(&report.json(), || report.text());
        ensure!(report.is_good(), "{} {}: not every check holds", report.plugin, report.version);
        Ok(())
    }
}
