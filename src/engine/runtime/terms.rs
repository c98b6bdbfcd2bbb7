//! On what terms a process is started: whether it outlives its parent, what it waits for, what it inherits. A monitor's
//! containers live as long as the monitor; those of `oci` live on their own.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use super::hooks::Outputs;
use crate::engine::error::{Error, Result};

/// The terms. The default is a monitor's: the process dies with its parent, and nothing is inherited.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// It stays when its parent ends. Until [`Attendant::prepared`] has returned, it ends with it.
    pub outlives_parent: bool,
    /// A listening socket; the program is executed after somebody has connected to it.
    pub gate: Option<BorrowedFd<'a>>,
    /// The parent has something to do between the mounts and the change of root: [`Attendant::mounted`].
    pub stops_when_mounted: bool,
    /// So many descriptors from 3 on go to the program.
    pub preserved_fds: u32,
    /// Which container it is: for hooks, the session keyring and what is named after it.
    pub container: Option<Container<'a>>,
    /// The root is moved to, not pivoted to: for a root that cannot be (initramfs).
    pub no_pivot: bool,
    /// Where hooks in the container write to.
    pub hook_outputs: Option<&'a Outputs>,
    /// The session keyring stays that of the caller.
    pub no_new_keyring: bool,
}

/// How errors name what a specification lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// By the place in the list, which somebody else wrote: `mounts[3]`.
    Places,
    /// By what it is alone: nobody has seen the list.
    Things,
}

impl Names {
    /// Puts the place in front of an error.
    #[must_use]
    pub fn name(self, list: &str, number: usize, error: Error) -> Error {
        match self {
            Self::Places => error.attempting(format!("{list}[{number}]")),
            Self::Things => error,
        }
    }
}

impl Terms<'_> {
    /// Those who wrote the specification know its lists.
    #[must_use]
    pub fn names(&self) -> Names {
        match self.container {
            Some(_) => Names::Places,
            None => Names::Things,
        }
    }
}

/// A container as others know it.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    /// Its name.
    pub id: &'a str,
    /// Its bundle's directory.
    pub bundle: &'a Path,
}

/// The first process as its parent sees it while it waits.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// Its id in our pid namespace.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: BorrowedFd<'a>,
    /// Its terminal's master, if it has one and is that far.
    pub terminal: Option<BorrowedFd<'a>>,
}

/// What the parent does at the points where a child with such [`Terms`] waits for it. An error ends the child.
pub trait Attendant {
    /// Whether [`Self::cloned`] has work of milliseconds to do.
    fn is_busy_when_cloned(&self) -> bool {
        false
    }

    /// The child is in its namespaces and mounts; its command waits until this is done. `network` opens its network
    /// namespace. The child may be on its way into its groups still.
    ///
    /// # Errors
    /// What ends the start.
    fn cloned(&mut self, _network: &dyn Fn() -> Result<OwnedFd>) -> Result<()> {
        Ok(())
    }

    /// Namespaces and mounts exist, the root is still the host's. Only with [`Terms::stops_when_mounted`].
    ///
    /// # Errors
    /// What ends the start.
    fn mounted(&mut self, waiting: Waiting<'_>) -> Result<()>;

    /// Nothing is left to do but to execute the program. Afterwards this process is not needed any more. Only with
    /// [`Terms::outlives_parent`].
    ///
    /// # Errors
    /// What ends the start.
    fn prepared(&mut self, waiting: Waiting<'_>) -> Result<()>;

    /// A filter of system calls that asks somebody is in force; this is its descriptor. The child may already be waiting
    /// for an answer.
    ///
    /// # Errors
    /// What ends the start.
    fn filtered(&mut self, waiting: Waiting<'_>, filter: BorrowedFd<'_>) -> Result<()>;
}

/// For children that wait for nothing.
#[derive(Debug)]
pub(super) struct Nobody;

impl Attendant for Nobody {
    fn mounted(&mut self, _waiting: Waiting<'_>) -> Result<()> {
        Ok(())
    }

    fn prepared(&mut self, _waiting: Waiting<'_>) -> Result<()> {
        Ok(())
    }

    fn filtered(&mut self, _waiting: Waiting<'_>, _filter: BorrowedFd<'_>) -> Result<()> {
        let message = "linux.seccomp.listenerPath: there is nobody here to tell of a filter";
        Err(Error::unsupported(message))
    }
}
