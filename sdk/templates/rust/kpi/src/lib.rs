//! How many orders each customer has placed. Adding up does not depend on order, so parts may be merged in any way.

use regard_sdk::columns::check_groups;
use regard_sdk::kpi::{self, Metric, Subject};
use regard_sdk::state::{StateReader, StateWriter};
use regard_sdk::{Accumulator, Batch, BatchBuilder, Error, Evaluator, plugin};

const METRIC: &str = "{{metric}}";
/// Every state begins with this: whose it is, and the version of its layout.
const STATE_MARK: [u8; 4] = *b"cnt\x01";

struct OrderCounts;

/// Orders by customer.
#[derive(Default)]
struct Orders(Vec<u64>);

plugin! { evaluator: OrderCounts }

impl Evaluator for OrderCounts {
    type Accumulator = Orders;

    fn describe() -> Vec<Metric> {
        vec![Metric {
            name: METRIC.into(),
            version: 1,
            description: "How many orders the customer has placed".into(),
            unit: "orders".into(),
            subject: Subject::Customer,
            kinds: vec!["order.placed".into()],
            inputs: vec![kpi::required(kpi::OCCURRED_AT)],
            parameters_schema: r#"{"type": "object", "additionalProperties": false}"#.into(),
        }]
    }

    fn open(_metric: &str, _parameters: &str) -> Result<Orders, Error> {
        Ok(Orders::default())
    }
}

impl Orders {
    fn grow(&mut self, customers: usize) {
        if customers > self.0.len() {
            self.0.resize(customers, 0);
        }
    }
}

impl Accumulator for Orders {
    fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Error> {
        check_groups(groups, group_count, rows)?;
        self.grow(group_count as usize);
        for &customer in groups {
            self.0[customer as usize] += 1;
        }
        Ok(())
    }

    fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Error> {
        let mut reader = StateReader::new(STATE_MARK, state)?;
        if reader.count(1)? != remap.len() {
            return Err(reader.fault("has not as many customers as are mapped"));
        }
        self.grow(remap.iter().map(|&customer| customer as usize + 1).max().unwrap_or(0));
        for &customer in remap {
            let sum = self.0[customer as usize].checked_add(reader.unsigned()?);
            self.0[customer as usize] = sum.ok_or_else(|| reader.fault("counts more orders than fit"))?;
        }
        reader.finish()
    }

    fn state(&mut self) -> Result<Vec<u8>, Error> {
        let mut writer = StateWriter::new(STATE_MARK, self.0.len());
        writer.unsigned(self.0.len() as u64);
        for &orders in &self.0 {
            writer.unsigned(orders);
        }
        Ok(writer.finish())
    }

    fn finish(&mut self, _as_of_ms: i64) -> Result<Batch, Error> {
        let counts = self.0.iter().map(|&orders| orders as f64).collect();
        BatchBuilder::new(self.0.len()).float64(kpi::VALUE, counts).finish()
    }
}
