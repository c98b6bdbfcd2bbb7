//! A dockerd that tests compare with.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::{Host, Output, PATIENCE, collect, has_peer, pause, skip};

/// A dockerd with roots, mounts, network and processes of its own, no bridge and no firewall entries; ended when dropped.
#[derive(Debug)]
pub struct Docker {
    daemon: Child,
    socket: String,
    config: PathBuf,
}

impl Docker {
    /// `None`, as [`skip`], where it is not installed or does not start.
    pub fn start(host: &Host, flags: &[&str]) -> Option<Self> {
        if !(has_peer("dockerd") && has_peer("docker")) {
            return None;
        }
        let name = host.dir().file_name()?.to_string_lossy();
        let dir = host.dir().join("docker");
        fs::create_dir_all(&dir).unwrap();
        let socket = format!("unix://{}/sock", dir.display());
        let log = fs::File::create(dir.join("log")).unwrap();
        let daemon = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private"])
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            // Sockets of its containers are there, wherever its roots are.
            .args(["sh", "-c", "mount -t tmpfs none /run && exec \"$@\"", "sh"])
            .args(["dockerd", "--host", &socket])
            .args(flags)
            // Removed with the host, as everything that has its name.
            .args(["--cgroup-parent", &format!("/{name}")])
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut docker = Self {
            daemon,
            socket,
            config: dir.join("config"),
        };
        let deadline = std::time::Instant::now() + PATIENCE;
        while docker.run(&["version"], &[]).code != 0 {
            let ended = docker.daemon.try_wait().unwrap();
            if ended.is_some() || std::time::Instant::now() > deadline {
                let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
                skip(&format!(
                    "dockerd does not start: {}",
                    log.lines().last().unwrap_or("")
                ));
                return None;
            }
            pause();
        }
        Some(docker)
    }

    /// Where it listens.
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// Runs docker's command line to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S], stdin: &[u8]) -> Output {
        let mut command = Command::new("docker");
        command.args(["--host", &self.socket]).args(args);
        command.env_clear().env("DOCKER_CONFIG", &self.config);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        collect(command.stdin(Stdio::piped()), stdin)
    }

    /// The same, and it must succeed.
    pub fn ok(&self, args: &[&str], stdin: &[u8]) -> String {
        let output = self.run(args, stdin);
        assert_eq!(output.code, 0, "docker {args:?}: {output:#?}");
        output.stdout.trim_end().to_owned()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
