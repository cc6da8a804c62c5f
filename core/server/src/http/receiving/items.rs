//! From a body to submissions, item by item.

use regard_engine::inbound::Submission;

use crate::http::body::{check_utf8, flaw, no_json, pointer_of};
use crate::http::problem::{Flaw, Problem};

/// What was handed in, each item read or refused.
pub struct Items {
    /// The items in order; what could not be read says where and why.
    pub read: Vec<Result<Submission, Flaw>>,
    /// Whether the caller sent one object rather than a list, so that its refusal refuses the call.
    pub single: bool,
}

/// Reads an object or an array. A good body is parsed once, straight into submissions; only when something is wrong
/// with it is it parsed again, item by item.
pub fn read_json(body: &[u8]) -> Result<Items, Problem> {
    check_utf8(body)?;
    let single = body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[');
    if single {
        if let Ok(submission) = serde_json::from_slice(body) {
            return Ok(Items { read: vec![Ok(submission)], single });
        }
        let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| no_json(&error))?;
        return Ok(Items { read: vec![read_value(value)], single });
    }
    if let Ok(submissions) = serde_json::from_slice::<Vec<Submission>>(body) {
        return Ok(Items { read: submissions.into_iter().map(Ok).collect(), single });
    }
    let values: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(|error| no_json(&error))?;
    Ok(Items { read: values.into_iter().map(read_value).collect(), single })
}

/// Reads one object per line; empty lines do not count.
pub fn read_lines(body: &[u8]) -> Items {
    let lines = body.split(|&byte| byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let read = lines.map(|(number, line)| {
        read_line(line)
            .map_err(|flaw| Flaw { detail: format!("line {}: {}", number + 1, flaw.detail), ..flaw })
    });
    Items { read: read.collect(), single: false }
}

fn read_line(line: &[u8]) -> Result<Submission, Flaw> {
    serde_json::from_slice(line).or_else(|error| match serde_json::from_slice(line) {
        Ok(value) => read_value(value),
        Err(_) => {
            // The line number of the parser counts within this line and would mislead.
            let why = error.to_string();
            let why = why.split(" at line ").next().unwrap_or_default();
            Err(Flaw {
                pointer: String::new(),
                detail: format!("no JSON: {why} at column {}", error.column()),
            })
        }
    })
}

fn read_value(value: serde_json::Value) -> Result<Submission, Flaw> {
    serde_path_to_error::deserialize(value).map_err(|error| flaw(pointer_of(error.path()), error.inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"{"channel":"shop","external_id":"1","kind":"order.placed","occurred_at":"1997-01-01"}"#;

    fn flaws(items: Items) -> Vec<Option<Flaw>> {
        items.read.into_iter().map(Result::err).collect()
    }

    #[test]
    fn a_broken_item_stands_alone() {
        let body = format!(r#"[{GOOD}, {{"channel": "shop", "kind": 3}}, 7, {GOOD}]"#);
        let found = flaws(read_json(body.as_bytes()).expect("a list"));
        assert_eq!(found.iter().map(Option::is_none).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(found[1].as_ref().map(|flaw| flaw.pointer.as_str()), Some("/kind"));
    }

    #[test]
    fn a_broken_line_stands_alone() {
        let body = format!("{GOOD}\n\n{{\"channel\": \n{GOOD}\r\n\u{ff}{GOOD}");
        let found = flaws(read_lines(body.as_bytes()));
        assert_eq!(found.iter().map(Option::is_none).collect::<Vec<_>>(), [true, false, true, false]);
        assert!(
            found[1].as_ref().is_some_and(|flaw| flaw.detail.starts_with("line 3: no JSON")),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_no_json_is_refused_as_a_whole() {
        for body in ["", "[", "{", "[1,]", "nonsense", "{} {}"] {
            assert!(read_json(body.as_bytes()).is_err(), "{body}");
        }
        let single = read_json(format!(" {GOOD} ").as_bytes()).expect("an object");
        assert!(single.single && single.read.len() == 1 && single.read[0].is_ok());
    }
}
