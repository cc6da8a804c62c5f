//! JSON text that a plugin wrote, read within bounds.
//!
//! A value takes much more memory than its text: an object of one field, eight bytes long, takes some seven hundred. So
//! a text is only read when it has few enough values; memory that reading takes is the host's, and no limit of the
//! plugin's counts it.

use serde_json::Value;

/// Most values that cross from a plugin in one crossing: a package of attributes has some hundreds.
pub(crate) const VALUES_MAX: usize = 100_000;

/// The value that `text` says, when it has at most `left` values within; takes them from `left`.
pub(crate) fn read(text: &str, left: &mut usize) -> Result<Value, String> {
    *left = left.checked_sub(values(text)).ok_or_else(too_many)?;
    serde_json::from_str(text).map_err(|why| why.to_string())
}

/// What a crossing with more than [`VALUES_MAX`] is told.
pub(crate) fn too_many() -> String {
    format!("has more than {VALUES_MAX} values")
}

/// At least as many values as `text` has: one, and one more for each thing that can only stand before another.
fn values(text: &str) -> usize {
    let (mut values, mut within_text, mut escaped) = (1, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if within_text => escaped = true,
            b'"' => within_text = !within_text,
            b',' | b'[' | b'{' if !within_text => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_counted_before_they_are_made() {
        let mut left = 7;
        let text = r#"{"a\",[{":[1,2],"b":{}}"#;
        assert_eq!(read(text, &mut left), Ok(json!({ "a\",[{": [1, 2], "b": {} })));
        assert_eq!(left, 1);
        assert_eq!(read("[1]", &mut left), Err(too_many()));
        assert_eq!((left, read("7", &mut left)), (1, Ok(json!(7))));
        assert!(read("nonsense", &mut 9).is_err());
    }
}
