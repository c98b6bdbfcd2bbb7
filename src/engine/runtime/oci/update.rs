//! `update`: limits changed while a container runs. What it has been given so far is remembered beside its record.

use oci_spec::runtime::LinuxResources;

use super::Runtime;
use super::field;
use super::processes::cgroup;
use super::state::{Known, Status};
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::runtime::dialect;
use crate::engine::runtime::rdt::Allocation;

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
        let (_lock, known) = self.find(id)?.lock()?;
        check_alive(&known)?;
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

    /// Changes cache and memory bandwidth; an empty schema changes nothing.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if the container does not run; if it was made without
    /// `linux.intelRdt`; what the kernel says.
    pub fn update_rdt(&self, id: &str, cache: &str, bandwidth: &str) -> Result<()> {
        let (_lock, known) = self.find(id)?.lock()?;
        check_alive(&known)?;
        let mut spec = known.place.spec()?;
        let linux = spec.linux_mut().as_mut();
        let rdt = linux
            .and_then(|linux| linux.intel_rdt_mut().as_mut())
            .ok_or_else(|| {
                Error::invalid("updating a non-existent Intel RDT configuration is not supported")
            })?;
        rdt.set_l3_cache_schema(Some(cache.to_owned()))
            .set_mem_bw_schema(Some(bandwidth.to_owned()));
        match Allocation::of(&spec, known.record.id.as_str())? {
            Some(allocation) => allocation.change(),
            None => Ok(()),
        }
    }
}

fn check_alive(known: &Known) -> Result<()> {
    match known.status()? {
        Status::Created | Status::Running | Status::Paused => Ok(()),
        Status::Stopped | Status::Creating => Err(Error::conflict("container not running")),
    }
}
