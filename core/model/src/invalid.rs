//! What is wrong with a value from outside.

use std::fmt;

/// Names the field, what is wrong with it and, where it helps, how to mend it.
///
/// `field` is a path such as `amount.currency`; empty for the value as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// Path of the field, dots between the names.
    pub field: String,
    /// What is wrong, lower-case, without a full stop.
    pub reason: String,
}

impl Invalid {
    /// The value at `field` is refused for `reason`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// The same complaint seen from one level further out.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = if self.field.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.field) };
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.field, self.reason)
        }
    }
}

/// Refuses text that is empty, longer than `max_bytes` or carries control characters.
///
/// Control characters have no place in a name or a key and break logs and terminals; multi-line text belongs in
/// an attribute.
pub fn check_text(field: &str, text: &str, max_bytes: usize) -> Result<(), Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::new(field, "must not be empty"));
    }
    if text.len() > max_bytes {
        return Err(Invalid::new(
            field,
            format!("is {} bytes long, at most {max_bytes} are allowed", text.len()),
        ));
    }
    if let Some(at) = text.find(char::is_control) {
        return Err(Invalid::new(field, format!("has a control character at byte {at}")));
    }
    Ok(())
}

/// Refuses a name that is no slug: lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
pub fn check_slug(field: &str, text: &str, max_bytes: usize) -> Result<(), Invalid> {
    check_text(field, text, max_bytes)?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if !text.chars().all(allowed) || text.starts_with(['-', '_', '.']) {
        return Err(Invalid::new(
            field,
            format!(
                "`{text}` is no name: use lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
            ),
        ));
    }
    Ok(())
}
