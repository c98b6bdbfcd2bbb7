//! The program: by `argv[0]` a monitor, an exec supervisor or the command line.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use wharf::engine::runtime::{exec, monitor};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let mut live = || arguments.next().unwrap_or_default();
    // The engine's own processes come first: nothing of the command line may cost them time or memory.
    match name.as_bytes() {
        b"wharf-monitor" => ExitCode::from(monitor::main(Path::new(&live()))),
        b"wharf-exec" => ExitCode::from(exec::main(Path::new(&live()))),
        _ => wharf::cli::main(Path::new(&name), arguments),
    }
}
