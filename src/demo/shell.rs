//! The shell of the demo's containers: enough to look around in an image that has nothing but wharf in it. It is no
//! POSIX shell and does not want to be one.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Command = fn(&mut Shell, &[&str]) -> io::Result<String>;

/// Name, what it does, how.
const COMMANDS: &[(&str, &str, Command)] = &[
    ("help", "this list", help),
    ("ls", "names in a directory", ls),
    ("cat", "content of files", cat),
    ("cd", "change the directory", cd),
    ("pwd", "print the directory", pwd),
    ("ps", "processes of this container", ps),
    ("env", "environment", env),
    ("id", "user and capabilities", id),
    ("hostname", "name of this container", hostname),
    ("mount", "what is mounted", mount),
    ("free", "memory and its limit", free),
    ("echo", "print the words", echo),
];

struct Shell {
    directory: PathBuf,
}

/// Runs `-c <line>`, or lines from standard input until its end or `exit`.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let mut shell = Shell {
        directory: PathBuf::from("/"),
    };
    if let [flag, line, ..] = arguments
        && flag == "-c"
        && let line = line.to_string_lossy()
        && !looks_for_a_shell(&line)
    {
        return match shell.run(&line) {
            Some(code) => code,
            None => ExitCode::SUCCESS,
        };
    }
    let interactive = io::stdin().is_terminal();
    if interactive {
        let _ = writeln!(
            io::stdout(),
            "This image has nothing but wharf in it; `help` lists what this shell can do."
        );
    }
    let mut lines = io::stdin().lock().lines();
    loop {
        if interactive {
            let mut out = io::stdout();
            let _ = write!(out, "{} # ", shell.directory.display());
            let _ = out.flush();
        }
        let Some(Ok(line)) = lines.next() else {
            return ExitCode::SUCCESS;
        };
        let line = line.trim();
        if line == "exit" {
            return ExitCode::SUCCESS;
        }
        shell.run(line);
    }
}

/// Whether a script only wants to become the best shell that there is: this is the only one.
fn looks_for_a_shell(script: &str) -> bool {
    script
        .split(['\n', ';'])
        .any(|step| step.trim_start().starts_with("exec "))
}

impl Shell {
    /// Runs one line; the exit code if it failed.
    fn run(&mut self, line: &str) -> Option<ExitCode> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, arguments) = words.split_first()?;
        let Some((.., command)) = COMMANDS.iter().find(|(known, ..)| known == name) else {
            let _ = writeln!(io::stderr(), "{name}: not found (try `help`)");
            return Some(ExitCode::from(127));
        };
        match command(self, arguments) {
            Ok(text) => {
                let _ = io::stdout().write_all(text.as_bytes());
                None
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "{name}: {error}");
                Some(ExitCode::FAILURE)
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn help(_: &mut Shell, _: &[&str]) -> io::Result<String> {
    let mut text = String::new();
    for (name, what, _) in COMMANDS {
        let _ = writeln!(text, "{name:<10} {what}");
    }
    text.push_str("exit       leave\n");
    Ok(text)
}

fn ls(shell: &mut Shell, arguments: &[&str]) -> io::Result<String> {
    let directory = shell.path(arguments.first().copied().unwrap_or("."));
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let mark = if kind.is_dir() {
            "/"
        } else if kind.is_symlink() {
            "@"
        } else {
            ""
        };
        names.push(format!("{}{mark}\n", entry.file_name().to_string_lossy()));
    }
    names.sort_unstable();
    Ok(names.concat())
}

fn cat(shell: &mut Shell, arguments: &[&str]) -> io::Result<String> {
    let mut text = String::new();
    for name in arguments {
        text.push_str(&String::from_utf8_lossy(&fs::read(shell.path(name))?));
    }
    Ok(text)
}

fn cd(shell: &mut Shell, arguments: &[&str]) -> io::Result<String> {
    let target = shell.path(arguments.first().copied().unwrap_or("/"));
    let target = target.canonicalize()?;
    if !target.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    shell.directory = target;
    Ok(String::new())
}

fn pwd(shell: &mut Shell, _: &[&str]) -> io::Result<String> {
    Ok(format!("{}\n", shell.directory.display()))
}

fn ps(_: &mut Shell, _: &[&str]) -> io::Result<String> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let mut text = String::from("  PID  COMMAND\n");
    for pid in pids {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let _ = writeln!(text, "{pid:>5}  {}", line.trim_end());
    }
    Ok(text)
}

fn env(_: &mut Shell, _: &[&str]) -> io::Result<String> {
    let mut text = String::new();
    for (name, value) in std::env::vars_os() {
        let _ = writeln!(
            text,
            "{}={}",
            name.to_string_lossy(),
            value.to_string_lossy()
        );
    }
    Ok(text)
}

fn id(_: &mut Shell, _: &[&str]) -> io::Result<String> {
    lines_of(
        "/proc/self/status",
        &["Uid", "Gid", "Groups", "CapEff", "NoNewPrivs", "Seccomp:"],
    )
}

fn hostname(_: &mut Shell, _: &[&str]) -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/hostname")
}

fn mount(_: &mut Shell, _: &[&str]) -> io::Result<String> {
    fs::read_to_string("/proc/self/mounts")
}

fn free(_: &mut Shell, _: &[&str]) -> io::Result<String> {
    let mut text = lines_of("/proc/meminfo", &["MemTotal", "MemAvailable"])?;
    for file in ["memory.max", "memory/memory.limit_in_bytes"] {
        let path = Path::new("/sys/fs/cgroup").join(file);
        if let Ok(limit) = fs::read_to_string(path) {
            let _ = write!(text, "limit: {limit}");
        }
    }
    Ok(text)
}

fn echo(_: &mut Shell, arguments: &[&str]) -> io::Result<String> {
    Ok(format!("{}\n", arguments.join(" ")))
}

fn lines_of(file: &str, names: &[&str]) -> io::Result<String> {
    let text = fs::read_to_string(file)?;
    let wanted = text
        .lines()
        .filter(|line| names.iter().any(|name| line.starts_with(name)));
    Ok(wanted.fold(String::new(), |mut found, line| {
        let _ = writeln!(found, "{line}");
        found
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cd_follows_the_file_system_and_refuses_what_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "text").unwrap();
        let mut shell = Shell {
            directory: dir.path().to_owned(),
        };
        assert!(cd(&mut shell, &["file"]).is_err());
        assert!(cd(&mut shell, &["missing"]).is_err());
        assert_eq!(cat(&mut shell, &["file"]).unwrap(), "text");
        cd(&mut shell, &["/"]).unwrap();
        assert_eq!(pwd(&mut shell, &[]).unwrap(), "/\n");
    }

    #[test]
    fn an_unknown_word_is_exit_code_127() {
        let mut shell = Shell {
            directory: PathBuf::from("/"),
        };
        assert!(shell.run("vi /etc/passwd").is_some());
        assert!(shell.run("echo a b").is_none());
        assert!(shell.run("").is_none());
        assert!(!looks_for_a_shell("cat /etc/execs"));
        assert!(looks_for_a_shell(
            "[ -x /bin/bash ] || true; exec \"$shell\" -i"
        ));
    }
}
