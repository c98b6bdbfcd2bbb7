//! Which networks a container is to be on, and what it asks of each: `--network` and the flags beside it. What
//! contradicts itself is refused in Docker's words (docker/cli `opts/network.go`, moby `runconfig`).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{args, ports, value};
use crate::engine::model::NetworkMode;
use crate::engine::model::network::{Attachment, DnsConfig, Mac, Port, PortBinding};

/// The network that a container is on if none is named.
const DEFAULT: &str = "bridge";

/// All that a container asks of the network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// Whose network it has.
    pub mode: NetworkMode,
    /// The networks that it is on, the first one first.
    pub networks: Vec<Attachment>,
    /// What it publishes.
    pub ports: Vec<PortBinding>,
    /// `--expose`.
    pub exposed: Vec<Port>,
    /// How it finds names.
    pub dns: DnsConfig,
}

/// From the flags of `run` and `create`.
///
/// # Errors
/// Docker's text for what is wrong.
pub fn wishes(args: &args::Create, warnings: &mut Vec<String>) -> Result<Wishes, String> {
    let given = &args.networking;
    let mut ports = Vec::new();
    let mut known = BTreeSet::new();
    for text in &given.publish {
        ports.extend(
            ports::publish(text)?
                .into_iter()
                .filter(|binding| known.insert(*binding)),
        );
    }
    let mut exposed = Vec::new();
    for text in &given.expose {
        exposed.extend(ports::expose(text)?);
    }
    let (mode, networks) = attachments(given)?;
    check(args, &mode)?;
    if mode == NetworkMode::Host && !ports.is_empty() {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
        ports.clear();
    }
    Ok(Wishes {
        mode,
        networks,
        ports,
        exposed,
        dns: DnsConfig {
            servers: given.dns.clone(),
            search: given.dns_search.clone(),
            options: given.dns_option.clone(),
        },
    })
}

/// The networks in the order given; `--ip` and the like belong to the first.
fn attachments(given: &args::Networking) -> Result<(NetworkMode, Vec<Attachment>), String> {
    let mut all: Vec<Attachment> = given.network.clone();
    if all.is_empty() {
        all.push(Attachment {
            network: "default".to_owned(),
            ..Attachment::default()
        });
    }
    if let Some(first) = all.first_mut() {
        apply(given, first)?;
    }
    for (at, one) in all.iter().enumerate() {
        if all
            .iter()
            .take(at)
            .any(|other| other.network == one.network)
        {
            return Err(format!(
                "network {:?} is specified multiple times",
                one.network
            ));
        }
    }
    let users = all.iter().filter(|a| is_users(&a.network)).count();
    if users != 0 && users != all.len() {
        return Err("conflicting options: cannot attach both user-defined and non-user-defined network-modes".to_owned());
    }
    for one in &all {
        if is_users(&one.network) {
            continue;
        }
        if !one.aliases.is_empty() {
            return Err(
                "network-scoped aliases are only supported for user-defined networks".to_owned(),
            );
        }
        if one.ipv4.is_some() || one.ipv6.is_some() {
            return Err(
                "invalid config for network bridge: user specified IP address is supported on user defined networks only"
                    .replace("bridge", name_of(&one.network)),
            );
        }
    }
    let first = all.first().map(|a| a.network.clone()).unwrap_or_default();
    let mode = match first.as_str() {
        "none" => NetworkMode::None,
        "host" => NetworkMode::Host,
        name => match name.strip_prefix("container:") {
            Some("") => {
                return Err("--network: invalid container format container:<name|id>".to_owned());
            }
            Some(other) => NetworkMode::Container(other.to_owned()),
            None => NetworkMode::Networks,
        },
    };
    if mode != NetworkMode::Networks {
        if all.len() > 1 {
            return Err(
                "container sharing network namespace with another container or host cannot be connected to any other network"
                    .to_owned(),
            );
        }
        all.clear();
    }
    for one in &mut all {
        one.network = name_of(&one.network).to_owned();
    }
    Ok((mode, all))
}

fn name_of(network: &str) -> &str {
    if network == "default" {
        DEFAULT
    } else {
        network
    }
}

/// Not one of those that are always there.
fn is_users(network: &str) -> bool {
    let known = matches!(network, "default" | DEFAULT | "host" | "none");
    !known && !network.starts_with("container:")
}

/// Flags of the whole command are about the first network.
fn apply(given: &args::Networking, first: &mut Attachment) -> Result<(), String> {
    let both = |flag: &str, what: &str| {
        Err(format!(
            "conflicting options: cannot specify both --{flag} and per-network {what}"
        ))
    };
    if !given.network_alias.is_empty() {
        if !first.aliases.is_empty() {
            return both("network-alias", "alias");
        }
        first.aliases.clone_from(&given.network_alias);
    }
    if let Some(text) = given.ip.as_deref().filter(|text| !text.is_empty()) {
        if first.ipv4.is_some() {
            return both("ip", "IPv4 address");
        }
        first.ipv4 = Some(ipv4(text)?);
    }
    if let Some(text) = given.ip6.as_deref().filter(|text| !text.is_empty()) {
        if first.ipv6.is_some() {
            return both("ip6", "IPv6 address");
        }
        first.ipv6 = Some(ipv6(text)?);
    }
    if let Some(text) = given.mac_address.as_deref().filter(|text| !text.is_empty()) {
        if first.mac.is_some() {
            return both("mac-address", "MAC address");
        }
        first.mac = Some(mac(text)?);
    }
    if !given.link_local_ip.is_empty() {
        if !first.link_local.is_empty() {
            return both("link-local-ip", "link-local IP addresses");
        }
        first.link_local.clone_from(&given.link_local_ip);
    }
    first.links.clone_from(&given.link);
    Ok(())
}

/// What does not go with another container's network, or the host's (moby `validateNetMode`).
fn check(args: &args::Create, mode: &NetworkMode) -> Result<(), String> {
    let given = &args.networking;
    let conflict = |what: &str| Err(format!("conflicting options: {what}"));
    match mode {
        NetworkMode::Host if !given.link.is_empty() => conflict(
            "host type networking can't be used with links. This would result in undefined behavior",
        ),
        NetworkMode::Container(_) => {
            if args
                .hostname
                .as_deref()
                .is_some_and(|name| !name.is_empty())
            {
                return conflict("hostname and the network mode");
            }
            if !given.link.is_empty() {
                return conflict(
                    "container type network can't be used with links. This would result in undefined behavior",
                );
            }
            if !given.dns.is_empty() {
                return conflict("dns and the network mode");
            }
            if !args.add_host.is_empty() {
                return conflict("custom host-to-IP mapping and the network mode");
            }
            if given
                .mac_address
                .as_deref()
                .is_some_and(|mac| !mac.is_empty())
            {
                return conflict("mac-address and the network mode");
            }
            if !given.publish.is_empty() || given.publish_all {
                return conflict("port publishing and the container type network mode");
            }
            if !given.expose.is_empty() {
                return conflict("port exposing and the container type network mode");
            }
            Ok(())
        }
        NetworkMode::None | NetworkMode::Host | NetworkMode::Networks => Ok(()),
    }
}

/// `--network`: a name, or fields: `name=`, `alias=`, `ip=`, `ip6=`, `mac-address=`, `link-local-ip=`, `driver-opt=`,
/// `gw-priority=`.
///
/// # Errors
/// Docker's text for what is wrong.
pub fn network(text: &str) -> Result<Attachment, String> {
    let mut one = Attachment::default();
    if !is_long(text) {
        text.clone_into(&mut one.network);
        if text.trim().is_empty() {
            return Err("no name set for network".to_owned());
        }
        return Ok(one);
    }
    for field in value::csv(text)? {
        let field = field.to_lowercase();
        let (key, value) = field
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("invalid field {field}"))?;
        let value = value.trim();
        match key.trim() {
            "name" => value.clone_into(&mut one.network),
            "alias" => one.aliases.push(value.to_owned()),
            "ip" => one.ipv4 = Some(ipv4(value)?),
            "ip6" => one.ipv6 = Some(ipv6(value)?),
            "mac-address" => one.mac = Some(mac(value)?),
            "link-local-ip" => one.link_local.push(address(value)?),
            "driver-opt" => {
                let (key, value) = driver_option(value)?;
                one.options.insert(key, value);
            }
            "gw-priority" => one.gw_priority = priority(value)?,
            other => return Err(format!("invalid field key {other}")),
        }
    }
    if one.network.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok(one)
}

/// Go's `\w+=\w+` somewhere in it.
fn is_long(text: &str) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let fits = |window: &[u8]| match window {
        [before, b'=', after] => word(before) && word(after),
        _ => false,
    };
    text.as_bytes().windows(3).any(fits)
}

/// `--driver-opt` of `network connect`: `key=value`.
///
/// # Errors
/// Docker's text.
pub fn driver_option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            Ok((key.trim().to_lowercase(), value.trim().to_lowercase()))
        }
        Some(_) | None => Err("invalid key value pair format in driver options".to_owned()),
    }
}

fn priority(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_e| {
        format!("invalid gw-priority ({text}): strconv.Atoi: parsing {text:?}: invalid syntax")
    })
}

/// An address of version 4.
///
/// # Errors
/// Docker's text.
pub fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    text.parse()
        .map_err(|_e| format!("invalid IPv4 address: {text}"))
}

/// An address of version 6.
///
/// # Errors
/// Docker's text.
pub fn ipv6(text: &str) -> Result<Ipv6Addr, String> {
    text.parse()
        .map_err(|_e| format!("invalid IPv6 address: {text}"))
}

/// `--dns`, `--link-local-ip`.
///
/// # Errors
/// Docker's text.
pub fn address(text: &str) -> Result<IpAddr, String> {
    text.trim()
        .parse()
        .map_err(|_e| format!("IP address is not correctly formatted: {text}"))
}

fn mac(text: &str) -> Result<Mac, String> {
    text.trim()
        .parse()
        .map_err(|_e| format!("{text} is not a valid mac address"))
}

/// `--dns-search`: a domain, or `.` for none.
///
/// # Errors
/// Docker's text.
pub fn search_domain(text: &str) -> Result<String, String> {
    let domain = text.trim();
    if domain == "." {
        return Ok(domain.to_owned());
    }
    let label = |label: &str| {
        let alnum = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let bytes = label.as_bytes();
        let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        bytes.len() <= 63 && bytes.iter().all(inner) && alnum(bytes.first()) && alnum(bytes.last())
    };
    let bare = domain.trim_end_matches('.');
    let has_letter = bare.bytes().any(|b| b.is_ascii_alphabetic());
    if has_letter && bare.len() <= 255 && bare.split('.').all(label) {
        Ok(bare.to_owned())
    } else {
        Err(format!("{text} is not a valid domain"))
    }
}

/// `--link`: `container` or `container:alias`, told as `container:alias`.
///
/// # Errors
/// Docker's text.
pub fn link(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("empty string specified for links".to_owned());
    }
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name] => Ok(format!("{name}:{name}")),
        [name, alias] if !name.is_empty() && !alias.is_empty() => Ok(format!("{name}:{alias}")),
        _ => Err(format!("bad format for links: {text}")),
    }
}

/// `key=value` lists such as `--opt` and `--aux-address`.
///
/// # Errors
/// Docker's text.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("invalid key/value pair: {text}")),
    }
}

/// Pairs as a map: the last one of a key counts.
pub fn map(pairs: &[(String, String)]) -> BTreeMap<String, String> {
    pairs.iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_network_is_a_name_or_fields() {
        assert_eq!(network("front").unwrap().network, "front");
        assert_eq!(network("container:a=").unwrap().network, "container:a=");
        let one = network(
            "name=front,alias=web,alias=www,ip=10.0.0.9,ip6=fd00::9,mac-address=02:00:00:00:00:09,link-local-ip=169.254.1.1,\"driver-opt=a=b\",gw-priority=-3",
        )
        .unwrap();
        assert_eq!(one.network, "front");
        assert_eq!(one.aliases, ["web", "www"]);
        assert_eq!(one.ipv4, Some([10, 0, 0, 9].into()));
        assert_eq!(one.ipv6, Some("fd00::9".parse().unwrap()));
        assert_eq!(one.mac.unwrap().to_string(), "02:00:00:00:00:09");
        assert_eq!(one.link_local, ["169.254.1.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(one.options.get("a").map(String::as_str), Some("b"));
        assert_eq!(one.gw_priority, -3);
        for (text, why) in [
            ("alias=x", "network name/id is not specified"),
            ("name=x,nope=1", "invalid field key nope"),
            ("name=x,nope", "invalid field nope"),
            ("name=x,ip=1", "invalid IPv4 address: 1"),
            ("name=x,ip6=1.2.3.4", "invalid IPv6 address: 1.2.3.4"),
            ("name=x,mac-address=1", "1 is not a valid mac address"),
            (
                "name=x,driver-opt=q",
                "invalid key value pair format in driver options",
            ),
            (
                "name=x,gw-priority=q",
                "invalid gw-priority (q): strconv.Atoi: parsing \"q\": invalid syntax",
            ),
            (" ", "no name set for network"),
        ] {
            assert_eq!(network(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn links_domains_and_addresses_are_read() {
        assert_eq!(link("db"), Ok("db:db".to_owned()));
        assert_eq!(link("db:base"), Ok("db:base".to_owned()));
        assert_eq!(link("db:"), Err("bad format for links: db:".to_owned()));
        assert_eq!(link(""), Err("empty string specified for links".to_owned()));
        assert_eq!(search_domain("."), Ok(".".to_owned()));
        assert_eq!(search_domain("a.example."), Ok("a.example".to_owned()));
        for wrong in ["", "1.2", "-a.b", "a..b", "a b"] {
            assert_eq!(
                search_domain(wrong),
                Err(format!("{wrong} is not a valid domain"))
            );
        }
        assert!(address("::1").is_ok());
        assert_eq!(
            address("1.2"),
            Err("IP address is not correctly formatted: 1.2".to_owned())
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_network_or_refused(text in "\\PC{0,40}") {
            if let Ok(one) = network(&text) {
                prop_assert!(!one.network.is_empty());
            }
            let _ = (link(&text), search_domain(&text), address(&text), driver_option(&text), pair(&text));
        }

        #[test]
        fn fields_are_read_or_refused(text in "name=[a-z]{1,4}(,(alias|ip|ip6|mac-address|link-local-ip|driver-opt|gw-priority)=[0-9a-f:.=]{0,12}){0,4}") {
            let _ = network(&text);
        }
    }
}
