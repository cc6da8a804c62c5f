//! A value of an indexed field as bytes that compare like the value.
//!
//! Bytes compare the same on both databases; texts would compare by a collation, and numbers lose digits or sort as text.
//! The first byte tells kinds of values apart, and the order of these bytes is the order of kinds.

use serde_json::{Number, Value};

/// The key of no value: the field is `null` or not there. The smallest key.
pub(super) const ABSENT: [u8; 1] = [0];
const BOOLEAN: u8 = 1;
const NUMBER: u8 = 2;
const TEXT: u8 = 3;

/// The sign bits of a 64-bit float and of a 16-bit integer.
const SIGN_64: u64 = 1 << 63;
const SIGN_16: u16 = 1 << 15;

/// The key of a field's value.
pub(super) fn key(value: Option<&Value>) -> Vec<u8> {
    match value {
        Some(Value::Bool(value)) => vec![BOOLEAN, u8::from(*value)],
        Some(Value::Number(number)) => number_key(number),
        Some(Value::String(text)) => [&[TEXT], text.as_bytes()].concat(),
        // The schema lets neither lists nor objects into an indexed field.
        None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => ABSENT.to_vec(),
    }
}

/// The nearest float, then how far the number is from it: whole numbers beyond 2^53 differ by that alone, and 1 and 1.0,
/// which JSON Schema holds for the same, do not differ.
fn number_key(number: &Number) -> Vec<u8> {
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let nearest = whole.map_or_else(|| number.as_f64().unwrap_or_default(), |whole| whole as f64);
    // Within 1,024: the floats next to each other below 2^64 are 2,048 apart.
    let rest = whole.map_or(0, |whole| i16::try_from(whole - nearest as i128).unwrap_or_default());
    // Adding zero turns the negative zero into the positive one.
    let bits = (nearest + 0.0).to_bits();
    let ordered = if bits & SIGN_64 == 0 { bits | SIGN_64 } else { !bits };
    let mut key = vec![NUMBER];
    key.extend(ordered.to_be_bytes());
    key.extend((rest.cast_unsigned() ^ SIGN_16).to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_compare_like_values() {
        let ascending = [
            Value::Null,
            json!(false),
            json!(true),
            json!(-1.0e300),
            json!(i64::MIN),
            json!(i64::MIN + 1),
            json!(-10),
            json!(-9.5),
            json!(-1),
            json!(-1.0e-300),
            json!(0),
            json!(5.0e-324),
            json!(0.1),
            json!(9),
            json!(10),
            json!(9_007_199_254_740_992_u64),
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_994_u64),
            json!(i64::MAX),
            json!(u64::MAX - 1),
            json!(u64::MAX),
            json!(1.0e300),
            json!(""),
            json!("\0"),
            json!("10"),
            json!("9"),
            json!("Z"),
            json!("a"),
            json!("aa"),
            json!("\u{e4}"),
            json!("\u{1f389}"),
        ];
        for pair in ascending.windows(2) {
            assert!(key(Some(&pair[0])) < key(Some(&pair[1])), "{} < {}", pair[0], pair[1]);
        }
        assert_eq!(key(Some(&json!(1))), key(Some(&json!(1.0))));
        assert_eq!(key(Some(&json!(-0.0))), key(Some(&json!(0))));
        assert_eq!(key(None), ABSENT);
    }
}
