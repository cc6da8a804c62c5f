//! Instants, and lengths of time as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Invalid;

/// Milliseconds of one day of 24 hours.
pub const DAY_MS: i64 = 86_400_000;
/// Nothing that a CRM records happened before 1900; an earlier date is a typing error.
pub const EARLIEST: Timestamp = Timestamp(-2_208_988_800_000);
/// First instant of 2200; a later date is a typing error.
pub const LATEST: Timestamp = Timestamp(7_258_118_400_000);

/// An instant in UTC with a resolution of one millisecond; RFC 3339 outside, milliseconds since 1970 inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `millis` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The machine's clock. Only the wiring asks it; everything else takes the time from its clock port.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Midnight UTC at the start of this instant's day.
    #[must_use]
    pub const fn start_of_day(self) -> Self {
        Self(self.0.div_euclid(DAY_MS) * DAY_MS)
    }

    /// This instant moved by `millis`, which may be negative; stops at the ends of the number range.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Midnight UTC of a calendar day, or the instant, read with a `strftime` format such as `%Y%m%d`.
    pub fn parse_with(text: &str, format: &str) -> Result<Self, Invalid> {
        let millis = DateTime::parse_from_str(text, format)
            .map(|at| at.timestamp_millis())
            .or_else(|_| {
                NaiveDateTime::parse_from_str(text, format).map(|at| at.and_utc().timestamp_millis())
            })
            .or_else(|_| {
                let day = NaiveDate::parse_from_str(text, format)?;
                Ok(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
            })
            .map_err(|why: chrono::ParseError| {
                Invalid::new(
                    "",
                    format!("`{}` is no date of the form `{format}`: {why}", text.escape_debug()),
                )
            })?;
        Self(millis).checked()
    }

    /// Refuses instants before 1900 and from 2200 on.
    pub fn checked(self) -> Result<Self, Invalid> {
        if (EARLIEST..LATEST).contains(&self) {
            Ok(self)
        } else {
            Err(Invalid::new("", format!("{self} is out of range: dates from 1900 to 2199 are taken")))
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    /// Reads RFC 3339 (`1997-06-30T12:00:00Z`) or a calendar day (`1997-06-30`, midnight UTC).
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !text.contains(['T', 't', ' '])
            && let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        {
            return Self(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis()).checked();
        }
        DateTime::parse_from_rfc3339(text)
            .map_err(|why| {
                Invalid::new("", format!("`{text}` is no RFC 3339 time such as 1997-06-30T12:00:00Z: {why}"))
            })
            .and_then(|at| Self(at.timestamp_millis()).checked())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .examples(["1997-06-30T12:00:00.000Z"])
            .into()
    }
}
impl utoipa::ToSchema for Timestamp {}

/// A length of time written as a number and a unit: `39w`, `90d`, `12h`, `15m`, `30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Horizon(i64);

impl Horizon {
    /// Milliseconds, never negative.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Weeks of seven days.
    pub fn as_weeks(self) -> f64 {
        self.0 as f64 / (7 * DAY_MS) as f64
    }
}

impl FromStr for Horizon {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(
                "",
                format!(
                    "`{text}` is no length of time: write a whole number and w, d, h, m or s, such as 39w"
                ),
            )
        };
        let unit = text.chars().last().ok_or_else(wrong)?;
        let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
        let unit_ms = match unit {
            'w' => 7 * DAY_MS,
            'd' => DAY_MS,
            'h' => DAY_MS / 24,
            'm' => 60_000,
            's' => 1000,
            _ => return Err(wrong()),
        };
        match number.checked_mul(unit_ms) {
            Some(millis) if number >= 0 && millis <= LATEST.0 - EARLIEST.0 => Ok(Self(millis)),
            _ => Err(Invalid::new("", format!("`{text}` is longer than the 300 years that dates may span"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let noon: Timestamp = "1997-06-30T14:00:00+02:00".parse().expect("a time");
        assert_eq!(noon.to_string(), "1997-06-30T12:00:00.000Z");
        assert_eq!("1997-06-30".parse(), Ok(noon.start_of_day()));
        assert_eq!(Timestamp::parse_with("19970630", "%Y%m%d"), Ok(noon.start_of_day()));
        assert_eq!(Timestamp::parse_with("30.06.1997 12:00", "%d.%m.%Y %H:%M"), Ok(noon));
        assert_eq!(Timestamp::parse_with("1997-06-30 14:00 +0200", "%Y-%m-%d %H:%M %z"), Ok(noon));
        assert_eq!("39w".parse::<Horizon>().map(Horizon::as_weeks), Ok(39.0));
    }

    #[test]
    fn refuses_what_cannot_be() {
        for text in
            ["", "1997-02-30", "1997-06-30T25:00:00Z", "0001-01-01", "9999-12-31T00:00:00Z", "yesterday"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        assert!(Timestamp::parse_with("199706301", "%Y%m%d").is_err());
        for text in ["", "w", "-3d", "3 d", "3y", "99999999999999w", "3\u{e9}"] {
            assert!(text.parse::<Horizon>().is_err(), "{text}");
        }
    }
}
