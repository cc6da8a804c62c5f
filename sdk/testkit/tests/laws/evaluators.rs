use crate::trial::{assert_failed, package, tried};

/// An evaluator of sums per customer with parts that can be replaced.
struct Evaluator {
    /// What a row adds to `sums[group]`.
    add: &'static str,
    /// Checks and reads a state into `sums`.
    merge: &'static str,
    state: &'static str,
    value: &'static str,
    update: &'static str,
}

const GOOD: Evaluator = Evaluator {
    add: "sums[group] += 1",
    merge: "if buffer.len(state) ~= 4 + count * 8 or buffer.readstring(state, 0, 4) ~= \"sum1\" then \
        regard.error(\"invalid\", \"no state of sums\") end \
        for at = 0, count - 1 do local group = buffer.readu32(remap, at * 4) + 1 reserve(self, group) \
        sums[group] += buffer.readf64(state, 4 + at * 8) end",
    state: "local state = buffer.create(4 + #sums * 8) buffer.writestring(state, 0, \"sum1\") \
        for at, sum in sums do buffer.writef64(state, at * 8 - 4, sum) end return state",
    value: "sums[at]",
    update: "",
};

impl Evaluator {
    fn handler(&self) -> String {
        let Self { add, merge, state, value, update } = self;
        format!(
            r#"
local columns = require("@regard/columns")
local Accumulator = {{}}
Accumulator.__index = Accumulator
local function reserve(self: any, count: number)
    for at = #self.sums + 1, count do self.sums[at] = 0 end
end
function Accumulator.update(self: any, groups: buffer, group_count: number, rows: any)
    reserve(self, group_count)
    local sums = self.sums
    {update}
    for row = 0, rows.rows - 1 do
        local group = buffer.readu32(groups, row * 4) + 1
        {add}
    end
end
function Accumulator.merge(self: any, state: buffer, remap: buffer)
    local sums, count = self.sums, buffer.len(remap) // 4
    {merge}
end
function Accumulator.state(self: any): buffer
    local sums = self.sums
    {state}
end
function Accumulator.finish(self: any, _as_of_ms: number): any
    local sums = self.sums
    local total = 0
    for at = 1, #sums do total += {value} end
    return columns.one_row({{ {{ "value", total }} }})
end
return {{
    kpi = {{
        describe = function(): {{ any }}
            return {{
                {{
                    name = "sums", version = 1, description = "Sums.", unit = "orders", subject = "business",
                    kinds = {{ "order.placed" }}, inputs = {{ "occurred-at" }},
                    parameters = {{ type = "object", additionalProperties = false }},
                }},
            }}
        end,
        open = function(): any return setmetatable({{ sums = {{}}, calls = 0 }}, Accumulator) end,
    }},
}}"#
        )
    }
}

async fn breaks(evaluator: Evaluator, laws: &[&str]) {
    assert_failed(&tried(package("kpi", "", &evaluator.handler()), "").await, laws);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_evaluator_breaks_no_law() {
    breaks(GOOD, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_calls_makes_batches_matter() {
    // One more for each call: one batch is not many.
    breaks(
        Evaluator { update: "sums[1] = (sums[1] or 0) + 1", ..GOOD },
        &["kpi: batches (sums)", "kpi: merging (sums)", "kpi: state (sums)"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weighing_rows_by_their_place_makes_their_order_matter() {
    let weighing = Evaluator { add: "self.calls += 1 sums[group] += self.calls * (group % 2)", ..GOOD };
    let report = tried(package("kpi", "", &weighing.handler()), "").await;
    assert!(crate::trial::failed(&report).contains(&"kpi: order of rows (sums)"), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_instead_of_adding_breaks_merging() {
    let replacing = Evaluator {
        merge: "if buffer.len(state) ~= 4 + count * 8 or buffer.readstring(state, 0, 4) ~= \"sum1\" then \
            regard.error(\"invalid\", \"no state of sums\") end \
            for at = 0, count - 1 do local group = buffer.readu32(remap, at * 4) + 1 reserve(self, group) \
            sums[group] = buffer.readf64(state, 4 + at * 8) end",
        ..GOOD
    };
    breaks(replacing, &["kpi: merging (sums)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_believed_is_named() {
    let trusting = Evaluator {
        merge: "for at = 0, count - 1 do local group = buffer.readu32(remap, at * 4) + 1 reserve(self, group) \
            if 12 + at * 8 <= buffer.len(state) then sums[group] += buffer.readf64(state, 4 + at * 8) end end",
        ..GOOD
    };
    let report = tried(package("kpi", "", &trusting.handler()), "").await;
    assert_failed(&report, &["kpi: damaged and foreign states (sums)"]);
    assert!(report.text().contains("another version's state: wanted a reported error"), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluator_that_hangs_on_nothing_is_named() {
    let hanging = Evaluator { update: "if rows.rows == 0 then while true do end end", ..GOOD };
    let report = tried(package("kpi", "[limits]\ncpu_ms = 300\n", &hanging.handler()), "").await;
    assert_failed(&report, &["kpi: no rows, no amounts, extreme values (sums)"]);
}
