//! What of a new network goes together, and which values its driver's options may have: refused here, before anything is made.

use std::collections::BTreeMap;

use super::error::{Error, Kind, Result};
use super::model::network::{self, Driver};
use super::model::request;
use super::networks::is_predefined;

/// Docker's rules of what goes together.
pub(super) fn check(request: &request::CreateNetwork) -> Result<Driver> {
    let name = &request.name;
    if name.trim().is_empty() {
        return Err(Error::invalid("invalid network name: name is empty"));
    }
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !first || !name.chars().all(rest) || name.len() > 200 {
        return Err(Error::invalid(format!(
            "invalid network name: {name}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )));
    }
    if is_predefined(name) || name == "default" {
        return Err(Error::new(
            Kind::Denied,
            format!("operation is not permitted on predefined {name} network"),
        ));
    }
    let driver = match request.driver.as_str() {
        "" | "bridge" => Driver::Bridge,
        "macvlan" => Driver::Macvlan,
        "ipvlan" => Driver::Ipvlan,
        known @ ("host" | "null" | "none") => {
            let known = if known == "none" { "null" } else { known };
            return Err(Error::new(
                Kind::Denied,
                format!("only one instance of \"{known}\" network is allowed"),
            ));
        }
        "overlay" => {
            return Err(Error::unsupported(
                "the driver overlay is for a swarm, which there is none of",
            ));
        }
        other => {
            return Err(Error::not_found(format!(
                "could not find plugin {other}: plugin \"{other}\" not found"
            ))
            .with_hint("drivers are bridge, macvlan and ipvlan"));
        }
    };
    if request.config_only {
        if request.internal || request.attachable {
            return Err(Error::invalid(
                "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.",
            ));
        }
        if !request.config_from.is_empty() {
            return Err(Error::invalid(
                "a configuration network cannot be made from another one",
            ));
        }
    }
    if !request.config_from.is_empty() && (!request.pools.is_empty() || !request.options.is_empty())
    {
        return Err(Error::invalid(
            "user specified configurations are not supported if the network depends on a configuration network",
        ));
    }
    if request.ipv4 == Some(false) && request.ipv6 != Some(true) {
        return Err(Error::invalid("IPv4 or IPv6 must be enabled"));
    }
    let isolated = request.options.iter().find(|(key, value)| {
        key.starts_with("com.docker.network.bridge.gateway_mode_") && *value == "isolated"
    });
    if let Some((key, _)) = isolated.filter(|_| !request.internal) {
        return Err(Error::invalid(format!(
            "invalid value for {key:?}: gateway mode 'isolated' can only be used for an internal network"
        )));
    }
    check_options(driver, &request.options)?;
    Ok(driver)
}

/// Values that only look like what they should be would be met by the first container; they are refused here.
fn check_options(driver: Driver, options: &BTreeMap<String, String>) -> Result<()> {
    const SWITCHES: [&str; 3] = [
        "com.docker.network.bridge.enable_icc",
        "com.docker.network.bridge.enable_ip_masquerade",
        "com.docker.network.bridge.inhibit_ipv4",
    ];
    let wrong = |key: &str, value: &str, why: &str| {
        Err(Error::invalid(format!(
            "invalid value for {key:?}: {value:?}: {why}"
        )))
    };
    for (key, value) in options {
        let key = key.as_str();
        if SWITCHES.contains(&key) && network::switch(value).is_none() {
            return wrong(key, value, "it is neither true nor false");
        }
        if key == network::MTU && value.parse::<u32>().map_or(true, |mtu| mtu > 65_535) {
            return wrong(key, value, "it is no size of a packet");
        }
        let is_mode = matches!(
            key,
            "com.docker.network.bridge.gateway_mode_ipv4"
                | "com.docker.network.bridge.gateway_mode_ipv6"
        );
        if is_mode
            && !matches!(
                value.as_str(),
                "nat" | "nat-unprotected" | "routed" | "isolated"
            )
        {
            return wrong(
                key,
                value,
                "modes are nat, nat-unprotected, routed, isolated",
            );
        }
        if key == network::BRIDGE_NAME && driver == Driver::Bridge && !is_device_name(value) {
            return wrong(key, value, "it is no name of a device");
        }
        if key == network::INTERFACE_PREFIX && !(is_device_name(value) && value.len() <= 12) {
            return wrong(key, value, "it is no beginning of a device's name");
        }
        if key == "com.docker.network.bridge.host_binding_ipv4"
            && value.parse::<std::net::Ipv4Addr>().is_err()
        {
            return wrong(key, value, "it is no address");
        }
        if driver == Driver::Macvlan
            && key == "macvlan_mode"
            && !matches!(value.as_str(), "bridge" | "private" | "vepa" | "passthru")
        {
            return wrong(key, value, "unknown macvlan mode");
        }
        if driver == Driver::Ipvlan
            && key == "ipvlan_mode"
            && !matches!(value.as_str(), "l2" | "l3" | "l3s")
        {
            return wrong(key, value, "unknown ipvlan mode");
        }
    }
    Ok(())
}

/// What the kernel takes (netdevice(7); `dev_valid_name`).
fn is_device_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b':' && b != b'%';
    (1..=15).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(fits)
}
