//! A record becomes a customer or an interaction, or a reason why not.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;

use anyhow::{Result, bail};
use regard_engine::inbound::Submission;
use regard_model::customer::NewCustomer;
use regard_model::{Attributes, CustomerKind, Identifier, Invalid, LifecycleStage, Money, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::lines::{Record, Records};
use super::map::{Cast, Delimiter, Header, Map, Shape, Target};
use super::template::{LINE, Template};
use super::{Format, Request};

/// A record and what it means.
#[derive(Debug)]
pub struct Row {
    /// The record.
    pub record: Record,
    /// What it means.
    pub value: RowValue,
}

/// What a row means.
#[derive(Debug, Clone, PartialEq)]
pub enum RowValue {
    /// A customer.
    Customer(Box<NewCustomer>),
    /// An interaction.
    Interaction(Box<Submission>),
}

/// Turns records into values.
pub struct Reader {
    shape: Shape,
    format: Format,
    map: Option<Map>,
    columns: HashMap<String, usize>,
    source: String,
}

/// A customer in the form of the HTTP API.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiCustomer {
    kind: CustomerKind,
    #[serde(default)]
    name: String,
    stage: Option<LifecycleStage>,
    #[serde(default)]
    tags: std::collections::BTreeSet<String>,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    identifiers: Vec<Identifier>,
    source: Option<String>,
}

impl Reader {
    /// A reader for `request`; takes the header off `records` when the file has one.
    pub fn new<R: Read>(request: &Request, records: &mut Records<R>) -> Result<Self> {
        let mut reader = Self {
            shape: request.shape,
            format: request.format,
            map: request.map.clone(),
            columns: HashMap::new(),
            source: request.source.clone(),
        };
        let Some(map) = &request.map else {
            if request.format == Format::Csv {
                bail!("a delimited file needs a column map: --map FILE (see regard import --help)");
            }
            return Ok(reader);
        };
        if request.format == Format::Jsonl {
            return Ok(reader);
        }
        let names = match &map.header {
            Header::Names(names) => names.clone(),
            Header::FirstLine => match records.next_record()? {
                // Some programs mark UTF-8 with three bytes at the start of the file.
                Some(Ok(record)) => reader
                    .split(record.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&record.bytes))
                    .map_err(|reason| anyhow::anyhow!("the header line cannot be read: {reason}"))?
                    .into_iter()
                    .map(|name| name.trim().to_owned())
                    .collect(),
                _ => bail!("the file is empty: a header line was expected"),
            },
        };
        for (at, name) in names.iter().enumerate() {
            if reader.columns.insert(name.clone(), at).is_some() {
                bail!("the column `{name}` stands twice in the header");
            }
        }
        for name in map.columns() {
            if !reader.columns.contains_key(name) && name != LINE {
                bail!("the map names a column `{name}` that the file has not; it has: {}", names.join(", "));
            }
        }
        Ok(reader)
    }

    /// What `record` means, or why it is refused.
    pub fn read(&self, record: &Record) -> Result<RowValue, String> {
        let Some(map) = &self.map else { return self.read_api(record) };
        let line = record.line;
        if self.format == Format::Jsonl {
            let object: serde_json::Map<String, Value> = json(&record.bytes)?;
            return self.fill(map, line, |name| match object.get(name) {
                Some(Value::String(text)) => Some(Cow::Borrowed(text.as_str())),
                None | Some(Value::Null) => None,
                Some(other) => Some(Cow::Owned(other.to_string())),
            });
        }
        let fields = self.split(&record.bytes)?;
        if fields.len() != self.columns.len() {
            return Err(format!("{} fields, {} were expected", fields.len(), self.columns.len()));
        }
        self.fill(map, line, |name| self.columns.get(name).map(|&at| Cow::Borrowed(fields[at].as_ref())))
    }

    /// A JSON line in the form of the HTTP API.
    fn read_api(&self, record: &Record) -> Result<RowValue, String> {
        match self.shape {
            Shape::Interactions => Ok(RowValue::Interaction(Box::new(json(&record.bytes)?))),
            Shape::Customers => {
                let raw: ApiCustomer = json(&record.bytes)?;
                Ok(RowValue::Customer(Box::new(NewCustomer {
                    kind: raw.kind,
                    name: raw.name,
                    stage: raw.stage.unwrap_or(LifecycleStage::Prospect),
                    tags: raw.tags,
                    attributes: raw.attributes,
                    identifiers: raw.identifiers,
                    source: raw.source.unwrap_or_else(|| self.source.clone()),
                })))
            }
        }
    }

    /// The fields of a delimited record.
    fn split<'a>(&self, bytes: &'a [u8]) -> Result<Vec<Cow<'a, str>>, String> {
        let text = std::str::from_utf8(bytes)
            .map_err(|why| format!("invalid UTF-8 after byte {}", why.valid_up_to()))?;
        let delimiter = self.map.as_ref().map_or(Delimiter::Byte(b','), |map| map.delimiter);
        match delimiter {
            Delimiter::Whitespace => Ok(text.split_whitespace().map(Cow::Borrowed).collect()),
            Delimiter::Byte(byte) if !text.contains('"') => {
                Ok(text.split(char::from(byte)).map(Cow::Borrowed).collect())
            }
            Delimiter::Byte(byte) => {
                let mut reader = csv::ReaderBuilder::new()
                    .delimiter(byte)
                    .has_headers(false)
                    .flexible(true)
                    .from_reader(text.as_bytes());
                let mut fields = csv::StringRecord::new();
                reader.read_record(&mut fields).map_err(|why| why.to_string())?;
                Ok(fields.iter().map(|field| Cow::Owned(field.to_owned())).collect())
            }
        }
    }

    fn fill<'a>(
        &self,
        map: &Map,
        line: u64,
        column: impl Fn(&str) -> Option<Cow<'a, str>>,
    ) -> Result<RowValue, String> {
        let value =
            |name: &str| column(name).or_else(|| (name == LINE).then(|| Cow::Owned(line.to_string())));
        let text = |template: &Template| template.fill(value);
        let mut identifiers = Vec::with_capacity(map.identifiers.len());
        for (scheme, template) in &map.identifiers {
            if let Some(value) = text(template) {
                identifiers.push(
                    Identifier::new(scheme, &value).map_err(|why| format!("identifier {scheme}: {why}"))?,
                );
            }
        }
        let mut attributes = Attributes::new();
        for (name, template, cast) in &map.attributes {
            if let Some(value) = text(template) {
                let value = cast_value(&value, cast).map_err(|why| format!("attribute {name}: {why}"))?;
                attributes.set(name.as_str(), value);
            }
        }
        match &map.target {
            Target::Customer { kind, name, stage } => {
                let stage = match stage.as_ref().and_then(text) {
                    Some(stage) => stage.parse().map_err(|why: Invalid| why.to_string())?,
                    None => LifecycleStage::Prospect,
                };
                let customer = NewCustomer {
                    kind: *kind,
                    name: name.as_ref().and_then(text).map(Cow::into_owned).unwrap_or_default(),
                    stage,
                    tags: Default::default(),
                    attributes,
                    identifiers,
                    source: self.source.clone(),
                };
                if customer.identifiers.is_empty() {
                    return Err(
                        "no identifier: without one the row would be stored again at every import".into()
                    );
                }
                Ok(RowValue::Customer(Box::new(customer.checked().map_err(|why| why.to_string())?)))
            }
            Target::Interaction { kind, channel, external_id, occurred_at, amount, thread } => {
                let missing = |what: &str| format!("{what} is empty");
                let external_id = match external_id {
                    Some(template) => text(template).ok_or_else(|| missing("external_id"))?.into_owned(),
                    None => format!("{}:{line}", self.source),
                };
                let at = text(&occurred_at.0).ok_or_else(|| missing("occurred_at"))?;
                let amount = match amount {
                    Some((template, currency)) => match text(template) {
                        Some(amount) => {
                            Some(Money::parse_major(&amount, *currency).map_err(|why| why.to_string())?)
                        }
                        None => None,
                    },
                    None => None,
                };
                Ok(RowValue::Interaction(Box::new(Submission {
                    channel: text(channel).ok_or_else(|| missing("channel"))?.into_owned(),
                    external_id,
                    customer_id: None,
                    identifier: None,
                    identifiers,
                    customer_name: None,
                    kind: kind.clone(),
                    occurred_at: instant(&at, &occurred_at.1).map_err(|why| format!("occurred_at: {why}"))?,
                    thread: thread.as_ref().and_then(text).map(Cow::into_owned),
                    amount,
                    attributes,
                    provenance: None,
                    causation_id: None,
                })))
            }
        }
    }
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|why| why.to_string())
}

fn instant(text: &str, cast: &Cast) -> Result<Timestamp, Invalid> {
    match cast {
        Cast::Date(Some(format)) => Timestamp::parse_with(text, format),
        _ => text.parse(),
    }
}

fn cast_value(text: &str, cast: &Cast) -> Result<Value, String> {
    let wrong = |what: &str| format!("`{}` is no {what}", text.escape_debug());
    Ok(match cast {
        Cast::Text => text.into(),
        Cast::Integer => text.parse::<i64>().map_err(|_| wrong("whole number"))?.into(),
        Cast::Number => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| wrong("number"))?.into()
        }
        Cast::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => true.into(),
            "false" | "no" | "0" => false.into(),
            _ => return Err(wrong("boolean: write true or false, yes or no, 1 or 0")),
        },
        Cast::Date(_) => {
            let at = instant(text, cast).map_err(|why| why.to_string())?;
            let written = at.to_string();
            // A calendar day stays a calendar day.
            if at == at.start_of_day() { written[..10].into() } else { written.into() }
        }
    })
}
