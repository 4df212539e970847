//! The `keyfresh` program: parse arguments, run, print one error chain, return the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyfresh::cli::main()
}
