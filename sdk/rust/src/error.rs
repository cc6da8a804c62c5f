//! Errors with the contract's codes.
//!
//! The host acts on the code: it answers a webhook with 401 for `denied` and with 400 for `invalid`, and
//! tries `throttled` and `unavailable` again. The message is for people: lower-case, without a full stop.

use crate::Error;

/// The codes of the contract.
pub mod code {
    /// The input cannot be used, now or later.
    pub const INVALID: &str = "invalid";
    /// The caller may not do this.
    pub const DENIED: &str = "denied";
    /// There is no such thing.
    pub const NOT_FOUND: &str = "not-found";
    /// Somebody else changed it meanwhile.
    pub const CONFLICT: &str = "conflict";
    /// Too many calls; try again later.
    pub const THROTTLED: &str = "throttled";
    /// Not reachable at the moment; try again later.
    pub const UNAVAILABLE: &str = "unavailable";
    /// This plugin does not do that.
    pub const UNSUPPORTED: &str = "unsupported";
    /// A limit was reached.
    pub const EXHAUSTED: &str = "exhausted";
    /// Anything else.
    pub const FAILED: &str = "failed";
}

macro_rules! constructors {
    ($($name:ident $code:ident)*) => {$(
        #[doc = concat!("An error with the code [`code::", stringify!($code), "`].")]
        pub fn $name(message: impl Into<String>) -> Self {
            Self { code: code::$code.to_owned(), message: message.into(), retry_after_ms: None }
        }
    )*};
}

impl Error {
    constructors! {
        invalid INVALID
        denied DENIED
        not_found NOT_FOUND
        conflict CONFLICT
        throttled THROTTLED
        unavailable UNAVAILABLE
        unsupported UNSUPPORTED
        exhausted EXHAUSTED
        failed FAILED
    }

    /// The same error with the time after which another try makes sense, in milliseconds.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl From<serde_json::Error> for Error {
    /// JSON that cannot be read is `invalid`; the message says where.
    fn from(error: serde_json::Error) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_their_code() {
        let error = Error::throttled("slow down").retry_after_ms(1500);
        assert_eq!((error.code.as_str(), error.retry_after_ms), (code::THROTTLED, Some(1500)));
        let json = serde_json::from_str::<u8>("x").expect_err("not a number");
        assert_eq!(Error::from(json).code, code::INVALID);
    }
}
