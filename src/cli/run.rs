//! Verbs that make processes or join them: `create`, `run`, `start`, `exec`, `attach`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::attach::{self, Ended, Held, Manner, Signals};
use super::client_config::ClientConfig;
use super::keys::DetachKeys;
use super::report::{ENGINE, Failure, Outcome};
use super::request::{self, World};
use super::{Context, args, registry, terminal, warn};
use crate::app::command::Command;
use crate::engine::error::Attempt as _;
use crate::engine::model::container::Attach;
use crate::engine::model::request::AttachTo;
use crate::engine::model::{Cancel, ContainerId};
use crate::engine::{Engine, Error, Exit, Kind};

/// wharf's own environment, files and working directory.
struct Here(PathBuf);

impl Here {
    fn new() -> Result<Self, Failure> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the command line is where relative paths come from"
        )]
        let here = std::env::current_dir().attempt(|| "find working directory")?;
        Ok(Self(here))
    }
}

impl World for Here {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| Error::io(format!("open {path}"), error).to_string())
    }

    fn here(&self) -> &Path {
        &self.0
    }
}

/// A wrong value found after parsing: Docker's text, and where help is.
fn wrong(context: &Context, text: &str) -> Failure {
    Failure::Usage {
        text: format!(
            "wharf: {text}\n\nRun '{} --help' for more information",
            context.path
        ),
        code: ENGINE,
    }
}

/// `create`.
pub fn create(context: &Context, args: &args::Create) -> Outcome {
    let made = made(context, &context.client_config(), args, false)?;
    let engine = context.engine()?;
    let id = make(context, &engine, args, &made)?;
    super::say(id)
}

fn made(
    context: &Context,
    config: &ClientConfig,
    args: &args::Create,
    detached: bool,
) -> Result<request::Made<crate::engine::model::request::Create>, Failure> {
    if let Some(path) = &args.cidfile
        && Path::new(path).exists()
    {
        return Err(wrong(
            context,
            &format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            ),
        ));
    }
    let mut made =
        request::create(args, detached, &Here::new()?).map_err(|text| wrong(context, &text))?;
    let proxies = config.proxy_variables(&made.request.env);
    made.request.env.extend(proxies);
    Ok(made)
}

/// What `create`, or `run` in the background, asks for. Nothing is made.
///
/// # Errors
/// Docker's text for what cannot be.
pub fn background(args: &args::Create, start: bool) -> Result<Command, Failure> {
    let made = request::create(args, start, &Here::new()?).map_err(Failure::plain)?;
    Ok(Command::Create {
        request: Box::new(made.request),
        start,
        warnings: made.warnings,
    })
}

/// Creates the container, with its image fetched if it is not there, and says what is to be said about it.
fn make(
    context: &Context,
    engine: &Engine,
    args: &args::Create,
    made: &request::Made<crate::engine::model::request::Create>,
) -> Result<ContainerId, Failure> {
    let created = registry::with_image(context, engine, args, || engine.create(&made.request))?;
    for warning in made.warnings.iter().chain(&created.warnings) {
        warn(warning);
    }
    if let Some(path) = &args.cidfile
        && let Err(error) = std::fs::write(path, created.id.as_str())
    {
        let remove = crate::engine::model::request::Remove {
            force: true,
            volumes: true,
        };
        // Nothing half-made; what matters is why the file could not be written.
        let _ = engine.remove(&created.id, remove);
        return Err(Error::io(format!("write container ID file {path}"), error).into());
    }
    Ok(created.id)
}

/// `run`.
pub fn run(context: &Context, args: &args::Run) -> Outcome {
    if args.detach && !args.create.attach.is_empty() {
        return Err(Failure::Usage {
            text: "conflicting options: cannot specify both --attach and --detach".to_owned(),
            code: 1,
        });
    }
    let config = context.client_config();
    let keys = detach_keys(&config, args.detach_keys.as_deref())?;
    let made = made(context, &config, &args.create, args.detach)?;
    let streams = made.request.attach;
    check_tty(streams.stdin, args.create.tty)?;
    run_made(context, args, &made, keys).map_err(Failure::in_run)
}

fn run_made(
    context: &Context,
    args: &args::Run,
    made: &request::Made<crate::engine::model::request::Create>,
    keys: DetachKeys,
) -> Outcome {
    let streams = made.request.attach;
    let engine = context.engine()?;
    engine.warm_up();
    let id = make(context, &engine, &args.create, made)?;
    let tty = args.create.tty;
    let attaches = streams.stdin || streams.stdout || streams.stderr;
    if !attaches {
        start_or_remove(&engine, &id, None, args.create.rm)?;
        return super::say(id);
    }
    let held = Held::new()?;
    let session = start_or_remove(&engine, &id, Some(attach_to(streams, tty)), args.create.rm)?;
    if !streams.stdout && !streams.stderr {
        super::say(&id)?;
    }
    let Some(session) = session else {
        return Err(lost(&id));
    };
    // With a terminal, too, unlike `start` and `attach` (Docker's `runContainer`).
    let signals = signals(args.sig_proxy, &engine, &id);
    let manner = manner(streams, tty, keys, signals);
    let ended = attach::attend(session, &manner, &held)?;
    exit_code(ended, &engine, &id)
}

/// Starts; a container that was to be removed at its end and never began is removed now.
fn start_or_remove(
    engine: &Engine,
    id: &ContainerId,
    to: Option<AttachTo>,
    auto_remove: bool,
) -> Result<Option<crate::engine::Session>, Failure> {
    engine.start(id, to).map_err(|error| {
        if auto_remove {
            let remove = crate::engine::model::request::Remove {
                force: true,
                volumes: true,
            };
            // The reason for the failed start is what counts.
            let _ = engine.remove(id, remove);
        }
        Failure::from(error)
    })
}

/// `start`.
pub fn start(context: &Context, args: &args::Start) -> Outcome {
    let keys = detach_keys(&context.client_config(), args.detach_keys.as_deref())?;
    if !args.attach && !args.interactive {
        return super::container::each(context, &args.operands, |engine, id| {
            engine.start(id, None).map(drop)
        });
    }
    let [name] = args.operands.as_slice() else {
        return Err(Failure::Usage {
            text: "you cannot start and attach multiple containers at once".to_owned(),
            code: 1,
        });
    };
    let engine = context.engine()?;
    let id = engine.resolve(name)?;
    let config = engine.container(&id)?.container.config.clone();
    let streams = Attach {
        stdin: args.interactive && config.open_stdin,
        stdout: true,
        stderr: true,
    };
    check_tty(streams.stdin, config.tty)?;
    let held = Held::new()?;
    let session = match engine.start(&id, Some(attach_to(streams, config.tty)))? {
        Some(session) => session,
        // It runs already.
        None => engine.attach(&id, attach_to(streams, config.tty))?,
    };
    let manner = manner(
        streams,
        config.tty,
        keys,
        signals(!config.tty, &engine, &id),
    );
    let ended = attach::attend(session, &manner, &held)?;
    exit_code(ended, &engine, &id)
}

/// `attach`.
pub fn attach(context: &Context, args: &args::Attach) -> Outcome {
    let keys = detach_keys(&context.client_config(), args.detach_keys.as_deref())?;
    let engine = context.engine()?;
    let name = args.operands.first().map_or("", String::as_str);
    let id = engine.resolve(name)?;
    let config = engine.container(&id)?.container.config.clone();
    let streams = Attach {
        stdin: !args.no_stdin && config.open_stdin,
        stdout: true,
        stderr: true,
    };
    check_tty(streams.stdin, config.tty)?;
    let held = Held::new()?;
    let session = engine.attach(&id, attach_to(streams, config.tty))?;
    let proxy = args.sig_proxy && !config.tty;
    let manner = manner(streams, config.tty, keys, signals(proxy, &engine, &id));
    match attach::attend(session, &manner, &held)? {
        Ended::Detached => Err(Failure::Usage {
            text: "read escape sequence".to_owned(),
            code: 1,
        }),
        ended => exit_code(ended, &engine, &id),
    }
}

/// `exec`.
pub fn exec(context: &Context, args: &args::Exec) -> Outcome {
    let keys = detach_keys(&context.client_config(), args.detach_keys.as_deref())?;
    let mut request = request::exec(args, &Here::new()?).map_err(Failure::plain)?;
    if !args.detach {
        check_tty(request.stdin, request.tty)?;
    }
    let engine = context.engine()?;
    let name = args.operands.first().map_or("", String::as_str);
    let id = engine.resolve(name)?;
    let streams = Attach {
        stdin: request.stdin,
        stdout: !args.detach,
        stderr: !args.detach,
    };
    request.size = attach_to(streams, request.tty).size;
    let held = Held::new()?;
    let session = engine
        .exec(&id, &request)
        .map_err(|error| Failure::from(error).in_exec())?;
    if args.detach {
        return Ok(0);
    }
    let manner = manner(streams, request.tty, keys, Signals::Leave);
    match attach::attend(session, &manner, &held)? {
        Ended::Exited(exit) => Ok(code_of(exit)),
        Ended::Detached => Ok(0),
        Ended::Signalled(signal) => Ok(of_signal(signal)),
        Ended::Lost => Err(lost(&id)),
    }
}

fn detach_keys(config: &ClientConfig, text: Option<&str>) -> Result<DetachKeys, Failure> {
    DetachKeys::parse(text.unwrap_or(&config.detach_keys)).map_err(|text| Failure::Usage {
        text: format!("wharf: {text}"),
        code: ENGINE,
    })
}

fn check_tty(stdin: bool, tty: bool) -> Result<(), Failure> {
    if stdin && tty && !io::stdin().is_terminal() {
        return Err(Failure::Usage {
            text: "the input device is not a TTY".to_owned(),
            code: 1,
        });
    }
    Ok(())
}

fn attach_to(streams: Attach, tty: bool) -> AttachTo {
    AttachTo {
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        size: tty
            .then(|| terminal::size(io::stdout()).or_else(|| terminal::size(io::stdin())))
            .flatten(),
    }
}

fn signals(proxy: bool, engine: &Engine, id: &ContainerId) -> Signals {
    if proxy {
        Signals::Forward(engine.clone(), id.clone())
    } else {
        Signals::Leave
    }
}

fn manner(streams: Attach, tty: bool, keys: DetachKeys, signals: Signals) -> Manner {
    Manner {
        tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        keys,
        signals,
    }
}

/// The exit code that the front ends with.
fn exit_code(ended: Ended, engine: &Engine, id: &ContainerId) -> Outcome {
    match ended {
        Ended::Exited(exit) => Ok(code_of(exit)),
        Ended::Detached => Ok(0),
        Ended::Signalled(signal) => Ok(of_signal(signal)),
        // The monitor is gone: recovery knows what became of the process.
        Ended::Lost => match engine.wait(id, &Cancel::new()) {
            Ok(Some(exit)) => Ok(code_of(exit)),
            Ok(None) => Err(lost(id)),
            Err(error) if error.kind() == Kind::NotFound => Err(lost(id)),
            Err(error) => Err(error.into()),
        },
    }
}

fn lost(id: &ContainerId) -> Failure {
    Error::new(
        Kind::Unavailable,
        format!(
            "attach {}: its monitor ended without telling an exit code",
            id.short()
        ),
    )
    .into()
}

/// The low byte, as wait(2) and every shell have it.
fn code_of(exit: Exit) -> u8 {
    u8::try_from(exit.code & 0xff).unwrap_or(u8::MAX)
}

fn of_signal(signal: i32) -> u8 {
    u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX)
}
