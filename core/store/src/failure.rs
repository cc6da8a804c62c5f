//! From what a driver says to what the caller can do about it.
//!
//! Callers tell apart: try again later (`Unavailable`), somebody was first (`Conflict`), the value is wrong
//! (`Invalid`), and everything that is our own fault (`Damaged`).

use std::str::FromStr;

use regard_engine::StoreError;
use regard_model::Invalid;
use sea_orm::{DbErr, RuntimeErr};

/// SQLite's primary result codes after which the same call may succeed: busy, locked, out of memory, read-only,
/// interrupted, I/O error, disk full, cannot open, locking protocol.
const SQLITE_TRANSIENT: [i32; 9] = [5, 6, 7, 8, 9, 10, 13, 14, 15];
/// SQLite's extended code of a broken foreign key.
const SQLITE_FOREIGN_KEY: i32 = 787;
/// Extended codes of a broken unique key and of a broken primary key.
const SQLITE_UNIQUE: [i32; 2] = [2067, 1555];
/// SQLSTATE classes and states of PostgreSQL after which the same call may succeed: connection exceptions,
/// insufficient resources, operator intervention, system errors, serialisation failures and deadlocks, locks that
/// were not available in time, and a server that has become read-only.
const POSTGRES_TRANSIENT: [&str; 7] = ["08", "53", "57", "58", "40", "55P03", "25006"];
/// SQLSTATE of a broken unique key.
const POSTGRES_UNIQUE: &str = "23505";
/// SQLSTATE of a text that the server's encoding cannot hold, such as one with a NUL.
const POSTGRES_UNTRANSLATABLE: &str = "22021";

/// Says what the store was doing when a driver failed.
pub(crate) trait During<T> {
    /// Turns the driver's error into the store's; `during` names the operation, such as `append interactions`.
    fn during(self, during: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, during: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| sqlx_failure(during, &error))
    }
}

impl<T> During<T> for Result<T, DbErr> {
    fn during(self, during: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| match &error {
            DbErr::Conn(RuntimeErr::SqlxError(inner))
            | DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => sqlx_failure(during, inner),
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => {
                StoreError::Unavailable { during, why: error.to_string() }
            }
            _ => StoreError::Damaged { during, why: error.to_string() },
        })
    }
}

impl<T> During<T> for Result<T, rusqlite::Error> {
    fn during(self, during: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| match &error {
            rusqlite::Error::SqliteFailure(code, _) => {
                sqlite_failure(during, code.extended_code, error.to_string())
            }
            _ => StoreError::Damaged { during, why: error.to_string() },
        })
    }
}

impl<T> During<T> for Result<T, serde_json::Error> {
    fn during(self, during: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| damaged(during, error))
    }
}

/// Reads a word that was valid when it was stored; if it is no longer, that is damage.
pub(crate) fn parse<T: FromStr<Err = Invalid>>(during: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| damaged(during, error))
}

/// Something stored cannot be read back.
pub(crate) fn damaged(during: &'static str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { during, why: why.to_string() }
}

/// Refuses text with a NUL, which PostgreSQL cannot hold; on SQLite too, so that both take the same texts.
pub(crate) fn check_nul(field: &str, text: &str) -> Result<(), Invalid> {
    match text.find('\0') {
        Some(at) => Err(Invalid::new(field, format!("has a NUL character at byte {at}"))),
        None => Ok(()),
    }
}

/// Text from outside that has to be stored whatever it is, such as what a provider said.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn sqlite_failure(during: &'static str, extended: i32, why: String) -> StoreError {
    // The low byte is the primary code, whatever the extension says.
    if SQLITE_TRANSIENT.contains(&(extended & 0xff)) {
        StoreError::Unavailable { during, why }
    } else if SQLITE_UNIQUE.contains(&extended) {
        StoreError::Conflict(format!("{during}: {why}"))
    } else if extended == SQLITE_FOREIGN_KEY {
        StoreError::NotFound(format!("{during}: {why}"))
    } else {
        StoreError::Damaged { during, why }
    }
}

fn sqlx_failure(during: &'static str, error: &sqlx::Error) -> StoreError {
    let why = error.to_string();
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => StoreError::Unavailable { during, why },
            _ => StoreError::Damaged { during, why },
        };
    };
    let code = database.code().unwrap_or_default();
    if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        return sqlite_failure(during, code.parse().unwrap_or(1), why);
    }
    if code == POSTGRES_UNIQUE {
        StoreError::Conflict(format!("{during}: {why}"))
    } else if code == POSTGRES_UNTRANSLATABLE {
        StoreError::Invalid(Invalid::new(
            "",
            format!("{during}: a text has a character that the database cannot hold"),
        ))
    } else if database.is_foreign_key_violation() {
        StoreError::NotFound(format!("{during}: {why}"))
    } else if POSTGRES_TRANSIENT.iter().any(|transient| code.starts_with(transient)) {
        StoreError::Unavailable { during, why }
    } else {
        StoreError::Damaged { during, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_database_is_not_a_broken_one() {
        for (code, unavailable) in [(5, true), (517, true), (13, true), (778, true), (1, false), (11, false)]
        {
            let error = sqlite_failure("test", code, String::new());
            assert_eq!(matches!(error, StoreError::Unavailable { .. }), unavailable, "{code}");
        }
        assert!(matches!(sqlite_failure("test", 2067, String::new()), StoreError::Conflict(_)));
    }

    #[test]
    fn a_lost_connection_is_unavailable() {
        let lost = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(sqlx_failure("test", &lost), StoreError::Unavailable { .. }));
        assert!(matches!(sqlx_failure("test", &sqlx::Error::PoolTimedOut), StoreError::Unavailable { .. }));
    }
}
