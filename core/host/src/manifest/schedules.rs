//! `[[schedule]]`: when a hook wants to be called for no other reason than the time.
//!
//! ```toml
//! [[schedule]]
//! name = "nightly"
//! cron = "30 3 * * *"
//! timezone = "Europe/Berlin"
//! ```

use regard_model::schedule::SCHEDULES_MAX;
use regard_model::{Schedule, ScheduleDeclaration};

use super::records::fault;
use super::{Capability, Fault, Manifest};

/// Checks all schedules of a plugin.
pub(super) fn check(manifest: &Manifest) -> Result<(), Fault> {
    let declared = &manifest.schedule;
    if declared.is_empty() {
        return Ok(());
    }
    if !manifest.can(Capability::Hook) {
        return Err(Fault::new(
            "schedule",
            "is given, but only hooks are called by it",
            "add \"hook\" to capabilities or remove [[schedule]]",
        ));
    }
    if declared.len() > SCHEDULES_MAX {
        let problem = format!("names {}", declared.len());
        return Err(Fault::new("schedule", problem, format!("name at most {SCHEDULES_MAX}")));
    }
    for (at, declaration) in declared.iter().enumerate() {
        let within = |problem: Fault| problem.under(&format!("schedule[{at}]"));
        Schedule::new(declaration).map_err(|invalid| within(fault(invalid)))?;
        if declared[..at].iter().any(|earlier| earlier.name == declaration.name) {
            let problem = format!("`{}` is there twice", declaration.name);
            return Err(within(Fault::new("name", problem, "give each schedule its own name")));
        }
    }
    Ok(())
}

/// The checked schedules of a manifest, which has them all in order.
pub(crate) fn read(declared: &[ScheduleDeclaration]) -> Vec<Schedule> {
    declared.iter().filter_map(|declaration| Schedule::new(declaration).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PLUGIN: &str = "id = \"hook-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\n\
        runtime = \"luau\"\ncapabilities = [\"hook\"]\n";
    const NIGHTLY: &str = "[[schedule]]\nname = \"nightly\"\ncron = \"30 3 * * *\"\n";

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(text, Path::new("plugin.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_schedule_is_read() {
        let manifest = parse(&format!("{PLUGIN}{NIGHTLY}[[schedule]]\nname = \"often\"\nevery = \"5m\"\n"));
        let names: Vec<_> =
            read(&manifest.expect("a manifest").schedule).into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["nightly", "often"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| parse(text).expect_err("refused");
        assert!(
            refused(&format!("{PLUGIN}{NIGHTLY}{NIGHTLY}"))
                .contains("`schedule[1].name` `nightly` is there twice")
        );
        let zone = refused(&format!("{PLUGIN}{NIGHTLY}timezone = \"Berlin\"\n"));
        assert!(
            zone.contains("`schedule[0].timezone` `Berlin` is no time zone; write an IANA name"),
            "{zone}"
        );
        let kpi = PLUGIN.replace("\"hook\"", "\"kpi\"");
        assert!(refused(&format!("{kpi}{NIGHTLY}")).contains("only hooks are called by it"));
    }
}
