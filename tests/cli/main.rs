//! The binary as a subprocess, without privileges: usage, exit codes, help. What needs the engine is in `tests/engine`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod usage;

use std::process::{Command, Stdio};

/// What a run of the binary gave.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs `wharf` with these arguments and nothing on standard input.
fn wharf(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_wharf"))
        .args(arguments)
        .env_remove("WHARF_ROOT")
        .env_remove("WHARF_RUN_ROOT")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
