//! Hooks: the same events in the same world lead to the same changes, and a batch that comes again sends nothing again.

use std::collections::BTreeSet;

use anyhow::Result;
use regard_engine::StoreError;
use regard_engine::ports::{Feed as _, Hooks as _};

use super::verdict;
use crate::Trial;
use crate::ending::outbox;
use crate::report::{Report, Verdict};
use crate::run;

pub(super) async fn tried(trial: &Trial, report: &mut Report) -> Result<()> {
    let (mut unlike, mut again, mut has_batches) = (Vec::new(), Vec::new(), false);
    for scenario in &trial.scenarios {
        let Ok(mut world) = trial.world(scenario).await else { continue };
        world.watched.hand_twice();
        let noted = run::raw(&mut world, scenario).await?;
        has_batches |= !noted.batches.is_empty();
        for (first, second) in noted.unlike {
            unlike.push(format!("{}: called twice with the same events", scenario.name));
            unlike.push(run::different("changes", first, second));
        }
        let keys = keys(&world).await?;
        for batch in &noted.batches {
            // After a crash between a call and its commit the same batch comes again.
            world.recorded.always(None);
            let Ok(effects) = world.host.handle(world.plugin(), batch).await else { continue };
            match world.store.commit(None, effects).await {
                Ok(()) | Err(StoreError::Conflict(_)) => {}
                Err(why) => again.push(format!("{}: handed again: {why}", scenario.name)),
            }
        }
        let new: Vec<String> = self::keys(&world).await?.difference(&keys).cloned().collect();
        if !new.is_empty() {
            again.push(format!(
                "{}: a batch that was handled already and came again enqueued another message: wanted the idempotency \
                 keys of the first time, found {}",
                scenario.name,
                new.join(", ")
            ));
        }
        report.cost(&world);
    }
    let add = || Verdict::NotTried("add a scenario with an event that the manifest subscribes to".to_owned());
    report.add("hook: reruns are identical", if has_batches { verdict(unlike) } else { add() });
    report.add("hook: handed again after a crash", if has_batches { verdict(again) } else { add() });
    Ok(())
}

/// Idempotency keys of everything that was enqueued.
async fn keys(world: &crate::world::World) -> Result<BTreeSet<String>> {
    Ok(outbox(world).await?.into_iter().map(|entry| entry.idempotency_key).collect())
}
