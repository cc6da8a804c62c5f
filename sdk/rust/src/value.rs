//! Values of attributes from what Rust has.

use crate::Value;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<serde_json::Value> for Value {
    /// Lists and objects stay JSON, and so does a number that neither fits 64 bits nor has a fraction.
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Boolean(truth),
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Self::Integer(integer),
                (None, Some(float)) => Self::Number(float),
                (None, None) => Self::Json(number.to_string()),
            },
            nested => Self::Json(nested.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_keeps_its_kinds() {
        for (json, value) in [
            (json!(null), Value::Null),
            (json!(true), Value::Boolean(true)),
            (json!(3), Value::Integer(3)),
            (json!(0.5), Value::Number(0.5)),
            (json!("x"), Value::Text("x".into())),
            (json!(["x"]), Value::Json(r#"["x"]"#.into())),
        ] {
            assert_eq!(Value::from(json), value);
        }
    }
}
