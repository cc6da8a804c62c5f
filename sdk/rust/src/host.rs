//! The host's functions, by the contract's names.
//!
//! In a native library they go to the host that has loaded it; in unit tests [`crate::testing`] stands in for the host.

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::regard::core as imports;
#[cfg(not(target_arch = "wasm32"))]
use crate::native::imports;

/// The host's structured log; the [`info!`](crate::info!) family writes to it.
pub mod log {
    pub use super::imports::log::write;
    pub use crate::bindings::host::regard::core::log::Level;
}

/// Time; when a plugin is tried, that of the scenario. Evaluators have no clock: their time is the as-of of `finish`.
pub mod clock {
    pub use super::imports::clock::now_ms;
}

/// The plugin's configuration and secrets.
pub mod config {
    pub use super::imports::config::{json, secret};

    use crate::Error;

    /// The plugin's configuration, read into a type. The host has checked it against the manifest's schema
    /// and filled in the defaults.
    pub fn settings<T: serde::de::DeserializeOwned>() -> Result<T, Error> {
        serde_json::from_str(&json()).map_err(|e| Error::invalid(format!("configuration: {e}")))
    }

    /// A secret that may be missing: none when it is not set, an error when it may not be read.
    pub fn optional_secret(name: &str) -> Result<Option<String>, Error> {
        match secret(name) {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.code == crate::error::code::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Bytes that the plugin keeps between calls; needs the permission `kv`.
pub mod kv {
    pub use super::imports::kv::{delete, get, keys, set};
}

/// HTTP to the hosts that the manifest names and the operator granted.
pub mod http {
    pub use super::imports::http::send;
    pub use crate::bindings::host::regard::core::http::{Request, Response};

    impl Response {
        /// The first header of this name, whatever its case.
        pub fn header(&self, name: &str) -> Option<&str> {
            self.headers
                .iter()
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
        }
    }
}

/// Customers; needs the permission `customers`. Fields that `customer_fields` does not open are empty, and the stage is
/// `prospect`.
pub mod customers {
    pub use super::imports::customers::{find, get, update};
}

/// The interaction log; needs the permission `interactions`.
pub mod interactions {
    pub use super::imports::interactions::query;
    pub use crate::bindings::host::regard::core::interactions::{Filter, Page};
}

/// Observations of metrics; needs the permission `metrics`.
pub mod metrics {
    pub use super::imports::metrics::latest;
}

/// Messages to customers; needs the permission `messages`.
pub mod messages {
    pub use super::imports::messages::enqueue;
    pub use crate::bindings::host::regard::core::messages::Message;
}

/// Records of the types that the plugin declares, and of others' with the permission `records`.
///
/// The contract carries the data as JSON text; [`Entry::read`] and the functions named after types do that for you:
///
/// ```
/// use regard_sdk::{records, testing};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Case { state: String }
///
/// # testing::set(|_| {});
/// let made = records::create_typed("case", Some("cus_1"), &Case { state: "open".into() })?;
/// let found = records::get_typed::<Case>("case", &made.id)?.expect("it was made");
/// assert_eq!(found.data.state, "open");
/// records::update_typed("case", &found.id, found.version, &Case { state: "closed".into() })?;
/// # Ok::<(), regard_sdk::Error>(())
/// ```
pub mod records {
    pub use super::imports::records::{create, delete, get, query, update};
    pub use crate::bindings::host::regard::core::records::{Entry, Filter, Page};

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::Error;

    /// An [`Entry`] whose data were read into a type.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Record<T> {
        /// Names the record.
        pub id: String,
        /// The customer, after merges.
        pub customer_id: Option<String>,
        /// The object.
        pub data: T,
        /// What [`update`] and [`delete`] want to know.
        pub version: u64,
    }

    impl Entry {
        /// The data, read into a type; `invalid` when they are something else.
        pub fn read<T: DeserializeOwned>(self) -> Result<Record<T>, Error> {
            let Self { id, customer_id, data, version, .. } = self;
            let data = serde_json::from_str(&data)
                .map_err(|why| Error::invalid(format!("record {id} is not of the expected form: {why}")))?;
            Ok(Record { id, customer_id, data, version })
        }
    }

    /// [`get`], with the data read into a type.
    pub fn get_typed<T: DeserializeOwned>(kind: &str, id: &str) -> Result<Option<Record<T>>, Error> {
        get(kind, id)?.map(Entry::read).transpose()
    }

    /// [`create`], with the data written from a type.
    pub fn create_typed<T: Serialize>(
        kind: &str,
        customer_id: Option<&str>,
        data: &T,
    ) -> Result<Entry, Error> {
        create(kind, customer_id, &serde_json::to_string(data)?)
    }

    /// [`update`], with the data written from a type.
    pub fn update_typed<T: Serialize>(kind: &str, id: &str, version: u64, data: &T) -> Result<Entry, Error> {
        update(kind, id, version, &serde_json::to_string(data)?)
    }
}

/// Writes a line of level trace to the host's log; takes the same as [`info!`].
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => { $crate::__log!(Trace, $($line)+) };
}

/// Writes a line of level debug to the host's log; takes the same as [`info!`].
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::__log!(Debug, $($line)+) };
}

/// Writes a line of level info to the host's log: what `format!` takes, then optionally a semicolon and
/// fields.
///
/// ```
/// # let rows = 3;
/// regard_sdk::info!("fitted {rows} rows"; iterations = 7, converged = true);
/// ```
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::__log!(Info, $($line)+) };
}

/// Writes a line of level warn to the host's log; takes the same as [`info!`].
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::__log!(Warn, $($line)+) };
}

/// Writes a line of level error to the host's log; takes the same as [`info!`].
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::__log!(Error, $($line)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $($text:expr),+ $(; $($field:ident = $value:expr),+ $(,)?)?) => {
        $crate::log::write(
            $crate::log::Level::$level,
            &::std::format!($($text),+),
            &[$($((::std::stringify!($field).to_owned(), ::std::string::ToString::to_string(&$value))),+)?],
        )
    };
}
