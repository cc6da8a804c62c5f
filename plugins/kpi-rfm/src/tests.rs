//! The whole evaluator: golden values, and agreement of every way in which rows can come.

use super::*;
use proptest::prelude::*;
use regard_sdk::days::DAY_MS;

/// Customer, day and amount of an order; no amount when `None`.
type Order = (u32, i64, Option<i64>);

const CUSTOMERS: u32 = 12;
const AS_OF_DAY: i64 = 400;

fn batch(orders: &[Order]) -> (Vec<u32>, Batch) {
    let rows = BatchBuilder::new(orders.len())
        .timestamp_ms(kpi::OCCURRED_AT, orders.iter().map(|order| order.1 * DAY_MS + 7).collect())
        .int64(kpi::AMOUNT, orders.iter().map(|order| order.2.unwrap_or(i64::MAX)).collect())
        .nulls(|row| orders[row].2.is_none())
        .finish()
        .expect("batch");
    (orders.iter().map(|order| order.0).collect(), rows)
}

fn rfm(orders: &[Order]) -> Rfm {
    let mut rfm = RfmEvaluator::open(METRIC, "{}").expect("open");
    let (groups, rows) = batch(orders);
    rfm.update(&groups, CUSTOMERS, &rows).expect("update");
    rfm
}

#[test]
fn five_customers_get_five_scores() {
    // Customer n buys on n days, the last of them n days into the year, for n dollars each.
    let orders: Vec<Order> = (1..=5_u32)
        .flat_map(|n| (0..n).map(move |k| (n, (10 * n + k).into(), Some(100 * i64::from(n)))))
        .collect();
    let result = rfm(&orders).finish(60 * DAY_MS).expect("finish");
    let value = result.float64("value").expect("value");
    assert_eq!(value.get(0), None, "customer 0 never bought");
    assert_eq!([1, 2, 3, 4, 5].map(|n| value.get(n)), [111.0, 222.0, 333.0, 444.0, 555.0].map(Some));
    assert_eq!(result.int64("recency_days").expect("recency").get(5), Some(5));
    assert_eq!(result.int64("frequency").expect("frequency").get(5), Some(5));
    assert_eq!(result.float64("monetary").expect("monetary").get(5), Some(2500.0));
    let segment = result.dictionary("segment").expect("segment");
    assert_eq!(
        [0, 1, 3, 5].map(|n| segment.get(n)),
        [None, Some("hibernating"), Some("needs-attention"), Some("champions")]
    );
}

#[test]
fn the_mean_divides_by_order_days() {
    let mut rfm = RfmEvaluator::open(METRIC, r#"{"monetary":"mean"}"#).expect("open");
    let (groups, rows) = batch(&[(0, 1, Some(100)), (0, 1, Some(50)), (0, 2, None)]);
    rfm.update(&groups, 1, &rows).expect("update");
    assert_eq!(
        rfm.finish(3 * DAY_MS).expect("finish").float64("monetary").expect("monetary").get(0),
        Some(75.0)
    );
}

#[test]
fn wrong_input_is_refused() {
    assert_eq!(RfmEvaluator::open("clv", "{}").expect_err("unknown metric").code, "not-found");
    assert_eq!(RfmEvaluator::open(METRIC, r#"{"x":1}"#).expect_err("unknown parameter").code, "invalid");
    let error = rfm(&[(0, 5, Some(1))]).finish(5 * DAY_MS).expect_err("an order after the window");
    assert_eq!(error.message, "orders lie past the end of the window, the last one 1 day(s)");
}

#[test]
fn nobody_is_fine() {
    let result = RfmEvaluator::open(METRIC, "{}").expect("open").finish(0).expect("finish");
    assert_eq!(result.rows, 0);
}

fn orders_strategy() -> impl Strategy<Value = Vec<Order>> {
    prop::collection::vec((0..CUSTOMERS, 0..AS_OF_DAY, prop::option::of(-500..5000_i64)), 0..120)
}

proptest! {
    #[test]
    fn every_way_in_agrees(
        orders in orders_strategy(),
        seed in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = rfm(&orders).finish(AS_OF_DAY * DAY_MS).expect("finish");
        let state = rfm(&orders).state().expect("state");

        // Another order of the rows.
        let mut turned = orders.clone();
        turned.rotate_left(if orders.is_empty() { 0 } else { seed.index(orders.len()) });
        turned.reverse();
        prop_assert_eq!(&rfm(&turned).finish(AS_OF_DAY * DAY_MS).expect("finish"), &whole);
        prop_assert_eq!(&rfm(&turned).state().expect("state"), &state);

        // Two batches, and two accumulators merged either way round.
        let (left, right) = orders.split_at(cut.index(orders.len() + 1));
        let mut batches = rfm(left);
        let (groups, rows) = batch(right);
        batches.update(&groups, CUSTOMERS, &rows).expect("second batch");
        prop_assert_eq!(&batches.finish(AS_OF_DAY * DAY_MS).expect("finish"), &whole);

        let identity: Vec<u32> = (0..CUSTOMERS).collect();
        for (first, second) in [(left, right), (right, left)] {
            let mut merged = rfm(first);
            merged.merge(&rfm(second).state().expect("state"), &identity).expect("merge");
            prop_assert_eq!(&merged.state().expect("state"), &state);
            prop_assert_eq!(&merged.finish(AS_OF_DAY * DAY_MS).expect("finish"), &whole);
        }
    }

    #[test]
    fn merging_is_associative(a in orders_strategy(), b in orders_strategy(), c in orders_strategy()) {
        let identity: Vec<u32> = (0..CUSTOMERS).collect();
        let join = |left: &mut Rfm, right: &mut Rfm| {
            left.merge(&right.state().expect("state"), &identity).expect("merge");
        };
        let (mut left, mut middle) = (rfm(&a), rfm(&b));
        join(&mut left, &mut middle);
        join(&mut left, &mut rfm(&c));
        let (mut right, mut first) = (rfm(&b), rfm(&a));
        join(&mut right, &mut rfm(&c));
        join(&mut first, &mut right);
        prop_assert_eq!(left.state().expect("state"), first.state().expect("state"));
    }

    #[test]
    fn a_remap_renames_customers(orders in orders_strategy()) {
        let reversed: Vec<u32> = (0..CUSTOMERS).rev().collect();
        let mut renamed = Rfm::default();
        renamed.merge(&rfm(&orders).state().expect("state"), &reversed).expect("merge");
        let direct: Vec<Order> =
            orders.iter().map(|order| (CUSTOMERS - 1 - order.0, order.1, order.2)).collect();
        prop_assert_eq!(renamed.state().expect("state"), rfm(&direct).state().expect("state"));
    }
}
