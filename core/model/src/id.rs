//! Typed identifiers that sort by the time they were made.
//!
//! An identifier is 63 bits: 42 bits of milliseconds since 2020, then 21 bits that count within the millisecond. It
//! is a plain integer key in the database (one index fewer than a text key needs) and, outside, 13
//! characters of Crockford's base 32 behind a prefix that tells what it names: `cus_01jd3q7xk2v8m`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Invalid;

/// 2020-01-01T00:00:00Z in Unix milliseconds: identifiers start counting here, which keeps them positive until 2159.
const EPOCH_MS: i64 = 1_577_836_800_000;
/// Bits below the millisecond.
const COUNTER_BITS: u32 = 21;
/// Base 32 digits of a 63-bit number, five bits each.
const DIGITS: usize = 13;
/// Crockford's alphabet: no i, l, o, u, so that an identifier survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What an [`Id`] names.
pub trait Named {
    /// Prefix of the text form, without the underscore.
    const PREFIX: &'static str;
}

/// The identifier of one `T`.
pub struct Id<T>(i64, PhantomData<fn() -> T>);

impl<T> Id<T> {
    /// The identifier with this number, as a database row holds it.
    pub const fn from_i64(number: i64) -> Self {
        Self(number, PhantomData)
    }

    /// The number to keep in a database row.
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T: Named> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0u8; DIGITS];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            *digit = ALPHABET[((self.0 >> (5 * place)) & 31) as usize];
        }
        write!(f, "{}_{}", T::PREFIX, String::from_utf8_lossy(&digits))
    }
}

impl<T: Named> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T: Named> FromStr for Id<T> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(
                "",
                format!("`{text}` is no identifier of the form {}_ and 13 characters", T::PREFIX),
            )
        };
        let digits =
            text.strip_prefix(T::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or_else(wrong)?;
        if digits.len() != DIGITS {
            return Err(wrong());
        }
        let mut number: i64 = 0;
        for (at, byte) in digits.bytes().enumerate() {
            let digit =
                ALPHABET.iter().position(|&known| known == byte.to_ascii_lowercase()).ok_or_else(wrong)?;
            // The first digit carries only the three highest of the 63 bits.
            if at == 0 && digit > 7 {
                return Err(wrong());
            }
            number = (number << 5) | digit as i64;
        }
        Ok(Self::from_i64(number))
    }
}

impl<T: Named> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: Named> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $alias:ident, $marker:ident, $prefix:literal;)*) => {$(
        #[doc(hidden)]
        #[derive(Debug)]
        pub enum $marker {}
        impl Named for $marker {
            const PREFIX: &'static str = $prefix;
        }
        $(#[$doc])*
        pub type $alias = Id<$marker>;
        impl utoipa::PartialSchema for Id<$marker> {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-9a-hjkmnp-tv-z]{13}$")))
                    .examples([concat!($prefix, "_01jd3q7xk2v8m")])
                    .into()
            }
        }
        impl utoipa::ToSchema for Id<$marker> {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($alias).into()
            }
        }
    )*};
}

ids! {
    /// Names a customer.
    CustomerId, CustomerMark, "cus";
    /// Names an interaction; ascending in the order in which interactions became durable.
    InteractionId, InteractionMark, "int";
    /// Names a channel.
    ChannelId, ChannelMark, "chn";
    /// Names a merge of two customers.
    MergeId, MergeMark, "mrg";
    /// Names a line of the consent ledger.
    ConsentId, ConsentMark, "con";
    /// Names one run of an evaluator.
    EvaluationId, EvaluationMark, "evl";
    /// Names an observation; ascending in the order in which observations became durable.
    ObservationId, ObservationMark, "obs";
    /// Names an outbox entry.
    OutboxId, OutboxMark, "out";
    /// Names a record of a type that a plugin declares.
    RecordId, RecordMark, "rec";
    /// Names an access token (not its secret).
    TokenId, TokenMark, "tok";
    /// Names a line of the audit log.
    AuditId, AuditMark, "aud";
}

/// Gives out strictly ascending identifiers.
///
/// Two generators never give the same number as long as both run under the store's write lock or their counters
/// start at different random places, which [`IdGenerator::new`] sees to.
#[derive(Debug)]
pub struct IdGenerator {
    last: AtomicI64,
    salt: i64,
}

impl Default for IdGenerator {
    fn default() -> Self {
        Self::new()
    }
}

impl IdGenerator {
    /// A generator whose counter begins at a random place within each new millisecond.
    pub fn new() -> Self {
        let mut random = [0u8; 4];
        // Without randomness the counter starts at zero; the store's unique keys still refuse a collision.
        let _ = getrandom::fill(&mut random);
        // The highest counter bit stays free, so that a burst within one millisecond has room.
        let salt = i64::from(u32::from_le_bytes(random)) & ((1 << (COUNTER_BITS - 1)) - 1);
        Self { last: AtomicI64::new(0), salt }
    }

    /// The next identifier at the instant `now`.
    ///
    /// A burst of more than fits into one millisecond runs ahead of the clock rather than repeat a number.
    pub fn next<T>(&self, now: crate::Timestamp) -> Id<T> {
        self.reserve(now, 1)
    }

    /// The first of `count` consecutive identifiers at the instant `now`.
    pub fn reserve<T>(&self, now: crate::Timestamp, count: usize) -> Id<T> {
        let floor = ((now.as_millis() - EPOCH_MS).max(0) << COUNTER_BITS) | self.salt;
        let step = i64::try_from(count).unwrap_or(i64::MAX).max(1);
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let first = floor.max(last.saturating_add(1));
            match self.last.compare_exchange_weak(
                last,
                first.saturating_add(step - 1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Id::from_i64(first),
                Err(seen) => last = seen,
            }
        }
    }

    /// Makes every later identifier greater than `number`, which another process gave out.
    pub fn stay_above(&self, number: i64) {
        self.last.fetch_max(number, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn text_form_round_trips_and_sorts_like_the_number() {
        let generator = IdGenerator::new();
        let now = Timestamp::from_millis(1_764_000_000_000);
        let ids: Vec<CustomerId> = (0..1000).map(|_| generator.next(now)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1] && pair[0].to_string() < pair[1].to_string()));
        for id in ids {
            assert_eq!(id.to_string().parse::<CustomerId>(), Ok(id));
        }
    }

    #[test]
    fn refuses_what_is_no_identifier() {
        for text in
            ["", "cus_", "int_0000000000000", "cus_000000000000", "cus_000000000000u", "cus_z000000000000"]
        {
            assert!(text.parse::<CustomerId>().is_err(), "{text}");
        }
    }

    #[test]
    fn never_falls_behind_another_process() {
        let generator = IdGenerator::new();
        let now = Timestamp::from_millis(1_764_000_000_000);
        let ahead: CustomerId = IdGenerator::new().next(Timestamp::from_millis(now.as_millis() + 60_000));
        generator.stay_above(ahead.as_i64());
        assert!(generator.next::<CustomerMark>(now) > ahead);
    }
}
