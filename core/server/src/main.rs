//! Starts `regard`; everything is in the library so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    regard_server::cli::main()
}
