//! Plugins that break a law on purpose are named by the report; good ones are not.

mod bundled;
mod connectors;
mod evaluators;
mod hooks;
mod scenarios;
mod trial;
