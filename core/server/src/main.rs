//! Starts `regard`; everything is in the library so that tests can reach it.

use std::process::ExitCode;

/// Requests allocate and free small things on every thread, which glibc's allocator makes them wait for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    regard_server::cli::main()
}
