//! Devices that their vendors describe: the Container Device Interface (CDI specification, 0.1 to 1.1). A device is named
//! `vendor.com/class=name`; files below [`DIRECTORIES`] say what a container gets with it.
//!
//! `document.rs` is the files' format, `registry.rs` finds what is named, `edits.rs` puts it into a specification.

mod document;
mod edits;
mod registry;

use std::path::Path;

use oci_spec::runtime::Spec;

use crate::engine::error::{Error, Result};
use crate::engine::model::rights::{CDI, DeviceRequest};
use registry::Registry;

/// Where descriptions are; those of the later directory count.
pub const DIRECTORIES: &[&str] = &["/etc/cdi", "/var/run/cdi"];

/// What `--gpus` asks for, by capabilities that come with every description of the vendor.
const GPU: &str = "nvidia.com/gpu";

/// Capabilities of [`GPU`]'s vendor; which of them a container gets is up to the description.
const KNOWN: &[&str] = &[
    "gpu", "nvidia", "compute", "compat32", "display", "graphics", "ngx", "utility", "video",
];

/// Puts everything into a specification that comes with the devices. Reads the directories only if there is a request.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) for devices that nobody describes, or in a way that
/// cannot be; a hint says which files were left out, and why.
pub fn inject(spec: &mut Spec, requests: &[DeviceRequest]) -> Result<()> {
    let directories: Vec<&Path> = DIRECTORIES.iter().map(Path::new).collect();
    inject_from(spec, requests, &directories)
}

fn inject_from(spec: &mut Spec, requests: &[DeviceRequest], from: &[&Path]) -> Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    let registry = Registry::read(from)?;
    let mut names = Vec::new();
    for request in requests {
        names.extend(qualified(request, &registry)?);
    }
    edits::apply(spec, &registry.edits(&names)?)
}

/// The names of what a request means.
fn qualified(request: &DeviceRequest, registry: &Registry) -> Result<Vec<String>> {
    if request.driver == CDI {
        return Ok(request.ids.clone());
    }
    let capabilities = request.capabilities.join(" ");
    let refuse = || {
        Error::invalid(format!(
            "could not select device driver {:?} with capabilities: [[{capabilities}]]",
            request.driver
        ))
    };
    let is_known = |name: &String| KNOWN.contains(&name.as_str());
    if !matches!(request.driver.as_str(), "" | "nvidia")
        || !request.capabilities.iter().all(is_known)
    {
        return Err(refuse());
    }
    if !request.options.is_empty() {
        return Err(Error::unsupported(
            "--gpus options=…: devices that are described by CDI take no options",
        ));
    }
    if !registry.has_kind(GPU) {
        return Err(refuse().with_hint(format!(
            "{GPU} is not described in {}: 'nvidia-ctk cdi generate' does it",
            DIRECTORIES.join(" or ")
        )));
    }
    let named = |name: &str| format!("{GPU}={name}");
    Ok(match request.count {
        _ if !request.ids.is_empty() => request.ids.iter().map(|id| named(id)).collect(),
        -1 => vec![named("all")],
        count => (0..count)
            .map(|number| named(&number.to_string()))
            .collect(),
    })
}

#[cfg(test)]
mod tests;
