//! Proves what the host promises: whatever a plugin does, it is stopped within its bounds, the failure is named, and the
//! next call works. Every check runs on all runtimes that can misbehave that way.

mod connectors;
mod evaluators;
mod fields;
mod hostile;
mod imports;
mod loading;
mod native;
mod network;
mod records;
mod service;
mod versions;
mod welcome;
mod world;
