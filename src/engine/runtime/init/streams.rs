//! Descriptors: what of the parent's is kept, the terminal, the standard streams.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::LinuxNamespaceType;

use super::Init;
use super::message::TERMINAL;
use super::namespaces::has;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::request::TerminalSize;
use crate::engine::runtime::devices;
use crate::engine::runtime::mounts::Prepared;
use crate::engine::runtime::outside_nodes::OutsideNodes;
use crate::engine::sys::mount::{self, Depth};
use crate::engine::sys::node::{self, Node};
use crate::engine::sys::{process, pty};

/// The child's ends of the standard streams.
#[derive(Debug)]
pub(in crate::engine::runtime) enum ChildIo {
    /// Pipes; without `stdin` the null device.
    Pipes {
        /// Read end.
        stdin: Option<OwnedFd>,
        /// Write end.
        stdout: OwnedFd,
        /// Write end.
        stderr: OwnedFd,
    },
    /// A terminal is opened in the container.
    Terminal(Option<TerminalSize>),
    /// What the parent has.
    Inherit,
}

/// The parent's sockets, locks and logs are none of our business.
pub(super) fn close_inherited(init: &mut Init<'_>) -> Result<()> {
    let mut keep = vec![init.socket.as_fd()];
    keep.extend(init.target);
    keep.extend(init.terms.gate);
    keep.extend(
        init.terms
            .hook_outputs
            .iter()
            .flat_map(|all| all.descriptors()),
    );
    let mounts = init.state.mounts.iter().flatten();
    keep.extend(mounts.flat_map(Prepared::descriptors));
    keep.extend(init.state.nodes.iter().map(OutsideNodes::descriptor));
    keep.extend(init.state.early_root.as_ref().map(AsFd::as_fd));
    keep.extend(init.birth.iter().flat_map(|birth| birth.descriptors()));
    if let ChildIo::Pipes {
        stdin,
        stdout,
        stderr,
    } = &init.io
    {
        keep.extend(stdin.as_ref().map(AsFd::as_fd));
        keep.extend([stdout.as_fd(), stderr.as_fd()]);
    }
    process::close_all_but(init.first_private_fd(), &keep)
}

pub(super) fn open_terminal(init: &mut Init<'_>) -> Result<()> {
    let ChildIo::Terminal(size) = init.io else {
        return Ok(());
    };
    let devpts = match &init.state.made.devpts {
        Some(mounted) => mounted
            .try_clone()
            .map_err(|e| Error::io("duplicate a descriptor", e))?,
        None => init.root()?.resolve_plain(Path::new("/dev/pts"))?,
    };
    let pair = pty::open(devpts.as_fd())?;
    if let Some(size) = size {
        pty::set_size(pair.master.as_fd(), size)?;
    }
    if !init.is_joining() && has(init.spec, LinuxNamespaceType::Mount) {
        // The descriptor is the peer itself: no name that could have been changed is used (CVE-2025-52565).
        let dev = devices::directory(init.root()?, &init.state.made)?;
        let place = devices::console_place(dev.as_fd())?;
        let console = mount::clone_fd(pair.peer.as_fd(), Depth::One, "/dev/console")?;
        mount::attach(console.as_fd(), place.as_fd(), "/dev/console")?;
    }
    process::send_message(init.socket.as_fd(), &[TERMINAL], Some(pair.master.as_fd()))?;
    init.state.terminal = Some(pair.peer);
    Ok(())
}

pub(super) fn set_streams(init: &mut Init<'_>) -> Result<()> {
    let uid = init.identity()?.uid;
    match &init.io {
        ChildIo::Inherit => return own_streams(uid, init.identity()?.gid),
        ChildIo::Terminal(_) => {
            let Some(peer) = &init.state.terminal else {
                return Err(Error::new(Kind::Internal, "no terminal was opened"));
            };
            pty::make_controlling(peer.as_fd())?;
            if uid != 0 {
                process::give_to(peer, uid, None)?;
            }
            for number in 0..=2 {
                process::make_standard(peer.as_fd(), number)?;
            }
        }
        ChildIo::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            let null;
            let input = if let Some(pipe) = stdin {
                pipe.as_fd()
            } else {
                null = devices::open_null(init.root()?)?;
                null.as_fd()
            };
            for (fd, number) in [(input, 0), (stdout.as_fd(), 1), (stderr.as_fd(), 2)] {
                process::make_standard(fd, number)?;
            }
            // So that the user can open `/dev/stdout` again. The null device stays what it is.
            for pipe in [stdin.as_ref(), Some(stdout), Some(stderr)]
                .into_iter()
                .flatten()
                .filter(|_| uid != 0 || init.has_users())
            {
                give_if_allowed(pipe.as_fd(), uid, None)?;
            }
        }
    }
    init.state.terminal = None;
    Ok(())
}

/// So that the user can open `/dev/stdout` again. The null device is everybody's.
fn own_streams(uid: u32, gid: u32) -> Result<()> {
    for number in 0..=2 {
        let stream = process::standard(number);
        if process::owner(stream)? == uid || node::is_open(stream, Node::Character(1, 3))? {
            continue;
        }
        // The group of a terminal may write to it (write(1)).
        let gid = (!pty::is_terminal(stream)).then_some(gid);
        give_if_allowed(stream, uid, gid)?;
    }
    Ok(())
}

/// Where the owner cannot be changed (a file of somebody that this user namespace does not know, a read-only file system)
/// it stays.
fn give_if_allowed(stream: BorrowedFd<'_>, uid: u32, gid: Option<u32>) -> Result<()> {
    match process::give_to(stream, uid, gid) {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EPERM | libc::EROFS | libc::EINVAL)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}
