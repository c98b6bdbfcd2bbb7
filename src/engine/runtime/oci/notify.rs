//! `NOTIFY_SOCKET` (sd_notify(3)): a service manager that waits for readiness hears it from the container's program.
//!
//! The manager's own socket is not given to the container: there is one in its state directory, which is mounted as a
//! directory where the manager's is named. Only readiness is passed on.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::{Mount, Spec};

use super::state::{First, Place};
use crate::engine::error::Result;
use crate::engine::sys::datagram::{Receiver, Sender};
use crate::engine::sys::{file, poll, process};

/// The socket's name in the container's directory for it, as crun calls it.
const NAME: &str = "notify";

/// Where it is mounted if the manager's has no path.
const ABSTRACT: &str = "/run/notify";

const READY: &str = "READY=1";

/// How long the manager may take to look at what it was told.
const BARRIER: Duration = Duration::from_secs(5);

/// How long a look for a message lasts before one for the process.
const GLANCE: Duration = Duration::from_millis(100);

fn directory(place: &Place) -> PathBuf {
    place.path().join(NAME)
}

/// Makes the directory, and has it mounted into the container.
///
/// # Errors
/// What mkdir(2) says.
pub(super) fn prepare(place: &Place, spec: &mut Spec, manager: &str) -> Result<()> {
    let source = directory(place);
    file::create_dir_like(&source, None)?;
    let target = if manager.starts_with('/') {
        manager
    } else {
        ABSTRACT
    };
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"];
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(target))
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(source))
        .set_options(Some(options.map(str::to_owned).to_vec()));
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.push(mount);
    spec.set_mounts(Some(mounts));
    if let Some(process) = spec.process_mut() {
        let mut env = process.env().clone().unwrap_or_default();
        env.retain(|entry| !entry.starts_with("NOTIFY_SOCKET="));
        env.push(format!("NOTIFY_SOCKET={target}/{NAME}"));
        process.set_env(Some(env));
    }
    Ok(())
}

/// The container's socket, and the manager that is to hear of it.
#[derive(Debug)]
pub(super) struct Notify {
    receiver: Receiver,
    manager: String,
}

impl Notify {
    /// Binds the socket of a container that was made with one; `None` for others.
    ///
    /// # Errors
    /// What bind(2) says.
    pub(super) fn listen(place: &Place, manager: Option<&str>) -> Result<Option<Self>> {
        let directory = directory(place);
        let Some(manager) = manager.filter(|_| directory.exists()) else {
            return Ok(None);
        };
        let path = directory.join(NAME);
        file::remove_file(&path)?;
        Ok(Some(Self {
            receiver: Receiver::bind(&path)?,
            manager: manager.to_owned(),
        }))
    }

    /// What to poll for messages.
    pub(super) fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Takes a message and passes readiness on, with the process to watch if one is given: whether it was that.
    ///
    /// # Errors
    /// What the system calls say.
    pub(super) fn pass_on(&self, main: Option<i32>) -> Result<bool> {
        let Some(message) = self.receiver.receive()? else {
            return Ok(false);
        };
        let text = String::from_utf8_lossy(&message);
        if !text.lines().any(|line| line == READY) {
            return Ok(false);
        }
        let sender = Sender::connect(&self.manager)?;
        sender.send(READY, None)?;
        if let Some(pid) = main {
            sender.send(&format!("MAINPID={pid}"), None)?;
        }
        // The manager asks who sent a message: we must still be there (sd_notify_barrier(3)).
        let (ours, theirs) = process::pipe()?;
        sender.send("BARRIER=1", Some(theirs.as_fd()))?;
        drop(theirs);
        poll::wait_readable(&ours, Some(BARRIER))?;
        Ok(true)
    }

    /// Waits until the program is ready, or has ended.
    ///
    /// # Errors
    /// As [`Self::pass_on`].
    pub(super) fn wait(&self, first: First) -> Result<()> {
        while first.is_alive()? {
            if poll::wait_readable(&self.receiver, Some(GLANCE))?
                && self.pass_on(Some(first.pid))?
            {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The manager's socket, if the text can be one: an absolute path or an abstract name.
#[must_use]
pub fn manager(text: Option<String>) -> Option<String> {
    text.filter(|text| Path::new(text).is_absolute() || text.starts_with('@'))
}
