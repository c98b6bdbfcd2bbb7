//! Commands that change a container's state.

use std::path::{Path, PathBuf};

use super::grammar::Parsed;
use super::{Context, Failure, Outcome, absolute};
use crate::engine::model::signal;
use crate::engine::runtime::oci;
use crate::engine::runtime::oci::create::{Create, Run};
use crate::engine::runtime::oci::delete::Running;
use crate::engine::runtime::oci::example::{self, For};
use crate::engine::runtime::oci::kill::Target;
use crate::engine::runtime::oci::notify;

pub(super) fn create(context: &Context, parsed: &Parsed) -> Outcome {
    oci::protect()?;
    context.runtime.create(&request(parsed)?)?;
    Ok(0)
}

pub(super) fn run(context: &Context, parsed: &Parsed) -> Outcome {
    oci::protect()?;
    let how = match (parsed.has("detach"), parsed.has("keep")) {
        (true, _) => Run::Detached,
        (false, true) => Run::Kept,
        (false, false) => Run::Foreground,
    };
    let code = context.runtime.run(&request(parsed)?, how)?;
    Ok(u8::try_from(code).unwrap_or(1))
}

fn request(parsed: &Parsed) -> Result<Create, Failure> {
    let (listen_fds, preserved_fds) = handed_on(parsed)?;
    let path = |name: &str| {
        let given = parsed.value(name).filter(|path| !path.is_empty());
        given.map(|path| absolute(Path::new(path))).transpose()
    };
    let bundle = parsed.value("bundle").filter(|path| !path.is_empty());
    Ok(Create {
        id: parsed.id().to_owned(),
        bundle: PathBuf::from(bundle.unwrap_or(".")),
        config: parsed.value("config").map(PathBuf::from),
        console_socket: path("console-socket")?,
        pidfd_socket: path("pidfd-socket")?,
        pid_file: path("pid-file")?,
        preserved_fds,
        listen_fds,
        notify_socket: notify_socket(),
        no_pivot: parsed.has("no-pivot"),
        no_new_keyring: parsed.has("no-new-keyring"),
    })
}

fn notify_socket() -> Option<String> {
    notify::manager(std::env::var("NOTIFY_SOCKET").ok())
}

/// How many descriptors go to the program: sockets of a service manager, and after them what `--preserve-fds` names. As
/// with crun those that are not open are none; before anything else is opened.
pub(super) fn handed_on(parsed: &Parsed) -> Result<(u32, u32), Failure> {
    let listening = listen_fds();
    let wanted = parsed.number("preserve-fds")?.unwrap_or(0_u32);
    let held = oci::hold_inherited(listening.saturating_add(wanted))?;
    Ok((listening, held.saturating_sub(listening)))
}

/// How many sockets a service manager has handed to this process (sd_listen_fds(3)).
fn listen_fds() -> u32 {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    match number("LISTEN_PID") {
        Some(pid) if pid == std::process::id() => number("LISTEN_FDS").unwrap_or(0),
        _ => 0,
    }
}

pub(super) fn start(context: &Context, parsed: &Parsed) -> Outcome {
    context
        .runtime
        .start(parsed.id(), notify_socket().as_deref())?;
    Ok(0)
}

pub(super) fn kill(context: &Context, parsed: &Parsed) -> Outcome {
    let name = parsed.operands.get(1).map_or("SIGTERM", String::as_str);
    // Signal 0 asks whether there is somebody.
    let signal = match name {
        "0" => 0,
        name => {
            signal::parse(name).ok_or_else(|| Failure::usage(format!("unknown signal {name:?}")))?
        }
    };
    let target = if parsed.has("all") {
        Target::All
    } else {
        Target::First
    };
    for id in named(context, parsed)? {
        context.runtime.kill(&id, signal, target)?;
    }
    Ok(0)
}

pub(super) fn delete(context: &Context, parsed: &Parsed) -> Outcome {
    let running = if parsed.has("force") {
        Running::Kill
    } else {
        Running::Refuse
    };
    for id in named(context, parsed)? {
        for error in context.runtime.delete(&id, running)? {
            context.warn(&error);
        }
    }
    Ok(0)
}

/// The container, or with `--regex` those whose names match.
fn named(context: &Context, parsed: &Parsed) -> Result<Vec<String>, Failure> {
    if !parsed.has("regex") {
        return Ok(vec![parsed.id().to_owned()]);
    }
    let names = context.runtime.names_like(parsed.id());
    Ok(names.map_err(|error| error.attempting("--regex"))?)
}

pub(super) fn spec(_context: &Context, parsed: &Parsed) -> Outcome {
    let whom = if parsed.has("rootless") {
        For::Rootless {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    } else {
        For::Root
    };
    let dir = parsed.value("bundle").filter(|path| !path.is_empty());
    example::write(Path::new(dir.unwrap_or(".")), whom)?;
    Ok(0)
}

pub(super) fn pause(context: &Context, parsed: &Parsed) -> Outcome {
    context.runtime.pause(parsed.id())?;
    Ok(0)
}

pub(super) fn resume(context: &Context, parsed: &Parsed) -> Outcome {
    context.runtime.resume(parsed.id())?;
    Ok(0)
}
