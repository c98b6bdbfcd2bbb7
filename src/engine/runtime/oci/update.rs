//! `update`: limits changed while a container runs. What it has been given so far is remembered beside its record.

use oci_spec::runtime::LinuxResources;

use super::Runtime;
use super::field;
use super::processes::cgroup;
use super::state::Status;
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::runtime::dialect;

/// Reads resources as `update --resources` takes them.
///
/// # Errors
/// The field that is wrong.
pub fn read(content: &[u8]) -> Result<LinuxResources> {
    let mut resources: LinuxResources = field::read(content).attempt(|| "--resources")?;
    dialect::tidy_resources(&mut resources, content, "");
    Ok(resources)
}

impl Runtime {
    /// Changes limits: what is not set stays as it is. All or nothing.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if the container does not run; the field that cannot be
    /// changed and what the kernel says.
    pub fn update(&self, id: &str, change: &LinuxResources) -> Result<()> {
        let known = self.find(id)?;
        let _lock = known.place.lock()?;
        match known.status()? {
            Status::Created | Status::Running | Status::Paused => {}
            Status::Stopped | Status::Creating => {
                return Err(Error::conflict("container not running"));
            }
        }
        let before = match known.place.resources()? {
            Some(resources) => resources,
            None => known
                .place
                .spec()?
                .linux()
                .as_ref()
                .and_then(|linux| linux.resources().clone())
                .unwrap_or_default(),
        };
        let after = cgroup(&known)?.update(&before, change)?;
        known.place.keep_resources(&after)
    }
}
