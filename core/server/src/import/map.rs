//! The column map: which column of a file becomes what.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use regard_model::{Currency, CustomerKind, Kind};
use serde::Deserialize;

use super::template::Template;

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Customers.
    Customers,
    /// Interactions.
    Interactions,
}

/// What stands between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// This byte; fields may be quoted.
    Byte(u8),
    /// Any run of spaces and tabs; nothing is quoted.
    Whitespace,
}

/// Where column names come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// The first line of the file.
    FirstLine,
    /// The map.
    Names(Vec<String>),
}

/// How a text becomes a typed value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cast {
    /// As it is.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true`, `yes`, `1` or `false`, `no`, `0`.
    Boolean,
    /// A calendar day or an instant in this `strftime` format; RFC 3339 when there is none.
    Date(Option<String>),
}

/// A map that was read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// What stands between two fields.
    pub delimiter: Delimiter,
    /// Where column names come from.
    pub header: Header,
    /// Schemes and values.
    pub identifiers: Vec<(String, Template)>,
    /// Names and values.
    pub attributes: Vec<(String, Template, Cast)>,
    /// What differs between the two shapes.
    pub target: Target,
}

/// What a row becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A customer.
    Customer {
        /// Person or organisation.
        kind: CustomerKind,
        /// Name.
        name: Option<Template>,
        /// Lifecycle stage.
        stage: Option<Template>,
    },
    /// An interaction.
    Interaction {
        /// What happened.
        kind: Kind,
        /// Name of the channel.
        channel: Template,
        /// The source's own name for it; the line number stands in when the file has none.
        external_id: Option<Template>,
        /// When, and in which format.
        occurred_at: (Template, Cast),
        /// Value that changed hands, in major units.
        amount: Option<(Template, Currency)>,
        /// Conversation.
        thread: Option<Template>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    delimiter: Option<String>,
    header: Option<RawHeader>,
    kind: Option<String>,
    name: Option<String>,
    stage: Option<String>,
    channel: Option<String>,
    external_id: Option<String>,
    occurred_at: Option<RawValue>,
    amount: Option<RawAmount>,
    thread: Option<String>,
    #[serde(default)]
    identifiers: BTreeMap<String, String>,
    #[serde(default)]
    attributes: BTreeMap<String, RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawHeader {
    FirstLine(bool),
    Names(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawValue {
    Plain(String),
    Typed(RawTyped),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTyped {
    value: String,
    r#type: Option<String>,
    format: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAmount {
    value: String,
    currency: String,
}

impl Map {
    /// Reads a map file for rows of `shape`.
    pub fn read(path: &Path, shape: Shape) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the map {}", path.display()))?;
        Self::parse(&text, shape).with_context(|| format!("the map {} is wrong", path.display()))
    }

    /// Reads a map in TOML.
    pub fn parse(text: &str, shape: Shape) -> Result<Self> {
        let raw: Raw = toml::from_str(text)?;
        let optional = |key: &str, text: &Option<String>| {
            text.as_deref().map(|text| Template::parse(text).with_context(|| format!("`{key}`"))).transpose()
        };
        let foreign = match shape {
            Shape::Customers => [
                ("channel", raw.channel.is_some()),
                ("external_id", raw.external_id.is_some()),
                ("occurred_at", raw.occurred_at.is_some()),
                ("amount", raw.amount.is_some()),
                ("thread", raw.thread.is_some()),
            ]
            .to_vec(),
            Shape::Interactions => [("name", raw.name.is_some()), ("stage", raw.stage.is_some())].to_vec(),
        };
        if let Some((key, _)) = foreign.iter().find(|(_, given)| *given) {
            bail!("`{key}` does not belong into a map for {shape:?}");
        }
        let target = match shape {
            Shape::Customers => Target::Customer {
                kind: raw.kind.as_deref().unwrap_or("person").parse()?,
                name: optional("name", &raw.name)?,
                stage: optional("stage", &raw.stage)?,
            },
            Shape::Interactions => {
                let needed = |key: &str| anyhow!("`{key}` is missing: interactions need it");
                let (occurred_at, cast) =
                    typed(raw.occurred_at.ok_or_else(|| needed("occurred_at"))?, Some("date"))
                        .context("`occurred_at`")?;
                Target::Interaction {
                    kind: raw.kind.ok_or_else(|| needed("kind"))?.parse()?,
                    channel: Template::parse(&raw.channel.ok_or_else(|| needed("channel"))?)
                        .context("`channel`")?,
                    external_id: optional("external_id", &raw.external_id)?,
                    occurred_at: (occurred_at, cast),
                    amount: raw
                        .amount
                        .map(|amount| anyhow::Ok((Template::parse(&amount.value)?, amount.currency.parse()?)))
                        .transpose()
                        .context("`amount`")?,
                    thread: optional("thread", &raw.thread)?,
                }
            }
        };
        let identifiers = raw
            .identifiers
            .into_iter()
            .map(|(scheme, text)| {
                let template = Template::parse(&text).with_context(|| format!("identifier `{scheme}`"))?;
                anyhow::Ok((scheme, template))
            })
            .collect::<Result<Vec<_>>>()?;
        let attributes = raw
            .attributes
            .into_iter()
            .map(|(name, value)| {
                let (template, cast) = typed(value, None).with_context(|| format!("attribute `{name}`"))?;
                anyhow::Ok((name, template, cast))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            delimiter: delimiter(raw.delimiter.as_deref())?,
            header: match raw.header {
                None | Some(RawHeader::FirstLine(true)) => Header::FirstLine,
                Some(RawHeader::Names(names)) => Header::Names(names),
                Some(RawHeader::FirstLine(false)) => {
                    bail!(
                        "`header` is true for a first line with names, or the list of names: header = [\"a\", \"b\"]"
                    )
                }
            },
            identifiers,
            attributes,
            target,
        })
    }

    /// Every column that a template names.
    pub fn columns(&self) -> Vec<&str> {
        let mut templates: Vec<&Template> = self.identifiers.iter().map(|(_, template)| template).collect();
        templates.extend(self.attributes.iter().map(|(_, template, _)| template));
        match &self.target {
            Target::Customer { name, stage, .. } => templates.extend(name.iter().chain(stage)),
            Target::Interaction { channel, external_id, occurred_at, amount, thread, .. } => {
                templates.extend([channel, &occurred_at.0]);
                templates.extend(external_id.iter().chain(thread));
                templates.extend(amount.iter().map(|(template, _)| template));
            }
        }
        templates.iter().flat_map(|template| template.columns()).collect()
    }
}

fn delimiter(text: Option<&str>) -> Result<Delimiter> {
    match text {
        None => Ok(Delimiter::Byte(b',')),
        Some("whitespace") => Ok(Delimiter::Whitespace),
        Some("tab") => Ok(Delimiter::Byte(b'\t')),
        Some(text) => match text.as_bytes() {
            &[byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(Delimiter::Byte(byte)),
            _ => bail!("`delimiter` is one ASCII character, \"tab\" or \"whitespace\", not {text:?}"),
        },
    }
}

fn typed(raw: RawValue, default: Option<&str>) -> Result<(Template, Cast)> {
    let (text, named, format) = match raw {
        RawValue::Plain(text) => (text, None, None),
        RawValue::Typed(typed) => (typed.value, typed.r#type, typed.format),
    };
    let cast = match (named.as_deref().or(default), format) {
        (Some("date"), format) => Cast::Date(format),
        (_, Some(_)) => bail!("`format` goes with type = \"date\""),
        (None | Some("text"), None) => Cast::Text,
        (Some("integer"), None) => Cast::Integer,
        (Some("number"), None) => Cast::Number,
        (Some("boolean"), None) => Cast::Boolean,
        (Some(other), None) => bail!("type {other:?} is none of text, integer, number, boolean, date"),
    };
    Ok((Template::parse(&text)?, cast))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = r#"
        delimiter = "whitespace"
        header = ["customer", "date", "cds", "dollars"]
        kind = "order.placed"
        channel = "shop"
        occurred_at = { value = "{date}", format = "%Y%m%d" }
        amount = { value = "{dollars}", currency = "USD" }
        [identifiers]
        "external:cdnow" = "{customer}"
        [attributes]
        cds = { value = "{cds}", type = "integer" }
    "#;

    #[test]
    fn reads_a_map() {
        let map = Map::parse(ORDERS, Shape::Interactions).expect("a map");
        assert_eq!(map.delimiter, Delimiter::Whitespace);
        let mut columns = map.columns();
        columns.sort_unstable();
        assert_eq!(columns, ["cds", "customer", "date", "dollars"]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (change, says) in [
            (("kind = \"order.placed\"", ""), "`kind` is missing"),
            (("USD", "usd"), "ISO 4217"),
            (("\"whitespace\"", "\"::\""), "one ASCII character"),
            (("type = \"integer\"", "type = \"int\""), "none of text, integer"),
            (("{customer}", "{customer"), "identifier `external:cdnow`"),
            (("channel =", "chanel ="), "unknown field `chanel`"),
        ] {
            let error = Map::parse(&ORDERS.replace(change.0, change.1), Shape::Interactions).expect_err(says);
            assert!(format!("{error:#}").contains(says), "{error:#}");
        }
        assert!(Map::parse(ORDERS, Shape::Customers).is_err());
    }
}
