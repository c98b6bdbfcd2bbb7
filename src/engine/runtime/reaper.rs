//! The first process of a container with `--init`: starts the program as its child, passes signals on to it, collects
//! whatever else ends as an orphan, and ends with it. It is this binary, called by the name of the file that Docker mounts.

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::command;
use crate::engine::sys::poll::{Interest, Poller};
use crate::engine::sys::process;
use crate::engine::sys::signal::Signals;

/// Where it is in a container.
pub const PATH: &str = "/sbin/docker-init";

/// The file's name.
pub const NAME: &str = "docker-init";

/// Its whole life: the program's exit code, 128 + signal if that was killed, 127 or 126 if it could not be executed.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.peekable();
    arguments.next_if(|first| first == "--");
    let command: Vec<CString> = arguments
        .filter_map(|argument| CString::new(argument.into_vec()).ok())
        .collect();
    match supervise(&command) {
        Ok(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        Err(error) => {
            complain(&error);
            1
        }
    }
}

fn supervise(command: &[CString]) -> Result<i32> {
    // Before there is a child: none of its signals is missed.
    let signals = Signals::take_all()?;
    let Some(child) = process::fork()? else {
        become_program(command)
    };
    let poller = Poller::new()?;
    poller.add(
        &signals,
        0,
        Interest {
            read: true,
            write: false,
        },
    )?;
    loop {
        poller.wait(None)?;
        while let Some(signal) = signals.next()? {
            if signal == libc::SIGCHLD {
                if let Some(code) = collect(child)? {
                    return Ok(code);
                }
            } else {
                // It may have ended.
                let _ = process::kill(child, signal);
            }
        }
    }
}

/// Everything that has ended; the exit code, if the program is among it.
fn collect(child: i32) -> Result<Option<i32>> {
    let mut code = None;
    while let Some((pid, ended)) = process::reap()? {
        if pid == child {
            code = Some(ended);
        }
    }
    Ok(code)
}

/// In a group of its own, so that what the terminal sends comes once.
fn become_program(command: &[CString]) -> ! {
    let error = match process::lead_foreground().and_then(|()| process::reset_signals()) {
        Ok(()) => execute(command),
        Err(error) => error,
    };
    complain(&error);
    let is_missing = error.kind() == Kind::CommandNotFound;
    process::exit_now(if is_missing { 127 } else { 126 })
}

fn execute(command: &[CString]) -> Error {
    let Some(name) = command.first() else {
        return Error::invalid("no command specified");
    };
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = command::find(&name.to_string_lossy(), OsStr::new(&search));
    let path = match found.map(|path| CString::new(path.as_os_str().as_bytes())) {
        Ok(Ok(path)) => path,
        Ok(Err(_)) => return Error::invalid("a NUL byte in the command's path"),
        Err(error) => return error,
    };
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let mut entry = name.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        CString::new(entry).ok()
    });
    let variables: Vec<CString> = variables.collect();
    process::execute(&path, command, &variables)
}

fn complain(error: &Error) {
    // There is nobody else to tell.
    let _ = writeln!(io::stderr(), "{NAME}: {error}");
}
