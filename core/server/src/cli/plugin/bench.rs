//! `regard plugin bench`.

use anyhow::{Result, ensure};

use super::test::Tried;
use crate::cli::Output;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Bench {
    #[command(flatten)]
    tried: Tried,
}

impl Bench {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        let trial = tokio::task::block_in_place(|| self.tried.trial(None, output))?;
        let bench = regard_testkit::bench::bench(&trial).await?;
        output.print(&bench.json(), || bench.text());
        ensure!(!bench.figures.is_empty(), "nothing could be measured");
        Ok(())
    }
}
