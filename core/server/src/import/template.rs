//! Texts with `{column}` in them.

use std::borrow::Cow;

use anyhow::{Result, bail};

/// Stands for the row's line number, where no column has that name: for files whose rows have no key of their own.
pub const LINE: &str = "line";

/// A text with places for columns; `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    plain.push(c);
                }
                '{' => {
                    let name: String = rest.by_ref().take_while(|&c| c != '}').collect();
                    if name.trim().is_empty() || text.matches('{').count() > text.matches('}').count() {
                        bail!("`{text}`: a column is written {{name}}; a brace itself is written twice");
                    }
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Column(name.trim().to_owned()));
                }
                '}' => bail!(
                    "`{text}`: a closing brace without an opening one; write it twice to mean the character"
                ),
                _ => plain.push(c),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The columns it names.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text itself when it names no column.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with the columns filled in and trimmed; `None` when all of its columns are empty, because a name made of
    /// nothing but the text around it says nothing.
    pub fn fill<'a>(&self, value: impl Fn(&str) -> Option<Cow<'a, str>>) -> Option<Cow<'a, str>> {
        // Most templates are one column and nothing else: no copy is needed then.
        if let [Part::Column(name)] = self.parts.as_slice() {
            return value(name).map(trim).filter(|text| !text.is_empty());
        }
        let mut filled = String::new();
        let mut any = self.literal().is_some();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Column(name) => {
                    if let Some(text) = value(name).map(trim).filter(|text| !text.is_empty()) {
                        any = true;
                        filled.push_str(&text);
                    }
                }
            }
        }
        let filled = filled.trim();
        (any && !filled.is_empty()).then(|| Cow::Owned(filled.to_owned()))
    }
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str) -> Option<String> {
        let columns = |name: &str| match name {
            "first" => Some(Cow::Borrowed(" Ada ")),
            "last" => Some(Cow::Borrowed("Lovelace")),
            "none" => Some(Cow::Borrowed(" ")),
            _ => None,
        };
        Template::parse(template).expect("a template").fill(columns).map(Cow::into_owned)
    }

    #[test]
    fn columns_are_trimmed_and_empty_ones_left_out() {
        assert_eq!(fill("{first} {last}").as_deref(), Some("Ada Lovelace"));
        assert_eq!(fill("{first} {none}").as_deref(), Some("Ada"));
        assert_eq!(fill("{none}"), None);
        assert_eq!(fill("Mr {none}"), None);
        assert_eq!(fill("shop").as_deref(), Some("shop"));
        assert_eq!(fill("{{{last}}}").as_deref(), Some("{Lovelace}"));
    }

    #[test]
    fn broken_ones_are_refused() {
        for text in ["{", "{}", "{a", "a}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
