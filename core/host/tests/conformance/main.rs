//! One semantics, three runtimes: the same cases, under the same names, for WebAssembly, Luau and native libraries, and
//! a matrix of how each of them ended. It is printed on success too, and kept in `target/conformance.md`.
//!
//! The plugins are `conforming` and `conforming-luau`, which do what the contract is for, and `hostile` and
//! `hostile-luau`, which do what it forbids. `cargo test --workspace --test conformance -- kv` runs the cases with `kv` in
//! their names.

#[path = "../sandbox/world.rs"]
#[allow(dead_code, reason = "shared with the sandbox's tests, which use the rest")]
mod world;

mod accumulators;
mod cancellation;
mod connector;
mod denied;
mod given;
mod hook;
mod kpi;
mod lifecycle;
mod limits;
mod plugin;
mod table;

use std::process::ExitCode;

use regard_engine::Fault::{Exhausted, Failed, Memory, Throttled, Timeout, Trap};
use world::Runtime::{self, Luau, Native, Wasm};

use table::Case;

/// Why a case says nothing about a runtime.
type Not = (Runtime, &'static str);

const UNSTOPPABLE: Not = (Native, "nothing stops native code that computes, or counts its memory");
const ONE_PROCESS: Not =
    (Native, "a native library crashes with the host, which is why its digest has to be allowed");
const NO_RECURSION: Not = (Wasm, "the host never calls a guest from within its call");
const NO_CALLBACKS: Not = (Native, "the host never calls a library from within its call");
const NO_LIBRARY: Not = (Wasm, "a component brings its own library, which is interrupted like all its code");
const NO_LIBRARY_EITHER: Not = (Native, "a native library brings its own");
const NO_HANDLES: Not = (Luau, "an accumulator is a table of the program's own");
const NO_HANDLES_EITHER: Not = (Native, "an accumulator is a pointer of the library's own");

/// A case of a function that takes the runtime.
macro_rules! case {
    ($name:literal, $run:path $(, $not:ident)*) => {
        Case { name: $name, run: |runtime| Box::pin($run(runtime)), not: &[$($not),*] }
    };
}

/// A case in which the hostile plugin does something and is stopped with this fault and these words.
macro_rules! stopped {
    ($name:literal, $how:literal, $fault:expr, $words:expr $(, $not:ident)*) => {
        Case {
            name: $name,
            run: |runtime| Box::pin(limits::stopped(runtime, $how, $fault, $words)),
            not: &[$($not),*],
        }
    };
}

/// What a library function of Luau's own is told that is given too much.
macro_rules! too_much {
    ($name:literal, $how:literal, $function:literal) => {
        stopped!(
            $name,
            $how,
            Exhausted,
            concat!("asked ", $function, " for more work than could be stopped"),
            NO_LIBRARY,
            NO_LIBRARY_EITHER
        )
    };
}

fn main() -> ExitCode {
    table::run(&[
        case!("lifecycle: exports equal the manifest", lifecycle::exports),
        case!("lifecycle: configure refuses", lifecycle::refused),
        case!("lifecycle: configure crashes", lifecycle::crashed),
        case!("lifecycle: configure loops", lifecycle::looped, UNSTOPPABLE),
        case!("lifecycle: upgrade and downgrade", lifecycle::migrates),
        case!("connector: describe", connector::described),
        case!("connector: receive", connector::received),
        case!("connector: receive reports errors", connector::refused),
        case!("connector: poll", connector::polled),
        case!("connector: send, each outcome", connector::sent),
        case!("hook: interaction-appended", hook::appended),
        case!("hook: customer-changed", hook::changed),
        case!("hook: metric-observed", hook::observed),
        case!("hook: events come in order", hook::ordered),
        case!("host: log", hook::log),
        case!("host: clock", hook::clock),
        case!("host: config", hook::config),
        case!("host: config.secret", hook::secret),
        case!("host: kv get, set, delete, keys", hook::kv),
        case!("host: http", hook::http),
        case!("host: customers.get", hook::customers_get),
        case!("host: customers.find", hook::customers_find),
        case!("host: customers.update", hook::customers_update),
        case!("host: interactions.query", hook::interactions),
        case!("host: metrics.latest", hook::metrics),
        case!("host: messages.enqueue", hook::messages),
        case!("host: records", hook::records),
        case!("host: error codes", hook::codes),
        case!("host: too many values are invalid", hook::values),
        case!("denied: each function, with its audit line", denied::each),
        case!("denied: other plugins' records, secrets and kv", denied::of_others),
        case!("denied: an evaluator has log and config only", denied::evaluators),
        case!("denied: a flood of denials", denied::flood),
        case!("kpi: describe", kpi::described),
        case!("kpi: open, update, state, finish, model", kpi::computed),
        case!("kpi: merge", kpi::merged),
        case!("kpi: parameters are checked", kpi::parameters),
        case!("kpi: damaged state", kpi::damaged),
        stopped!("stopped: a loop", "loop", Timeout, "computed longer than 300 ms", UNSTOPPABLE),
        stopped!(
            "stopped: a loop within pcall",
            "pcall-loop",
            Timeout,
            "computed longer",
            NO_LIBRARY,
            UNSTOPPABLE
        ),
        stopped!(
            "stopped: a loop of coroutines",
            "coroutine-loop",
            Timeout,
            "computed longer",
            NO_LIBRARY,
            UNSTOPPABLE
        ),
        stopped!(
            "stopped: a pattern that backtracks",
            "pattern",
            Timeout,
            "computed longer",
            NO_LIBRARY,
            UNSTOPPABLE
        ),
        too_much!("stopped: a long text in a longer one", "plain-find", "string.find"),
        too_much!("stopped: the same within pcall", "caught-find", "string.find"),
        too_much!("stopped: a large set in a pattern", "set-find", "string.find"),
        too_much!("stopped: the same in gsub", "gsub", "string.gsub"),
        too_much!("stopped: a long separator", "split", "string.split"),
        too_much!("stopped: sorting long texts", "sort-texts", "table.sort"),
        too_much!("stopped: moving an endless range", "move", "table.move"),
        stopped!("stopped: memory", "memory", Memory, "asked for more than 48 MiB", UNSTOPPABLE),
        stopped!(
            "stopped: memory within pcall",
            "caught-memory",
            Memory,
            "more than 48 MiB",
            NO_LIBRARY,
            UNSTOPPABLE
        ),
        stopped!("stopped: a giant string", "giant-string", Memory, "more than 48 MiB", UNSTOPPABLE),
        stopped!("stopped: a giant table", "giant-table", Memory, "more than 48 MiB", UNSTOPPABLE),
        stopped!(
            "stopped: JSON that unpacks to gigabytes",
            "json-bomb",
            Memory,
            "48 MiB",
            NO_LIBRARY,
            NO_LIBRARY_EITHER
        ),
        stopped!(
            "stopped: JSON of one text many times",
            "json-shared",
            regard_engine::Fault::Invalid,
            "bytes of text",
            NO_LIBRARY,
            NO_LIBRARY_EITHER
        ),
        stopped!(
            "stopped: a log line of one text many times",
            "log-shared",
            Trap,
            "not logged",
            NO_LIBRARY,
            NO_LIBRARY_EITHER
        ),
        stopped!(
            "stopped: headers of one text many times",
            "headers-shared",
            Exhausted,
            "handed over more",
            NO_LIBRARY,
            NO_LIBRARY_EITHER
        ),
        stopped!(
            "stopped: handles that are never dropped",
            "handles",
            Exhausted,
            "handles",
            NO_HANDLES,
            NO_HANDLES_EITHER
        ),
        stopped!("stopped: a log flood", "log-flood", Exhausted, "log"),
        stopped!(
            "stopped: a storm of host calls",
            "host-calls",
            Exhausted,
            "called host functions more than 200 times"
        ),
        stopped!("stopped: too many changes", "effects", Exhausted, "collected more than 4194304 bytes"),
        stopped!("crash: a panic or an error", "crash", Trap, "boom"),
        stopped!("crash: the guest's stack", "stack", Trap, "", ONE_PROCESS),
        stopped!(
            "crash: the host's stack, by gsub",
            "gsub-stack",
            Trap,
            "stack overflow",
            NO_RECURSION,
            NO_CALLBACKS
        ),
        stopped!(
            "crash: the host's stack, by sort",
            "sort-stack",
            Trap,
            "stack overflow",
            NO_RECURSION,
            NO_CALLBACKS
        ),
        stopped!(
            "crash: the host's stack, by __index",
            "index-stack",
            Trap,
            "stack overflow",
            NO_RECURSION,
            NO_CALLBACKS
        ),
        stopped!(
            "crash: the host's stack, by __tostring",
            "tostring-stack",
            Trap,
            "stack overflow",
            NO_RECURSION,
            NO_CALLBACKS
        ),
        stopped!("crash: the host's stack, by pcall", "pcall-stack", Trap, "", NO_RECURSION, NO_CALLBACKS),
        stopped!(
            "crash: the host's stack, by coroutines",
            "coroutine-stack",
            Trap,
            "stack overflow",
            NO_RECURSION,
            NO_CALLBACKS
        ),
        stopped!("crash: in a comparison of sort", "sort-crash", Trap, "boom", NO_RECURSION, NO_CALLBACKS),
        stopped!("crash: in a replacement of gsub", "gsub-crash", Trap, "boom", NO_RECURSION, NO_CALLBACKS),
        case!("crash: in the middle of changes", limits::half_done),
        stopped!("crash: with a giant message", "giant-crash", Trap, "xxx", NO_LIBRARY, NO_LIBRARY_EITHER),
        stopped!("reported: a giant message", "giant-error", Failed, "xxx"),
        stopped!("reported: when to try again", "report", Throttled, "slow down"),
        case!("accumulators: opened and never closed", accumulators::hoarded),
        case!("accumulators: an abandoned evaluation", accumulators::abandoned, UNSTOPPABLE),
        case!("cancelled: many calls at once", cancellation::storm),
    ])
}
