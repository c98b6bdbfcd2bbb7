//! A container's root file system as others see it: opened by descriptor, for the engine to read and write below it. Paths
//! are resolved in that root (`sys::rooted`); nothing is ever mounted on the host.
//!
//! A running container's root is taken from its own mount namespace, with or without what is mounted in it. That of a
//! container that does not run is mounted in a mount namespace that ends with the work. Both are done by a thread made for
//! it, which no other work ever runs on.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Spec;

use super::cgroup::Cgroup;
use super::labels;
use super::launch::Rootfs;
use super::mounts::{self, Made};
use super::rootfs;
use super::terms::Names;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::mount::{self, Depth};
use crate::engine::sys::process::{Cloned, Wait};
use crate::engine::sys::rooted::Rooted;
use crate::engine::sys::{namespace, process};

/// How much of what a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Its root file system without anything that is mounted in it.
    Alone,
    /// Everything that its processes see.
    Everything,
}

/// The root of a process that was started at a time (proc(5), stat field 22). The descriptor keeps it alive.
///
/// # Errors
/// [`Kind::Conflict`] if it has ended; what the kernel says.
pub fn of_process(pid: i32, started: u64, reach: Reach) -> Result<Rooted> {
    on_a_thread(|| {
        let ended = || Error::conflict("the container is not running");
        let pidfd = match process::open_pidfd(pid) {
            Err(error) if error.kind() == Kind::NotFound => return Err(ended()),
            other => other?,
        };
        // Asked after the descriptor is there: it cannot come to mean another process.
        if !process::is_alive(pid, started)? {
            return Err(ended());
        }
        namespace::unshare_directories()?;
        match namespace::enter(pidfd.as_fd(), process::NEWNS) {
            Err(error) if error.kind() == Kind::NotFound => return Err(ended()),
            other => other?,
        }
        // That of the namespace, wherever the process itself may have gone by chroot(2) (setns(2)).
        let root = Rooted::open(Path::new("/"))?;
        match reach {
            Reach::Everything => Ok(root),
            Reach::Alone => mount::clone_fd(root.as_fd(), Depth::One, "/").map(Rooted::from_fd),
        }
    })
}

/// A copy of what a process has mounted at a path, to be mounted elsewhere. A process of our own looks: this one must have
/// one thread, and keeps its mount namespace.
///
/// # Errors
/// [`Kind::Conflict`] if it has ended; what the kernel says.
pub fn copy_of(pid: i32, started: u64, path: &Path) -> Result<OwnedFd> {
    let pidfd = process::open_pidfd(pid)?;
    if !process::is_alive(pid, started)? {
        return Err(Error::conflict("the container that is joined has ended"));
    }
    let (ours, theirs) = process::message_pair()?;
    match process::clone_process(0, None)? {
        Cloned::Child => {
            let sent = namespace::enter(pidfd.as_fd(), process::NEWNS)
                .and_then(|()| mount::clone_path(path, Depth::One))
                .and_then(|copy| process::send_message(theirs.as_fd(), b"M", Some(copy.as_fd())));
            process::exit_now(i32::from(sent.is_err()))
        }
        Cloned::Parent { pidfd, .. } => {
            drop(theirs);
            let mut byte = [0];
            let received = process::receive_message(ours.as_fd(), &mut byte);
            process::wait(pidfd.as_fd(), Wait::Block)?;
            let (_, copy) = received?;
            copy.ok_or_else(|| {
                let path = path.display();
                Error::not_found(format!("{path} of the container that is joined"))
            })
        }
    }
}

/// Mounts a root where nobody sees it, and in it what `spec` says, and does the work there. The caller keeps the container
/// from being started meanwhile.
///
/// # Errors
/// What cannot be mounted, and the work's own.
pub fn of_layers<T: Send>(
    rootfs: &Rootfs,
    spec: &Spec,
    cgroup: &Cgroup,
    work: impl FnOnce(&Rooted) -> Result<T> + Send,
) -> Result<T> {
    on_a_thread(|| {
        namespace::unshare(process::NEWNS)?;
        mount::make_all_private()?;
        // Sources are copied while the host's tree is still what it is.
        let prepared = mounts::prepare(spec, None, Names::Things)?;
        let root = Rooted::from_fd(rootfs::mount(rootfs, labels::of_mounts(spec), None)?);
        let place = mounts::Place::new(&root, spec, cgroup)?;
        let mut made = Made::default();
        for (wanted, prepared) in spec.mounts().iter().flatten().zip(&prepared) {
            mounts::make(place, wanted, prepared, &mut made)?;
        }
        made.finish()?;
        work(&root)
    })
}

/// Namespaces are a thread's own: this one ends with the work.
fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|_panic| Err(Error::new(Kind::Internal, "a thread panicked")))
    })
}
