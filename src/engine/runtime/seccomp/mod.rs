//! Filters of system calls: the default one by capabilities, and those of an OCI specification. Installing them is for
//! `sys::seccomp`.
//!
//! ```text
//! assets/seccomp.json ─ profile ─┐
//!                                ├─> plan ─> program ─> Filter
//! linux.seccomp ────────── oci ──┘    │
//!                       table (assets/syscalls.tsv)
//! ```
//!
//! The build script runs the same code for the default profile: for Docker's capabilities and for none, a start costs
//! nothing but the installation. Other sets of capabilities are compiled at the start. Whom a filter asks is told by
//! `notify`.

pub mod docker;
pub mod notify;
mod oci;
mod plan;
#[expect(
    dead_code,
    reason = "which capabilities matter is asked by the build script alone"
)]
mod profile;
mod program;
#[expect(dead_code, reason = "the file is read by the build script alone")]
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::PathBuf;

use oci_spec::runtime::{Capabilities, LinuxSeccomp};

use crate::engine::error::{Error, Result};
use crate::engine::sys::seccomp::Instruction;
use program::Op;
use table::{Arch, Numbers, Row, Table};

// `NATIVE`, the host's architecture; `DECIDING`, the capabilities that the default profile asks about, with blanks
// between them; `READY`, filters for some sets of those; `TABLE`, the system calls.
include!(concat!(env!("OUT_DIR"), "/seccomp.rs"));

/// A filter that is ready to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The instructions, 4096 at most.
    pub program: Cow<'static, [Instruction]>,
    /// `SECCOMP_FILTER_FLAG_*` of seccomp(2).
    pub flags: u32,
    /// Who is told of system calls that the filter asks somebody about.
    pub listener: Option<Listener>,
}

/// Where the descriptor of a filter that asks goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// A listening stream socket.
    pub path: PathBuf,
    /// For whom listens; may be empty.
    pub metadata: String,
}

/// The default profile for a container whose bounding set is `caps`: what a capability is for, its system calls are
/// allowed with it. Some microseconds for the usual sets, else below a millisecond.
pub fn default_filter(caps: &Capabilities) -> Filter {
    let mut names: Vec<String> = caps.iter().map(|cap| format!("CAP_{cap}")).collect();
    names.retain(|name| DECIDING.split(' ').any(|deciding| deciding == name));
    names.sort_unstable();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let set = names.join(" ");
    let ready = READY.iter().find(|(ready, _)| *ready == set);
    let program = match ready {
        Some((_, program)) => Cow::Borrowed(*program),
        None => Cow::Owned(default_program(NATIVE, &names)),
    };
    Filter {
        program,
        flags: oci::SPEC_ALLOW,
        listener: None,
    }
}

/// The filter that a specification describes.
///
/// System calls that an architecture does not have are skipped there, architectures that this host does not run are
/// skipped altogether; the host's own is always included.
///
/// # Errors
/// Invalid input for values out of range, contradictions and more than the kernel takes. The message begins with the
/// field.
pub fn compile(spec: &LinuxSeccomp) -> Result<Filter> {
    let plan = oci::plan(spec, NATIVE)?;
    let program = program::assemble(&plan).map_err(|program::TooLong(length)| {
        Error::invalid(format!(
            "linux.seccomp.syscalls: the filter has {length} instructions, the kernel takes 4096"
        ))
    })?;
    Ok(Filter {
        program: program.into_iter().map(instruction).collect(),
        flags: oci::flags(spec),
        listener: oci::listener(spec)?,
    })
}

/// The flags that a specification's filter is installed with, as seccomp(2) has them.
#[must_use]
pub fn flags(spec: &LinuxSeccomp) -> u32 {
    oci::flags(spec)
}

/// Who is to be told of a specification's filter, if it asks anybody.
///
/// # Errors
/// As [`compile`].
pub fn listener(spec: &LinuxSeccomp) -> Result<Option<Listener>> {
    oci::listener(spec)
}

/// Compiles the built-in profile.
fn default_program(native: Arch, caps: &[&str]) -> Vec<Instruction> {
    let profile = profile::Profile::built_in().expect("the build script read the same file");
    let plan = profile.plan(TABLE, native, caps);
    let program = program::assemble(&plan).expect("the profile makes a short program");
    program.into_iter().map(instruction).collect()
}

fn instruction(op: Op) -> Instruction {
    let Op { code, jt, jf, k } = op;
    Instruction { code, jt, jf, k }
}
