//! What the demo tells a shop owner.

use std::fmt::Write as _;

use serde_json::Value;

/// Columns of the longest bar.
const BAR_COLUMNS: f64 = 40.0;

/// The demo's answer as a page of text with a small picture.
pub fn for_people(answer: &Value) -> String {
    let metrics = &answer["metrics"];
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, answer, metrics);
    page
}

fn write_page(page: &mut String, answer: &Value, metrics: &Value) -> std::fmt::Result {
    let clv = &metrics["clv"];
    writeln!(
        page,
        "\n  {} customers, {} orders\n",
        thousands(&answer["customers"]),
        thousands(&answer["interactions"])
    )?;

    writeln!(
        page,
        "  How many came back? {} of all customers ordered again.\n",
        percent(&metrics["repeat-rate"]["summary"]["value"])
    )?;
    if let Some(curve) = curve(&metrics["repeat-rate"]["summary"]["curve"]) {
        writeln!(page, "  share of customers who had come back after")?;
        let most = curve.iter().map(|(_, share)| *share).fold(0.0, f64::max);
        for (weeks, share) in &curve {
            writeln!(page, "    {weeks:>3} weeks  {} {:.1} %", bar(*share, most), share * 100.0)?;
        }
        writeln!(page)?;
    }

    writeln!(page, "  Who are they? Customers by recency, frequency and value of their orders:")?;
    let mut segments: Vec<(&String, f64)> = metrics["rfm"]["segments"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, count)| (name, count.as_f64().unwrap_or(0.0)))
        .collect();
    segments.sort_by(|left, right| right.1.total_cmp(&left.1));
    let most = segments.first().map_or(0.0, |(_, count)| *count);
    for (name, count) in &segments {
        writeln!(page, "    {name:<20} {} {count:.0}", bar(*count, most))?;
    }

    let value = &clv["summary"]["value"];
    writeln!(
        page,
        "\n  What are they worth over the next 39 weeks? (BG/NBD and Gamma-Gamma, fitted to these orders)"
    )?;
    writeln!(page, "    all together  {} dollars", dollars(&value["sum"]))?;
    writeln!(page, "    on average    {} dollars", dollars(&value["mean"]))?;
    writeln!(page, "    the best one  {} dollars", dollars(&value["max"]))?;
    writeln!(
        page,
        "    orders expected from all of them: {:.0}",
        clv["summary"]["expected_orders"]["sum"].as_f64().unwrap_or(0.0)
    )?;

    let outbox = &answer["outbox"];
    writeln!(
        page,
        "\n  What happened next? The script hook-welcome greeted customers whose value crossed its threshold:"
    )?;
    writeln!(
        page,
        "    {} messages delivered, {} held back because the customer had not consented",
        count(&outbox["delivered"]),
        count(&outbox["suppressed"])
    )?;

    let elapsed = &answer["elapsed_ms"];
    writeln!(
        page,
        "\n  import {} ms, metrics {} ms, delivery {} ms",
        elapsed["import"], elapsed["metrics"], elapsed["delivery"]
    )
}

/// How to go on after the demo's report.
pub fn invitation(address: &str, token: &str) -> String {
    format!(
        "\n  Serving on http://{address} until you press ctrl-c. The API is described at http://{address}/docs; a token for it:\n\n    \
         export TOKEN={token}\n    \
         curl -H \"Authorization: Bearer $TOKEN\" 'http://{address}/api/v1/customers?limit=3'\n    \
         curl -H \"Authorization: Bearer $TOKEN\" 'http://{address}/api/v1/outbox?state=delivered&limit=3'\n"
    )
}

/// Weeks and shares, from a list of `[weeks, share]` pairs or of objects, given as JSON or as JSON text.
fn curve(value: &Value) -> Option<Vec<(u64, f64)>> {
    let parsed: Value = match value {
        Value::String(text) => serde_json::from_str(text).ok()?,
        other => other.clone(),
    };
    let point = |point: &Value| match point {
        Value::Array(pair) => Some((pair.first()?.as_u64()?, pair.get(1)?.as_f64()?)),
        Value::Object(fields) => Some((fields.get("weeks")?.as_u64()?, fields.get("share")?.as_f64()?)),
        _ => None,
    };
    // Weeks that nobody has had the time for yet have no share.
    parsed.as_array().map(|points| points.iter().filter_map(point).collect())
}

fn bar(value: f64, most: f64) -> String {
    let eighths = if most > 0.0 { (value / most * BAR_COLUMNS * 8.0).round() as usize } else { 0 };
    let part =
        ["", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}"][eighths % 8];
    "\u{2588}".repeat(eighths / 8) + part
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn percent(share: &Value) -> String {
    share.as_f64().map_or_else(|| "an unknown share".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// Minor units as dollars with separators.
fn dollars(minor: &Value) -> String {
    let cents = minor.as_f64().unwrap_or(0.0).round();
    format!("{}.{:02}", thousands(&((cents / 100.0).trunc() as i64).into()), (cents % 100.0).abs() as u64)
}

fn thousands(value: &Value) -> String {
    let digits = value.as_i64().unwrap_or(0).to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(&json!(23570)), "23,570");
        assert_eq!(thousands(&json!(-123_456)), "-123,456");
        assert_eq!(dollars(&json!(123_456_789.4)), "1,234,567.89");
        assert_eq!(bar(1.0, 2.0).chars().count(), 20);
        assert_eq!(bar(0.0, 0.0), "");
    }

    #[test]
    fn curves_come_as_pairs_or_objects() {
        let expected = Some(vec![(4, 0.25)]);
        assert_eq!(curve(&json!("[[4, 0.25]]")), expected);
        assert_eq!(curve(&json!([{ "weeks": 4, "share": 0.25 }])), expected);
        assert_eq!(curve(&json!(null)), None);
    }
}
