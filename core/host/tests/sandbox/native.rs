//! Native libraries: allowed by digest only, given up when they do not return, and equal to the other runtimes in what
//! they compute.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use regard_engine::Fault;
use regard_engine::columns::{Batch, Column, ColumnValues, TextValues};
use regard_engine::ports::{Accumulator, Evaluators, Hooks};
use regard_host::Package;
use regard_model::Subject;
use serde_json::{Value, json};

use crate::evaluators::{AS_OF, open, orders, rows};
use crate::hostile::SLACK;
use crate::welcome::observed;
use crate::world::{Runtime, World, component, event, hostile, library, root};

/// Time that a call may take here.
const CALL: Duration = Duration::from_secs(1);

/// A world whose calls are given up after [`CALL`], with the hostile library and a bystander in Luau.
async fn impatient() -> World {
    let package = hostile(Runtime::Native);
    let world = World::with(|options| {
        options.limits.interactive.call = CALL;
        options.limits.evaluation.call = CALL;
    });
    world.load(package).await;
    world.load(Package::from_folder(&root().join("plugins/hook-welcome")).expect("a bystander")).await;
    world
}

async fn bystander_works(world: &World) {
    let started = Instant::now();
    for _ in 0..20 {
        let seen = observed("rfm", Subject::Business, Some(1.0), None);
        world.host.handle("hook-welcome", &[seen]).await.expect("the other plugin works");
    }
    // The library's calls sleep for longer than this.
    assert!(started.elapsed() < 3 * CALL, "the other plugin waited {:?}", started.elapsed());
}

/// Waits until no call of the library is stuck any more.
async fn returned(world: &World) {
    let started = Instant::now();
    while let Err(failed) = world.host.handle("hostile", &[event("nothing")]).await {
        assert!(started.elapsed() < Duration::from_secs(20), "never taken back: {failed}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_is_refused_unless_its_digest_is_allowed() {
    let package = hostile(Runtime::Native);
    let world = World::with(|options| options.native_allowed.clear());
    let refused = world.host.load(package.clone(), Value::Null, None).await.expect_err("refused").to_string();
    let line = format!("allow = [\"{}\"]", package.digest());
    assert!(refused.starts_with("hostile: is a native library"), "{refused}");
    assert!(refused.contains("[native]") && refused.contains(&line), "{refused}");

    // Another manifest is another package: who allows one has not allowed more permissions for the same code.
    let wider = package.manifest_text().replace("kv = true", "kv = true\nmetrics = \"read\"");
    let wider = Package::from_parts(Path::new("hostile/plugin.toml"), wider, package.files().clone());
    let world = World::with(|options| options.native_allowed = [package.digest().to_owned()].into());
    world.load(package).await;
    let refused = world.host.load(wider.expect("a package"), Value::Null, None).await.expect_err("refused");
    assert!(refused.to_string().contains("refused unless its digest is allowed"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_is_not_loaded() {
    let package = hostile(Runtime::Native);
    for (bytes, words) in [
        (b"nonsense".to_vec(), "cannot be loaded"),
        (
            std::fs::read(std::env::current_exe().expect("this program")).expect("its bytes"),
            "cannot be loaded",
        ),
    ] {
        let files = BTreeMap::from([(package.manifest().entry().to_string_lossy().into_owned(), bytes)]);
        let text = package.manifest_text().to_owned();
        let wrong = Package::from_parts(Path::new("hostile/plugin.toml"), text, files).expect("a package");
        let world = World::with(|options| options.native_allowed = [wrong.digest().to_owned()].into());
        let refused = world.host.load(wrong, Value::Null, None).await.expect_err("refused").to_string();
        assert!(refused.starts_with(&format!("hostile: {words}")), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_return_is_given_up() {
    let world = impatient().await;
    let started = Instant::now();
    let failed = world.host.handle("hostile", &[event("loop")]).await.expect_err("given up");
    assert!(started.elapsed() < CALL + SLACK, "took {:?}", started.elapsed());
    assert_eq!(failed.fault, Fault::Timeout, "{failed}");
    let named = "hostile: hook.handle failed: timeout: took longer than 1000 ms";
    assert!(failed.to_string().starts_with(named), "{failed}");

    let refused = world.host.handle("hostile", &[event("nothing")]).await.expect_err("still stuck");
    assert_eq!(refused.fault, Fault::OutOfService, "{refused}");
    assert!(refused.message.starts_with("hook.handle has not returned for "), "{refused}");
    let refused = world.host.open("hostile", Value::Null).await.err().expect("still stuck");
    assert_eq!(refused.fault, Fault::OutOfService, "{refused}");
    bystander_works(&world).await;

    returned(&world).await;
    let stats = world.host.stats();
    let counted = stats.iter().find(|stats| stats.plugin == "hostile").expect("its counters");
    assert_eq!(counted.faults(), [(Fault::Timeout, 1)]);
}

/// More calls than a library has threads: those that find none fail by themselves, and no other plugin waits.
#[tokio::test(flavor = "multi_thread")]
async fn stuck_calls_take_no_threads_from_others() {
    let world = impatient().await;
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let host = world.host.clone();
            tokio::spawn(
                async move { host.handle("hostile", &[event("loop")]).await.expect_err("stuck").fault },
            )
        })
        .collect();
    tokio::time::sleep(CALL / 4).await;
    bystander_works(&world).await;
    let mut faults = BTreeMap::new();
    for call in calls {
        *faults.entry(call.await.expect("the call").as_str()).or_insert(0) += 1;
    }
    // A call that comes late, because the machine is busy, may already meet a stuck one.
    assert_eq!(faults.get("timeout"), Some(&4), "{faults:?}");
    assert!(
        faults.keys().all(|fault| ["timeout", "throttled", "out-of-service"].contains(fault)),
        "{faults:?}"
    );
    bystander_works(&world).await;
    returned(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accumulator_that_does_not_return_is_given_up() {
    let world = impatient().await;
    let mut bystander = open(&world, "hostile", Value::Null).await;
    let mut stuck = open(&world, "hostile", json!({ "how": "loop" })).await;
    let failed = stuck.update(&[0], 1, &rows(&[1])).await.expect_err("given up");
    assert_eq!(failed.fault, Fault::Timeout, "{failed}");
    assert!(failed.to_string().starts_with("hostile: kpi.update failed: "), "{failed}");
    let refused = bystander.update(&[0], 1, &rows(&[1])).await.expect_err("still stuck");
    assert!(refused.message.starts_with("kpi.update has not returned for "), "{refused}");
    returned(&world).await;
    bystander.update(&[0], 1, &rows(&[1])).await.expect("an accumulator that was only refused works on");
    let broken = stuck.finish(AS_OF).await.expect_err("broken");
    assert!(broken.message.contains("broke this accumulator"), "{broken}");
}

/// Orders with amounts, some without, and their kinds.
fn amounts(times: &[i64]) -> Batch {
    let values: Vec<i64> = times.iter().map(|time| time % 9_973 - 100).collect();
    let mut validity = vec![0_u8; times.len().div_ceil(8)];
    for row in (0..times.len()).filter(|row| row % 7 != 3) {
        validity[row / 8] |= 1 << (row % 8);
    }
    let mut entries = TextValues::default();
    entries.push("order.placed");
    let codes = ColumnValues::Dictionary { codes: vec![0; times.len()], entries };
    let amount = Column { validity: Some(validity), ..Column::new("amount", ColumnValues::Int64(values)) };
    let mut batch = rows(times);
    batch.columns.extend([amount, Column::new("kind", codes)]);
    batch
}

/// Feeds one evaluator the orders whole, and another one in two parts that are merged; they must agree. Gives state and
/// result.
async fn evaluated(world: &World, metric: &str) -> (Vec<u8>, Batch) {
    let (groups, times) = orders();
    let count = 1_000;
    let mut whole = open(world, metric, json!({})).await;
    whole.update(&groups, count, &amounts(&times)).await.expect("update");
    let state = whole.state().await.expect("state");
    let answer = whole.finish(AS_OF).await.expect("finish");

    let reversed: Vec<u32> = (0..count).rev().collect();
    let mut other = open(world, metric, json!({})).await;
    let mirrored: Vec<u32> = groups.iter().map(|group| count - 1 - group).collect();
    other.update(&mirrored, count, &amounts(&times)).await.expect("update");
    let mut merged = open(world, metric, json!({})).await;
    merged.merge(&other.state().await.expect("state"), &reversed).await.expect("merge");
    assert_eq!(merged.finish(AS_OF).await.expect("finish"), answer);
    (state, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_source_computes_the_same_as_component_and_as_library() {
    let folder = root().join("plugins/kpi-rfm");
    let (as_component, as_library) = (component(&folder), library(&folder));
    let mut answers = Vec::new();
    for package in [as_component, as_library] {
        let world = World::new();
        world.load(package).await;
        answers.push(evaluated(&world, "rfm").await);
    }
    assert!(answers[0] == answers[1], "the component and the library differ");
}

const COUNTING: &str = r#"
local Accumulator = {}
Accumulator.__index = Accumulator

function Accumulator.grow(self, count)
    for at = #self.orders + 1, count do
        self.orders[at] = 0
        self.spent[at] = 0
    end
end

function Accumulator.update(self, groups, group_count, rows)
    self:grow(group_count)
    local amount = rows.columns.amount
    for row = 0, rows.rows - 1 do
        local at = buffer.readu32(groups, row * 4) + 1
        self.orders[at] += 1
        if bit32.extract(buffer.readu8(amount.validity, row // 8), row % 8) == 1 then
            self.spent[at] += buffer.readf64(amount.values, row * 8)
        end
    end
end

function Accumulator.state(self)
    local state = buffer.create(#self.orders * 16)
    for at, orders in self.orders do
        buffer.writef64(state, at * 16 - 16, orders)
        buffer.writef64(state, at * 16 - 8, self.spent[at])
    end
    return state
end

function Accumulator.merge(self, state, remap)
    for at = 0, buffer.len(remap) // 4 - 1 do
        local to = buffer.readu32(remap, at * 4) + 1
        self:grow(to)
        self.orders[to] += buffer.readf64(state, at * 16)
        self.spent[to] += buffer.readf64(state, at * 16 + 8)
    end
end

function Accumulator.finish(self)
    local rows = #self.orders
    local orders, spent = buffer.create(rows * 8), buffer.create(rows * 8)
    for at = 1, rows do
        buffer.writef64(orders, at * 8 - 8, self.orders[at])
        buffer.writef64(spent, at * 8 - 8, self.spent[at])
    end
    return { rows = rows, columns = {
        { name = "value", type = "float64", values = orders },
        { name = "spent", type = "int64", values = spent },
    } }
end

return {
    kpi = {
        describe = function()
            return { {
                name = "order-count", version = 1, description = "Orders.", unit = "orders", subject = "customer",
                kinds = { "order.placed" }, inputs = { { column = "amount", required = false } },
            } }
        end,
        open = function()
            return setmetatable({ orders = {}, spent = {} }, Accumulator)
        end,
    },
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_c_agrees_with_luau() {
    let folder = root().join("examples/kpi-order-count-c");
    let checked = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
        .arg(root().join("sdk/native/include"))
        .arg(folder.join("src/order_count.c"))
        .output()
        .expect("a C compiler is installed");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let in_c = component(&folder);
    let world = World::with(|options| options.native_allowed = [in_c.digest().to_owned()].into());
    let status = world.load(in_c).await;
    let described = &status.metrics[0];
    assert_eq!(
        (described.name.as_str(), described.kinds.as_slice()),
        ("order-count", &["order.placed".to_owned()][..])
    );
    let answer = evaluated(&world, "order-count").await.1;

    let text = "id = \"kpi-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
                capabilities = [\"kpi\"]\n";
    let files = BTreeMap::from([("handler.luau".to_owned(), COUNTING.as_bytes().to_vec())]);
    let in_luau = Package::from_parts(Path::new("kpi-x/plugin.toml"), text.to_owned(), files);
    let world = World::new();
    world.load(in_luau.expect("a package")).await;
    assert_eq!(evaluated(&world, "order-count").await.1, answer);

    let (groups, _) = orders();
    let first = groups.iter().filter(|&&group| group == 0).count();
    assert_eq!(answer.column("value").expect("value").json(0), json!(first as f64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_in_c_reports_its_errors() {
    let in_c = component(&root().join("examples/kpi-order-count-c"));
    let world = World::with(|options| options.native_allowed = [in_c.digest().to_owned()].into());
    world.load(in_c).await;
    let mut accumulator: Box<dyn Accumulator> = open(&world, "order-count", json!({})).await;
    let failed = accumulator.merge(b"nonsense", &[0]).await.expect_err("refused");
    assert_eq!(
        failed.to_string(),
        "kpi-order-count-c: kpi.merge failed: invalid: these bytes are no state of order-count"
    );
    accumulator.update(&[0], 1, &amounts(&[1])).await.expect("a reported error breaks nothing");
    assert_eq!(accumulator.model().await.expect("model"), None);
}
