//! Hooks (runtime-spec, "POSIX-platform Hooks"): one after the other, with the container's state on standard input, the
//! environment that they ask for, and a time limit. In which namespaces they run is decided by who calls this.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use oci_spec::runtime::Hook;

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::{file, memory_file, process};

/// Longest part of a hook's output that an error repeats, in bytes.
const MAX_OUTPUT: u64 = 2048;

/// What ends a hook that did not want to, in the words of signal(7).
const SIGNALS: &[(i32, &str)] = &[
    (libc::SIGABRT, "aborted"),
    (libc::SIGKILL, "killed"),
    (libc::SIGSEGV, "segmentation fault"),
    (libc::SIGSYS, "bad system call"),
    (libc::SIGTERM, "terminated"),
];

/// What hooks of one kind are given.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Their kind as `config.json` names it.
    pub kind: &'a str,
    /// The container's state, as JSON.
    pub state: &'a [u8],
    /// Where they run; `None`: where the caller is.
    pub dir: Option<&'a Path>,
    /// `NAME=value` for hooks that say nothing about their environment; `None`: the caller's.
    pub env: Option<&'a [Cow<'a, str>]>,
    /// Where they write to.
    pub outputs: Option<&'a Outputs>,
}

/// Files of the host that hooks write to. What has none is kept until the hook has ended, for the error if it fails.
#[derive(Debug, Default)]
pub struct Outputs {
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Outputs {
    /// As two annotations of crun's say, `run.oci.hooks.stdout` and `…stderr`: paths on the host, relative to `dir`. What is
    /// there stays.
    ///
    /// # Errors
    /// The annotation and what open(2) says.
    pub fn open<'a>(annotation: impl Fn(&str) -> Option<&'a String>, dir: &Path) -> Result<Self> {
        let open = |name: &str| {
            let path = annotation(name).filter(|path| !path.is_empty());
            path.map(|path| file::open_to_append(&dir.join(path)))
                .transpose()
                .attempt(|| format!("annotations.{name}"))
        };
        Ok(Self {
            stdout: open("run.oci.hooks.stdout")?,
            stderr: open("run.oci.hooks.stderr")?,
        })
    }

    /// What a child that runs hooks must keep.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.stdout, &self.stderr]
            .into_iter()
            .flatten()
            .map(AsFd::as_fd)
    }
}

/// The container's state as hooks that run inside of it read it (runtime-spec, "State").
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State<'a> {
    /// Version of the specification.
    pub oci_version: &'a str,
    /// The container's name.
    pub id: &'a str,
    /// In its life.
    pub status: &'a str,
    /// The first process as those inside see it.
    pub pid: u32,
    /// The bundle's directory on the host.
    pub bundle: &'a Path,
    /// From the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<&'a HashMap<String, String>>,
}

impl Setting<'_> {
    /// Runs hooks until one fails.
    ///
    /// # Errors
    /// Which one failed and how, with what it wrote. [`Kind::Timeout`] if it took too long; it was killed then.
    pub fn run(&self, hooks: &[Hook]) -> Result<()> {
        hooks
            .iter()
            .enumerate()
            .try_for_each(|(number, hook)| self.run_one(number, hook))
    }

    /// Runs all hooks; the errors of those that failed.
    #[must_use]
    pub fn run_all(&self, hooks: &[Hook]) -> Vec<Error> {
        hooks
            .iter()
            .enumerate()
            .filter_map(|(number, hook)| self.run_one(number, hook).err())
            .collect()
    }

    fn run_one(&self, number: usize, hook: &Hook) -> Result<()> {
        self.execute(hook)
            .attempt(|| format!("error running {} hook #{number}", self.kind))
    }

    fn execute(&self, hook: &Hook) -> Result<()> {
        let limit = time_limit(hook)?;
        let (stdout, stderr) = (memory_file::new("stdout")?, memory_file::new("stderr")?);
        let mut command = self.command(hook);
        command
            .stdin(self.input()?)
            .stdout(duplicate(
                self.output(|all| all.stdout.as_ref()).unwrap_or(&stdout),
            )?)
            .stderr(duplicate(
                self.output(|all| all.stderr.as_ref()).unwrap_or(&stderr),
            )?);
        let mut child = command
            .spawn()
            .attempt(|| format!("execute {}", hook.path().display()))?;
        let status = wait(&mut child, limit)?;
        if status.success() {
            return Ok(());
        }
        let text = |file| memory_file::content(file, MAX_OUTPUT);
        Err(Error::new(
            Kind::Internal,
            format!(
                "{}, stdout: {}, stderr: {}",
                describe(status),
                text(stdout)?,
                text(stderr)?
            ),
        ))
    }

    fn output(&self, which: impl Fn(&Outputs) -> Option<&File>) -> Option<&File> {
        self.outputs.and_then(which)
    }

    fn command(&self, hook: &Hook) -> Command {
        let mut command = Command::new(hook.path());
        let args = hook.args().as_deref().unwrap_or_default();
        if let Some((name, args)) = args.split_first() {
            command.arg0(name).args(args);
        }
        match (hook.env(), self.env) {
            (Some(own), _) => set_env(&mut command, own.iter().map(String::as_str)),
            (None, Some(env)) => set_env(&mut command, env.iter().map(AsRef::as_ref)),
            (None, None) => {}
        }
        if let Some(dir) = self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// A file rather than a pipe: nobody has to write while the hook runs, and one that does not read stops nobody.
    fn input(&self) -> Result<Stdio> {
        let mut input = memory_file::new("state")?;
        input
            .write_all(self.state)
            .and_then(|()| input.seek(SeekFrom::Start(0)))
            .attempt(|| "write a hook's input")?;
        Ok(Stdio::from(input))
    }
}

/// Exactly these variables. What has no `=` is no variable.
fn set_env<'a>(command: &mut Command, env: impl Iterator<Item = &'a str>) {
    command
        .env_clear()
        .envs(env.filter_map(|entry| entry.split_once('=')));
}

fn time_limit(hook: &Hook) -> Result<Option<Duration>> {
    match hook.timeout() {
        None => Ok(None),
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Ok(Some(Duration::from_secs(seconds))),
            _ => Err(Error::invalid(format!(
                "timeout must be greater than zero, and is {seconds}"
            ))),
        },
    }
}

fn duplicate(file: &File) -> Result<Stdio> {
    file.try_clone()
        .map(Stdio::from)
        .attempt(|| "duplicate a descriptor")
}

fn wait(child: &mut Child, limit: Option<Duration>) -> Result<ExitStatus> {
    let what = || "wait for it";
    let Some(limit) = limit else {
        return child.wait().attempt(what);
    };
    let pidfd = process::open_pidfd(child.id().cast_signed())?;
    if process::wait_ended(pidfd.as_fd(), limit)? {
        return child.wait().attempt(what);
    }
    // It may end by itself meanwhile; either way it is collected.
    let _ = child.kill();
    let _ = child.wait();
    Err(Error::new(
        Kind::Timeout,
        format!("hook ran past specified timeout of {}s", limit.as_secs()),
    ))
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match SIGNALS.iter().find(|(number, _)| *number == signal) {
            Some((_, words)) => format!("signal {signal} ({words})"),
            None => format!("signal {signal}"),
        },
        (None, None) => "unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: Setting<'_> = Setting {
        kind: "prestart",
        state: br#"{"id":"x"}"#,
        dir: None,
        env: None,
        outputs: None,
    };

    fn hook(json: &str) -> Hook {
        serde_json::from_str(json).unwrap()
    }

    fn sh(line: &str) -> Hook {
        let args = serde_json::json!({"path": "/bin/sh", "args": ["sh", "-c", line]});
        serde_json::from_value(args).unwrap()
    }

    fn check(setting: &Setting<'_>, hook: Hook, expect: Result<(), &str>) {
        let got = setting.run(&[hook]).map_err(|error| error.to_string());
        assert_eq!(got, expect.map_err(str::to_owned));
    }

    #[test]
    fn a_hook_reads_the_state() {
        check(&SETTING, sh(r#"[ "$(cat)" = '{"id":"x"}' ]"#), Ok(()));
        // One that does not read it is as good.
        check(&SETTING, sh("true"), Ok(()));
    }

    #[test]
    fn a_failure_names_the_hook_and_what_it_wrote() {
        let text = "error running prestart hook #0: exit status 3, stdout: out, stderr: problem";
        check(
            &SETTING,
            sh("printf out; printf problem >&2; exit 3"),
            Err(text),
        );
        check(
            &SETTING,
            sh("kill -9 $$"),
            Err("error running prestart hook #0: signal 9 (killed), stdout: , stderr: "),
        );
        let error = SETTING
            .run(&[sh("true"), hook(r#"{"path":"/no/such"}"#)])
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("error running prestart hook #1: execute /no/such"),
            "{text}"
        );
    }

    #[test]
    fn nothing_runs_after_a_failure_unless_all_are_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let setting = Setting {
            dir: Some(dir.path()),
            ..SETTING
        };
        let hooks = [sh("exit 1"), sh("echo > made"), sh("exit 2")];
        assert!(setting.run(&hooks).is_err());
        assert!(!dir.path().join("made").exists());
        assert_eq!(setting.run_all(&hooks).len(), 2);
        assert!(dir.path().join("made").exists());
    }

    #[test]
    fn the_environment_is_the_hooks_own_or_the_given_one() {
        let given = [Cow::from("A=given"), Cow::from("B=2")];
        let setting = Setting {
            env: Some(&given),
            ..SETTING
        };
        check(
            &setting,
            sh(r#"[ "$A$B" = given2 ] && [ -z "$HOME" ]"#),
            Ok(()),
        );
        let mut own = sh(r#"[ "$A" = own ] && [ -z "$B" ]"#);
        own.set_env(Some(vec!["A=own".to_owned()]));
        check(&setting, own, Ok(()));
        let mut none = sh(r#"[ -z "$A" ]"#);
        none.set_env(Some(Vec::new()));
        check(&setting, none, Ok(()));
        check(&SETTING, sh(r#"[ -n "$PATH" ]"#), Ok(()));
    }

    #[test]
    fn the_first_argument_is_the_name_that_the_hook_sees() {
        let named = hook(r#"{"path":"/bin/sh","args":["other","-c","[ $0 = other ]"]}"#);
        check(&SETTING, named, Ok(()));
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let mut slow = sh("exec sleep 1000");
        slow.set_timeout(Some(1));
        let error = SETTING.run(&[slow]).unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        let text = "error running prestart hook #0: hook ran past specified timeout of 1s";
        assert_eq!(error.to_string(), text);
        let mut zero = sh("true");
        zero.set_timeout(Some(0));
        let text = "error running prestart hook #0: timeout must be greater than zero, and is 0";
        check(&SETTING, zero, Err(text));
    }
}
