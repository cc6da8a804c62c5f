//! .

pub mod build;
pub mod manifest;
