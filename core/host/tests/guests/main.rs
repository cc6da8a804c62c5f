//! Plugins in TypeScript and in Python, built with the real tools and run in the real host: every shape crosses there and
//! back, errors and crashes are told apart, bounds hold, and the SDKs pass strict type checks.

#[path = "../sandbox/world.rs"]
#[allow(dead_code, reason = "shared with the sandbox's tests, which use the rest")]
mod world;

mod built;
mod checks;
mod connectors;
mod costs;
mod evaluators;
mod examples;
mod hooks;
mod keeping;
