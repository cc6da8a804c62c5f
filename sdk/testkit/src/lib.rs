//! The test kit: tries a plugin in the real engine, offline.
//!
//! A plugin is loaded into the same host that serves it later, with a store on SQLite in a folder that is thrown away. The
//! network is replaced by what the scenario recorded, the clock by one that the scenario moves. What the plugin's author
//! wrote down as scenarios is played, and then laws are tried that hold for every plugin of its capabilities.
//!
//! In the order a reader should meet them:
//!
//! - [`scenario`]: `fixtures/*.toml`, what an author writes
//! - [`world`]: the engine put together around one plugin; [`clock`] and [`recorded`] stand for the time and the network,
//!   [`watched`] notes what the plugin is called with
//! - [`run`] and [`ending`]: a scenario's steps, and what must be so at the end
//! - [`laws`]: what holds for every plugin, one file per capability; [`rows`] are the generated interactions
//! - [`report`]: what was tried, and what it cost
//! - [`bench`]: how fast the plugin is
//!
//! Architecture invariant: this is the one thing below `sdk` that knows the core, and nothing that a plugin links knows it.

pub mod bench;
pub mod clock;
pub mod ending;
pub mod laws;
pub mod recorded;
pub mod report;
pub mod rows;
pub mod run;
pub mod scenario;
pub mod watched;
pub mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use regard_host::Package;

pub use report::{Check, Report, Verdict};
pub use scenario::Scenario;

use world::World;

/// The folder with scenarios, beside the manifest.
pub const FIXTURES: &str = "fixtures";

/// What is tried, and how.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The plugin, built.
    pub package: Package,
    /// Its scenarios.
    pub scenarios: Vec<Scenario>,
    /// Folder for compiled code, which is kept from one trial to the next.
    pub cache_dir: PathBuf,
    /// Stands for the seed of every scenario and of the generated rows.
    pub seed: Option<u64>,
}

impl Trial {
    /// A plugin with the scenarios of its folder; `only` names the one that is wanted.
    pub fn new(package: Package, folder: &Path, cache_dir: PathBuf, only: Option<&str>) -> Result<Self> {
        let mut scenarios = Scenario::read_all(folder)?;
        if let Some(only) = only {
            let there: Vec<String> = scenarios.iter().map(|one| one.name.clone()).collect();
            scenarios.retain(|one| one.name == only);
            if scenarios.is_empty() {
                bail!("there is no scenario `{only}` in {FIXTURES}; there is {}", there.join(", "));
            }
        }
        Ok(Self { package, scenarios, cache_dir, seed: None })
    }

    /// The same trial with another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: Option<u64>) -> Self {
        self.seed = seed;
        for scenario in &mut self.scenarios {
            scenario.seed = seed.unwrap_or(scenario.seed);
        }
        self
    }

    /// The seed of what is generated.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.or_else(|| self.scenarios.first().map(|one| one.seed)).unwrap_or(scenario::SEED_DEFAULT)
    }

    /// A scenario to try laws in: the first one, or an empty one when there is none.
    pub(crate) fn ground(&self) -> Scenario {
        self.scenarios.first().cloned().unwrap_or_default()
    }

    /// The engine around the plugin, set up as `scenario` says.
    pub(crate) async fn world(&self, scenario: &Scenario) -> Result<World> {
        World::open(self, scenario, None).await
    }
}

/// Plays all scenarios.
pub async fn play_all(trial: &Trial) -> Result<Report> {
    let mut report = Report::new(trial.package.manifest());
    for scenario in &trial.scenarios {
        play(trial, scenario, &mut report).await?;
    }
    Ok(report)
}

/// Plays all scenarios and tries all laws.
pub async fn test(trial: &Trial) -> Result<Report> {
    let mut report = play_all(trial).await?;
    laws::tried(trial, &mut report).await.context("cannot try the laws")?;
    Ok(report)
}

async fn play(trial: &Trial, scenario: &Scenario, report: &mut Report) -> Result<()> {
    let name = format!("scenario {}", scenario.name);
    let mut world = match trial.world(scenario).await {
        Ok(world) => world,
        Err(why) => {
            report.add(&name, Verdict::Failed(vec![format!("{}: {why:#}", scenario.place())]));
            return Ok(());
        }
    };
    let mut differences = run::steps(&mut world, scenario, scenario.steps.len()).await?;
    differences.extend(ending::differences(&world, scenario).await?);
    report.cost(&world);
    let verdict = if differences.is_empty() { Verdict::Ok } else { Verdict::Failed(differences) };
    report.add_described(&name, scenario.description.as_deref(), verdict);
    Ok(())
}
