//! The whole evaluator: published estimates, and agreement of every way in which rows can come.

use std::collections::HashMap;

use super::*;
use proptest::prelude::*;
use regard_sdk::days::DAY_MS;

/// 1997-10-01T00:00Z: the published estimates count up to the day before.
const CALIBRATION_END_MS: i64 = 875_664_000_000;

/// Customer, day and amount in cents.
type Order = (u32, i64, i64);

fn batch(orders: &[Order]) -> (Vec<u32>, Batch) {
    let rows = BatchBuilder::new(orders.len())
        .timestamp_ms(kpi::OCCURRED_AT, orders.iter().map(|order| order.1 * DAY_MS).collect())
        .int64(kpi::AMOUNT, orders.iter().map(|order| order.2).collect())
        .finish()
        .expect("batch");
    (orders.iter().map(|order| order.0).collect(), rows)
}

fn clv(orders: &[Order]) -> Clv {
    let mut clv = ClvEvaluator::open(METRIC, "{}").expect("open");
    let (groups, rows) = batch(orders);
    let customers = orders.iter().map(|order| order.0 + 1).max().unwrap_or(0);
    clv.update(&groups, customers, &rows).expect("update");
    clv
}

/// Days since 1970 of a date written as 19970930 (Howard Hinnant's `days_from_civil`).
fn day(date: &str) -> i64 {
    let date: i64 = date.parse().expect("date");
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn cdnow(file: &str, first_column: usize) -> Vec<Order> {
    let path = format!("{}/../../examples/quickstart/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("quickstart data");
    let mut customers = HashMap::new();
    let order = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let date = columns[first_column + 1];
        if !date.starts_with("199") {
            return None;
        }
        let next = customers.len() as u32;
        let customer = *customers.entry(columns[first_column].to_owned()).or_insert(next);
        let dollars: f64 = columns[first_column + 3].parse().expect("dollars");
        Some((customer, day(date), (dollars * 100.0).round() as i64))
    };
    text.lines().filter(|line| !line.trim().is_empty()).filter_map(order).collect()
}

fn check(name: &str, found: f64, published: f64) {
    assert!(
        (found - published).abs() <= 0.005 * published.abs(),
        "{name} is {found}, published is {published}"
    );
}

#[test]
fn the_published_estimates_come_out() {
    let mut clv = clv(&cdnow("cdnow_sample.txt", 1));
    let result = clv.finish(CALIBRATION_END_MS).expect("finish");
    let fitted = clv.fitted.clone().expect("model");
    assert_eq!((fitted.customers, result.rows), (2357, 2357));
    // Fader, Hardie and Lee (2005), table 2.
    check("r", fitted.r, 0.243);
    check("alpha", fitted.alpha, 4.414);
    check("a", fitted.a, 0.793);
    check("b", fitted.b, 2.426);
    check("log-likelihood", fitted.log_likelihood, -9582.4);
    // Fader and Hardie (2013), section 4.
    assert_eq!(fitted.repeat_customers, 946);
    check("p", fitted.p, 6.25);
    check("q", fitted.q, 3.74);
    check("v", fitted.v, 15.44);
    let model: serde_json::Value =
        serde_json::from_str(&clv.model().expect("model").expect("fitted")).expect("JSON");
    assert_eq!(model["customers"], 2357);
}

#[test]
fn every_value_is_a_number() {
    let mut clv = clv(&cdnow("cdnow_master.txt", 0));
    let result = clv.finish(day("19980701") * DAY_MS).expect("finish");
    assert_eq!(result.rows, 23_570);
    for name in ["value", "expected_orders", "probability_active", "expected_order_value"] {
        let values = result.float64(name).expect("column").values;
        assert!(values.iter().all(|value| value.is_finite() && *value >= 0.0), "{name}");
    }
    let active = result.float64("probability_active").expect("column").values;
    assert!(active.iter().all(|value| *value <= 1.0));
}

#[test]
fn wrong_input_is_refused() {
    let message = |parameters: &str| ClvEvaluator::open(METRIC, parameters).expect_err("refused").message;
    assert_eq!(ClvEvaluator::open("rfm", "{}").expect_err("unknown metric").code, "not-found");
    assert!(message(r#"{"horizon":1}"#).contains("unknown field `horizon`"));
    assert!(message(r#"{"horizon_weeks":0}"#).contains("out of range"));
    let error = clv(&[(0, 1, 100), (0, 9, 100)]).finish(20 * DAY_MS).expect_err("one customer");
    assert_eq!(error.code, "invalid");
}

#[test]
fn nobody_is_fine() {
    let mut clv = clv(&[(2, 50, 100)]);
    let result = clv.finish(50 * DAY_MS).expect("nobody has bought yet");
    assert_eq!((result.rows, result.float64("value").expect("value").get(2)), (3, None));
    assert_eq!(clv.model(), Ok(None));
}

/// Customers who all buy at one rate, never stop and spend alike: the models' variances run towards zero,
/// which must end at the bounds of the fit with sensible values.
#[test]
fn customers_without_differences_are_no_trap() {
    for (gap, spread) in [(7, 5), (30, 7)] {
        let order =
            |n: u32, k: i64| (n, i64::from(n % spread) + gap * k, 1000 + 37 * ((i64::from(n) + 7 * k) % 11));
        let orders: Vec<Order> = (0..200_u32).flat_map(|n| (0..20).map(move |k| order(n, k))).collect();
        let mut clv = clv(&orders);
        let result = clv.finish((20 * gap + 5) * DAY_MS).expect("finish");
        let of = |name: &str| result.float64(name).expect("column").values[7];
        assert!((of("expected_order_value") - 1185.0).abs() < 15.0, "{}", of("expected_order_value"));
        let usual = 39.0 * 7.0 / gap as f64;
        assert!((of("expected_orders") / usual - 1.0).abs() < 0.1, "{} of {usual}", of("expected_orders"));
        assert!(of("probability_active") > 0.99);
        let fitted = clv.fitted.expect("fitted");
        assert!(fitted.on_bound.contains(&"q"), "{:?}", fitted.on_bound);
    }
}

/// Amounts and times by chance alone, the same for all customers.
#[test]
fn customers_of_pure_chance_are_no_trap() {
    let mut seed = 88_172_645_463_325_252_u64;
    let mut chance = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let orders: Vec<Order> =
        (0..20_000).map(|_| (chance(2_000) as u32, chance(694) as i64, chance(10_000) as i64 + 1)).collect();
    let mut clv = clv(&orders);
    let result = clv.finish(694 * DAY_MS).expect("finish");
    assert!(result.float64("value").expect("value").values.iter().all(|value| value.is_finite()));
    let fitted = clv.fitted.expect("fitted");
    let mean = 100.0 * fitted.p * fitted.v / (fitted.q - 1.0);
    assert!((mean / 5_000.0 - 1.0).abs() < 0.05, "{mean}, {fitted:?}");
}

/// Enough customers with enough repeats for a fit, plus whatever chance adds.
fn orders_strategy() -> impl Strategy<Value = Vec<Order>> {
    let base: Vec<Order> = (0..15_u32)
        .flat_map(|n| {
            (0..=n % 4 + 1).map(move |k| (n, i64::from(3 * n + 11 * k), i64::from(500 + 137 * n + 60 * k)))
        })
        .collect();
    prop::collection::vec((0..20_u32, 0..200_i64, 0..9000_i64), 0..80)
        .prop_map(move |more| [&base[..], &more].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_way_in_agrees(orders in orders_strategy(), cut in any::<prop::sample::Index>()) {
        let whole = clv(&orders).finish(200 * DAY_MS);
        if let Ok(batch) = &whole {
            prop_assert!(batch.float64("value").expect("value").values.iter().all(|value| value.is_finite()));
        }
        let mut turned = orders.clone();
        turned.reverse();
        prop_assert_eq!(&clv(&turned).finish(200 * DAY_MS), &whole);
        prop_assert_eq!(clv(&turned).state(), clv(&orders).state());

        let (left, right) = orders.split_at(cut.index(orders.len() + 1));
        let mut batches = clv(left);
        let (groups, rows) = batch(right);
        batches.update(&groups, 20, &rows).expect("second batch");
        let mut merged = clv(right);
        let mut other = clv(left);
        let remap: Vec<u32> = (0..other.purchases.histories(0).len() as u32).collect();
        merged.merge(&other.state().expect("state"), &remap).expect("merge");
        for (name, one) in [("batches", &mut batches), ("merged", &mut merged)] {
            // A part may know of fewer customers; their rows are null in the end.
            match (one.finish(200 * DAY_MS), &whole) {
                (Ok(found), Ok(whole)) => {
                    let found = found.float64("value").expect("value");
                    let whole = whole.float64("value").expect("value");
                    for row in 0..20 {
                        prop_assert_eq!(found.get(row), whole.get(row), "{} row {}", name, row);
                    }
                }
                (found, whole) => prop_assert_eq!(found.is_err(), whole.is_err()),
            }
        }
    }

    #[test]
    fn merging_is_associative(a in orders_strategy(), b in orders_strategy(), c in orders_strategy()) {
        let join = |left: &mut Clv, right: &mut Clv| {
            let remap: Vec<u32> = (0..right.purchases.histories(0).len() as u32).collect();
            left.merge(&right.state().expect("state"), &remap).expect("merge");
        };
        let (mut left, mut first) = (clv(&a), clv(&a));
        join(&mut left, &mut clv(&b));
        join(&mut left, &mut clv(&c));
        let mut right = clv(&b);
        join(&mut right, &mut clv(&c));
        join(&mut first, &mut right);
        prop_assert_eq!(left.state(), first.state());
    }

    #[test]
    fn states_of_any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let state = [&b"clv\x01"[..], &bytes].concat();
        let _ = Clv::default().merge(&state, &[0, 1, 2]);
    }
}
