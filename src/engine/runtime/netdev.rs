//! Network devices of the host that a container takes with it (runtime-spec, "Linux Network Devices"): they keep their
//! addresses, and are up. When the container's network namespace goes, the kernel brings physical ones back.

use std::os::fd::BorrowedFd;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::init;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::link::{Links, MAX_NAME};

/// A device, and what it is called in the container.
type Device<'a> = (&'a str, &'a str);

/// Refuses names that no device can have, and devices without a namespace to go to.
///
/// # Errors
/// [`Kind::InvalidInput`] naming the device.
pub(super) fn check(spec: &Spec) -> Result<()> {
    let devices = devices(spec);
    let mut namespaces = init::namespaces(spec);
    if !devices.is_empty() && !namespaces.any(|n| n.typ() == LinuxNamespaceType::Network) {
        return Err(Error::invalid(
            "linux.netDevices: unable to move network devices without a NET namespace",
        ));
    }
    let names = devices.iter().flat_map(|(name, inside)| [name, inside]);
    match names.into_iter().find(|name| !is_name(name)) {
        Some(name) => Err(Error::invalid(format!(
            "linux.netDevices: invalid network device name {name:?}"
        ))),
        None => Ok(()),
    }
}

/// Moves all devices from this process's network namespace to another one.
///
/// # Errors
/// The device and what the kernel says; those that were moved before stay there.
pub(super) fn move_all(spec: &Spec, namespace: BorrowedFd<'_>) -> Result<()> {
    let devices = devices(spec);
    if devices.is_empty() {
        return Ok(());
    }
    let (here, there) = (Links::here()?, Links::of(namespace)?);
    for device in devices {
        move_one(&here, &there, namespace, device)
            .attempt(|| format!("linux.netDevices: {}", device.0))?;
    }
    Ok(())
}

/// Whether [`move_all`] has anything to do.
pub(super) fn any(spec: &Spec) -> bool {
    !devices(spec).is_empty()
}

fn move_one(
    here: &Links,
    there: &Links,
    namespace: BorrowedFd<'_>,
    (name, inside): Device<'_>,
) -> Result<()> {
    let index = here.find(name)?;
    // A move takes its addresses from it.
    let addresses = here.addresses(index)?;
    here.set_up(index, false)?;
    let before = there.all()?;
    here.send_to(index, namespace, inside)?;
    // The kernel may have had to give it another number, and has chosen the name if that is a template.
    let index = there
        .all()?
        .into_iter()
        .find(|index| !before.contains(index))
        .ok_or_else(|| Error::new(Kind::Internal, "it did not arrive"))?;
    for address in &addresses {
        there.add_address(index, address)?;
    }
    there.set_up(index, true)
}

/// In the order of their names, so that failures are always the same.
fn devices(spec: &Spec) -> Vec<Device<'_>> {
    let list = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.net_devices().as_ref());
    let mut devices: Vec<Device<'_>> = list
        .into_iter()
        .flatten()
        .map(|(name, device)| {
            let inside = device.name().as_deref().filter(|inside| !inside.is_empty());
            (name.as_str(), inside.unwrap_or(name))
        })
        .collect();
    devices.sort_unstable();
    devices
}

/// As the kernel judges (`dev_valid_name`).
fn is_name(name: &str) -> bool {
    let plain = |c: char| !matches!(c, '/' | ':') && !c.is_whitespace();
    !matches!(name, "" | "." | "..") && name.len() <= MAX_NAME && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(linux: &str) -> Result<(), String> {
        let json = format!(r#"{{"ociVersion":"1.3.0","linux":{{{linux}}}}}"#);
        check(&serde_json::from_str(&json).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn devices_have_names_and_somewhere_to_go() {
        let net = r#""namespaces":[{"type":"network"}],"netDevices":"#;
        assert_eq!(
            verdict(&format!(r#"{net}{{"eth0":{{"name":"c%d"}}}}"#)),
            Ok(())
        );
        assert_eq!(
            verdict(&format!(r#"{net}{{"eth0":{{"name":""}}}}"#)),
            Ok(())
        );
        assert_eq!(verdict(r#""netDevices":{}"#), Ok(()));
        assert_eq!(
            verdict(r#""netDevices":{"eth0":{}}"#),
            Err(
                "linux.netDevices: unable to move network devices without a NET namespace"
                    .to_owned()
            )
        );
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-letters-"] {
            let text = format!("linux.netDevices: invalid network device name {bad:?}");
            assert_eq!(
                verdict(&format!(r#"{net}{{"{bad}":{{}}}}"#)),
                Err(text.clone())
            );
            if !bad.is_empty() {
                let renamed = format!(r#"{net}{{"eth0":{{"name":"{bad}"}}}}"#);
                assert_eq!(verdict(&renamed), Err(text));
            }
        }
    }
}
