//! Amounts of money.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Invalid;

/// The code of a currency that ISO 4217 lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The three capital letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Decimal places between the major and the minor unit: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(&self) -> u32 {
        iso_currency::Currency::from_code(self.code()).and_then(|known| known.exponent()).map_or(0, u32::from)
    }

    /// Minor units in one major unit: 100 for USD.
    pub fn minor_per_major(&self) -> i64 {
        10_i64.pow(self.exponent())
    }
}

impl FromStr for Currency {
    type Err = Invalid;

    fn from_str(code: &str) -> Result<Self, Invalid> {
        match (iso_currency::Currency::from_code(code), code.as_bytes()) {
            (Some(_), &[a, b, c]) => Ok(Self([a, b, c])),
            _ => Err(Invalid::new(
                "currency",
                format!(
                    "`{}` is no currency of ISO 4217; write three capitals such as EUR or USD",
                    code.escape_debug()
                ),
            )),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        code.parse().map_err(|invalid: Invalid| de::Error::custom(invalid.reason))
    }
}

impl utoipa::PartialSchema for Currency {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("ISO 4217 code"))
            .pattern(Some("^[A-Z]{3}$"))
            .examples(["USD"])
            .into()
    }
}
impl utoipa::ToSchema for Currency {}

/// An amount in the currency's minor unit; negative for refunds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units: cents for USD, yen for JPY.
    pub minor: i64,
    /// ISO 4217 code.
    pub currency: Currency,
}

impl Money {
    /// Reads a decimal amount of major units, such as `11.77` or `-3`, exactly: no binary fraction is involved.
    pub fn parse_major(text: &str, currency: Currency) -> Result<Self, Invalid> {
        let wrong = |why: &str| {
            Invalid::new("amount", format!("`{}` is no amount in {currency}: {why}", text.escape_debug()))
        };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(wrong("write digits with a point before the fraction, such as 1250.50"));
        }
        let places = currency.exponent() as usize;
        let (kept, beyond) = fraction.split_at(fraction.len().min(places));
        if beyond.bytes().any(|byte| byte != b'0') {
            return Err(wrong(&format!("it has {places} decimal places")));
        }
        let minor =
            format!("{whole}{kept:0<places$}").parse::<i64>().map_err(|_| wrong("it is too large"))?;
        Ok(Self { minor: if negative { -minor } else { minor }, currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.currency.exponent() as usize;
        let sign = if self.minor < 0 { "-" } else { "" };
        let per_major = self.currency.minor_per_major().unsigned_abs();
        let (whole, fraction) =
            (self.minor.unsigned_abs() / per_major, self.minor.unsigned_abs() % per_major);
        if places == 0 {
            write!(f, "{sign}{whole} {}", self.currency)
        } else {
            write!(f, "{sign}{whole}.{fraction:0places$} {}", self.currency)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_amounts_are_exact_in_every_currency() {
        for (text, code, minor) in [
            ("11.77", "USD", 1177),
            ("-0.1", "EUR", -10),
            ("1177", "JPY", 1177),
            ("1.5", "KWD", 1500),
            ("2.500", "USD", 250),
            ("0.29", "USD", 29),
        ] {
            let currency = code.parse().expect("a currency");
            assert_eq!(Money::parse_major(text, currency), Ok(Money { minor, currency }), "{text} {code}");
        }
    }

    #[test]
    fn refuses_what_is_no_amount() {
        let usd = "USD".parse().expect("a currency");
        for text in ["", "-", "1,50", "1.505", "1e3", "NaN", ".5", "99999999999999999999", "1.5 USD"] {
            assert!(Money::parse_major(text, usd).is_err(), "{text}");
        }
        for code in ["", "usd", "US", "ABC", "USDX", "\u{20ac}"] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
    }

    #[test]
    fn prints_major_units() {
        let show =
            |minor, code: &str| Money { minor, currency: code.parse().expect("a currency") }.to_string();
        assert_eq!(show(-5, "USD"), "-0.05 USD");
        assert_eq!(show(1177, "JPY"), "1177 JPY");
    }
}
