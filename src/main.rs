//! The program: by `argv[0]` a monitor, the supervisor of an exec or a probe, or the command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use wharf::demo;
use wharf::engine::attacher::Attacher;
use wharf::engine::runtime::{exec, log_pack, monitor, probe, reaper};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let mut live = || arguments.next().unwrap_or_default();
    // The engine's own processes come first: nothing of the command line may cost them time or memory.
    let called = Path::new(&name).file_name().unwrap_or_default();
    match name.as_bytes() {
        _ if called == reaper::NAME => ExitCode::from(reaper::main(arguments)),
        _ if called == "wharf-oci" => wharf::cli::oci::main(arguments),
        b"wharf-monitor" => ExitCode::from(monitor::main(
            Path::new(&live()),
            Box::new(Attacher::default()),
        )),
        b"wharf-compress" => ExitCode::from(log_pack::main(Path::new(&live()))),
        b"wharf-probe" => ExitCode::from(probe::main(Path::new(&live()))),
        b"wharf-exec" => ExitCode::from(exec::main(Path::new(&live()))),
        // The demo's containers have nothing but this program in them: it is their shell, too.
        b"sh" | b"-sh" | b"/bin/sh" => {
            demo::run_workload([OsString::from("sh")].into_iter().chain(arguments))
        }
        _ => {
            let mut arguments = arguments.peekable();
            if arguments.next_if(|verb| verb == "oci").is_some() {
                return wharf::cli::oci::main(arguments);
            }
            if arguments
                .next_if(|verb| verb == demo::WORKLOAD_VERB)
                .is_some()
            {
                return demo::run_workload(arguments);
            }
            wharf::cli::main(Path::new(&name), arguments)
        }
    }
}
