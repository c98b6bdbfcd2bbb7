//! `exec`.

use std::path::{Path, PathBuf};

use super::grammar::Parsed;
use super::{Context, Failure, Outcome, absolute, lifecycle};
use crate::engine::runtime::oci::exec::{Change, Exec};
use crate::engine::runtime::oci::{self, bundle};

/// What `exec` ends with if it is not the process's own code, as runc does.
const FAILED: u8 = 255;

pub(super) fn exec(context: &Context, parsed: &Parsed) -> Outcome {
    run(context, parsed).map_err(|failure| failure.with_code(FAILED))
}

fn run(context: &Context, parsed: &Parsed) -> Outcome {
    oci::protect()?;
    let code = context.runtime.exec(&request(parsed)?)?;
    Ok(u8::try_from(code).unwrap_or(FAILED))
}

fn request(parsed: &Parsed) -> Result<Exec, Failure> {
    let (listen_fds, preserved_fds) = lifecycle::handed_on(parsed)?;
    let text = |name: &str| {
        let given = parsed.value(name).filter(|text| !text.is_empty());
        given.map(str::to_owned)
    };
    let path = |name: &str| {
        text(name)
            .map(|path| absolute(Path::new(&path)))
            .transpose()
    };
    let list = |name: &str| parsed.values(name).map(str::to_owned).collect();
    let document = parsed.value("process").map(bundle::read_document);
    let document = document.transpose()?;
    // As with runc a document makes a command on the command line count for nothing.
    let args = parsed.operands.get(1..).unwrap_or_default().to_vec();
    Ok(Exec {
        id: parsed.id().to_owned(),
        document,
        change: Change {
            args,
            tty: parsed.has("tty"),
            cwd: text("cwd").map(PathBuf::from),
            env: list("env"),
            user: text("user"),
            additional_gids: gids(parsed)?,
            caps: list("cap"),
            process_label: text("process-label"),
            apparmor: text("apparmor"),
            no_new_privs: parsed.switch("no-new-privs"),
        },
        detach: parsed.has("detach"),
        ignore_paused: parsed.has("ignore-paused"),
        cgroups: cgroups(parsed)?,
        console_socket: path("console-socket")?,
        pidfd_socket: path("pidfd-socket")?,
        pid_file: path("pid-file")?,
        preserved_fds,
        listen_fds,
    })
}

/// runc's rules: one path for all controllers, or each controller once.
fn cgroups(parsed: &Parsed) -> Result<Vec<String>, Failure> {
    let list: Vec<String> = parsed.values("cgroup").map(str::to_owned).collect();
    let mut seen: Vec<&str> = Vec::new();
    for text in &list {
        let Some((controllers, _)) = text.split_once(':') else {
            if list.len() > 1 {
                return Err(Failure::usage(format!(
                    "invalid --cgroup argument: {text} (missing <controller>: prefix)"
                )));
            }
            continue;
        };
        for name in controllers.split(',') {
            if name.is_empty() {
                return Err(Failure::usage(format!(
                    "invalid --cgroup argument: {text} (empty <controller> prefix)"
                )));
            }
            if seen.contains(&name) {
                return Err(Failure::usage(format!(
                    "invalid --cgroup argument(s): controller {name} specified multiple times"
                )));
            }
            seen.push(name);
        }
    }
    Ok(list)
}

fn gids(parsed: &Parsed) -> Result<Vec<u32>, Failure> {
    let all = parsed.values("additional-gids");
    all.flat_map(|text| text.split(','))
        .map(|text| {
            text.parse().map_err(|error| {
                Failure::usage(format!(
                    "additional-gids must be a positive number {text}: {error}"
                ))
            })
        })
        .collect()
}
