//! When a plugin wants to be called for no other reason than the time.
//!
//! The instants of a schedule follow from its rule alone, not from when it was first looked at, so that every node of an
//! installation finds the same ones.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};

use crate::record::declaration::check_name;
use crate::{Horizon, Invalid, Timestamp};

/// The kind of the interactions that schedules make; nobody else may hand one in.
pub const DUE: &str = "schedule.due";
/// Most schedules of one plugin.
pub const SCHEDULES_MAX: usize = 16;
/// An instant after every day of a whole cycle of leap years, to see whether a rule means any day at all.
const PROBE: Timestamp = Timestamp::from_millis(4_102_444_800_000);
/// Shortest time between two instants, in milliseconds; what must happen sooner reacts to an event.
pub const EVERY_MS_MIN: i64 = 60_000;

/// `[[schedule]]` as a manifest has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleDeclaration {
    /// Kebab-case name, unique in the plugin; the event carries it.
    pub name: String,
    /// A length of time such as `15m` or `1d`, counted from midnight of 1 January 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// Minute, hour, day of the month, month, day of the week, as in `0 3 * * *`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA time zone that `cron` counts in, UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// A checked schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    /// Milliseconds.
    Every(i64),
    At(Box<Cron>, Tz),
}

impl Schedule {
    /// Checks a declaration; a reason says, behind a semicolon, how to mend it.
    pub fn new(declared: &ScheduleDeclaration) -> Result<Self, Invalid> {
        check_name(&declared.name)?;
        let rule = match (&declared.every, &declared.cron) {
            (Some(every), None) => {
                if declared.timezone.is_some() {
                    let reason = "does not matter to `every`; remove it, or write `cron`";
                    return Err(Invalid::new("timezone", reason.to_owned()));
                }
                let every = every.parse::<Horizon>().map_err(|invalid| invalid.within("every"))?.as_millis();
                if every < EVERY_MS_MIN {
                    let reason = "is shorter than a minute; write `1m` or longer, or subscribe to an event";
                    return Err(Invalid::new("every", reason.to_owned()));
                }
                Rule::Every(every)
            }
            (None, Some(cron)) => {
                let parser =
                    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
                let cron = parser.parse(cron).map_err(|why| {
                    let reason = format!(
                        "`{cron}` is no cron expression ({why}); write five fields such as `0 3 * * *`"
                    );
                    Invalid::new("cron", reason)
                })?;
                let zone = declared.timezone.as_deref().unwrap_or("UTC");
                let zone = zone.parse().map_err(|_| {
                    let reason =
                        format!("`{zone}` is no time zone; write an IANA name such as `Europe/Berlin`");
                    Invalid::new("timezone", reason)
                })?;
                let rule = Rule::At(Box::new(cron), zone);
                if rule.last(PROBE).is_none() {
                    let reason = "means no day that there is; write one, such as `0 3 28 2 *`";
                    return Err(Invalid::new("cron", reason.to_owned()));
                }
                rule
            }
            _ => {
                let reason = "needs one rule; write either `every = \"1d\"` or `cron = \"0 3 * * *\"`";
                return Err(Invalid::new("", reason.to_owned()));
            }
        };
        Ok(Self { name: declared.name.clone(), rule })
    }

    /// The last instant of the schedule that is not after `now`; `None` when there is none.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        self.rule.last(now)
    }

    /// The rule in words, by which it can be told from another one.
    pub fn rule(&self) -> String {
        match &self.rule {
            Rule::Every(every) => format!("every {every} ms"),
            Rule::At(cron, zone) => format!("{} {}", cron.pattern, zone.name()),
        }
    }
}

impl Rule {
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(every) => Some(Timestamp::from_millis(now.as_millis().div_euclid(*every) * every)),
            Self::At(cron, zone) => {
                let now: DateTime<Utc> = DateTime::from_timestamp_millis(now.as_millis())?;
                let last = cron.find_previous_occurrence(&now.with_timezone(zone), true).ok()?;
                Some(Timestamp::from_millis(last.timestamp_millis()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(
        every: Option<&str>,
        cron: Option<&str>,
        timezone: Option<&str>,
    ) -> Result<Schedule, Invalid> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Schedule::new(&ScheduleDeclaration {
            name: "nightly".to_owned(),
            every: owned(every),
            cron: owned(cron),
            timezone: owned(timezone),
        })
    }

    fn last(schedule: &Schedule, now: &str) -> String {
        schedule.last(now.parse().expect("a time")).expect("an instant").to_string()
    }

    #[test]
    fn instants_follow_from_the_rule() {
        let hourly = schedule(Some("6h"), None, None).expect("a schedule");
        assert_eq!(last(&hourly, "2026-03-01T13:59:59Z"), "2026-03-01T12:00:00.000Z");
        assert_eq!(last(&hourly, "2026-03-01T12:00:00Z"), "2026-03-01T12:00:00.000Z");
        let nightly = schedule(None, Some("30 3 * * *"), Some("Europe/Berlin")).expect("a schedule");
        assert_eq!(last(&nightly, "2026-01-10T02:30:00Z"), "2026-01-10T02:30:00.000Z");
        assert_eq!(last(&nightly, "2026-01-10T02:29:00Z"), "2026-01-09T02:30:00.000Z");
        // In summer it is an hour earlier by universal time.
        assert_eq!(last(&nightly, "2026-07-10T02:00:00Z"), "2026-07-10T01:30:00.000Z");
        let weekdays = schedule(None, Some("0 9 * * 1-5"), None).expect("a schedule");
        assert_eq!(last(&weekdays, "2026-11-22T12:00:00Z"), "2026-11-20T09:00:00.000Z");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refused = |every, cron, timezone| {
            let invalid = schedule(every, cron, timezone).expect_err("refused");
            format!("{}: {}", invalid.field, invalid.reason)
        };
        assert!(refused(None, None, None).contains("either `every"));
        assert!(refused(Some("1h"), Some("0 3 * * *"), None).contains("either `every"));
        assert!(refused(Some("30s"), None, None).starts_with("every: is shorter than a minute"));
        assert!(refused(Some("often"), None, None).starts_with("every: `often`"));
        assert!(refused(Some("1h"), None, Some("UTC")).starts_with("timezone"));
        assert!(refused(None, Some("0 0 3 * * *"), None).starts_with("cron: `0 0 3 * * *`"));
        assert!(refused(None, Some("0 0 31 2 *"), None).starts_with("cron: means no day"));
        assert!(schedule(None, Some("0 0 29 2 *"), None).is_ok());
        assert!(refused(None, Some("0 3 * * *"), Some("Mars/Olympus")).starts_with("timezone: `Mars"));
    }
}
