//! Networks: what they are, how a container is on one, what it publishes to the host.
//!
//! Three layers of truth: [`Network`] is a record of the data root that lives until `network rm`; what a container asks of its
//! networks ([`Attachment`], [`PortBinding`], [`DnsConfig`]) is part of its record; [`Endpoint`] and [`Publication`] are what a
//! running container has got, and are gone with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{ContainerId, Timestamp};

/// The driver's option that names the bridge.
pub const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
/// The driver's option for the largest packet, in bytes.
pub const MTU: &str = "com.docker.network.driver.mtu";
/// The driver's option for the beginning of interfaces' names in containers.
pub const INTERFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";

/// Go's `strconv.ParseBool`, as options of drivers are read.
#[must_use]
pub fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Version of [`Network`] on disk.
pub const RECORD_VERSION: u32 = 1;

/// The record `networks/<id>.json` in the data root.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Network {
    /// Schema version, [`RECORD_VERSION`].
    pub version: u32,
    /// Its id: 64 hexadecimal digits, as a container's.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it is made of.
    pub driver: Driver,
    /// Its addresses: at most one pool per family is used, as many as were given are kept.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// Endpoints get an address of version 4.
    pub ipv4: bool,
    /// Endpoints get an address of version 6.
    #[serde(default)]
    pub ipv6: bool,
    /// Nothing outside is reached from it, and it is reached from nowhere.
    #[serde(default)]
    pub internal: bool,
    /// Swarm's; kept and shown, as Docker does.
    #[serde(default)]
    pub attachable: bool,
    /// A template for others (`--config-only`): no network by itself.
    #[serde(default)]
    pub config_only: bool,
    /// The template that it was made from.
    #[serde(default)]
    pub config_from: String,
    /// The driver's options as they were given (`com.docker.network.bridge.name`, …).
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Options of the address management, kept and shown.
    #[serde(default)]
    pub ipam_options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Network {
    /// Whether containers' addresses of a family are reached without translation (gateway mode `routed`). A family that the network
    /// has not got goes with the other one.
    #[must_use]
    pub fn is_routed(&self, six: bool) -> bool {
        let six = if six { self.ipv6 } else { !self.ipv4 };
        let family = if six { "ipv6" } else { "ipv4" };
        let mode = format!("com.docker.network.bridge.gateway_mode_{family}");
        self.options.get(&mode).is_some_and(|mode| mode == "routed")
    }

    /// Devices of the host from which its containers are reached by their own addresses.
    pub fn trusted(&self) -> impl Iterator<Item = &str> {
        let list = self
            .options
            .get("com.docker.network.bridge.trusted_host_interfaces");
        list.into_iter()
            .flat_map(|list| list.split(':'))
            .filter(|name| !name.is_empty())
    }

    /// One of its driver's options that are on or off; `None` if it is not given, or is neither.
    #[must_use]
    pub fn switch(&self, option: &str) -> Option<bool> {
        self.options.get(option).and_then(|text| switch(text))
    }
}

/// What a network is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the host; wharf's own firewall decides who reaches whom.
    Bridge,
    /// Devices with addresses of their own on a device of the host.
    Macvlan,
    /// Devices that share the address of a device of the host.
    Ipvlan,
    /// The host's own network.
    Host,
    /// Loopback alone.
    Null,
}

impl Driver {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// Addresses of a network.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pool {
    /// All of them; the host part is zero.
    pub subnet: IpNet,
    /// Those that are handed out, if not all.
    #[serde(default)]
    pub range: Option<IpNet>,
    /// The gateway: the bridge's own address, or a router of the physical network.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Addresses that are never handed out, by names that mean nothing to us.
    #[serde(default)]
    pub reserved: BTreeMap<String, IpAddr>,
}

/// What a container asks of one of its networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// The network as the user named it: name, id or prefix of the id.
    pub network: String,
    /// Further names in that network.
    pub aliases: Vec<String>,
    /// This address of version 4.
    pub ipv4: Option<Ipv4Addr>,
    /// This address of version 6.
    pub ipv6: Option<Ipv6Addr>,
    /// Further addresses on the link alone.
    pub link_local: Vec<IpAddr>,
    /// This hardware address.
    pub mac: Option<Mac>,
    /// Options for the driver (`com.docker.network.endpoint.ifname`, `.sysctls`).
    pub options: BTreeMap<String, String>,
    /// The network with the highest one has the default route.
    pub gw_priority: i64,
    /// `container:alias` names of other containers, seen by this one alone.
    pub links: Vec<String>,
}

/// What a monitor is told of its container's networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Networking {
    /// The directory of networks' records.
    pub records: PathBuf,
    /// The run root.
    pub run: PathBuf,
    /// Host name.
    pub hostname: String,
    /// Domain behind it; empty for none.
    pub domainname: String,
    /// The networks in the order of their interfaces.
    pub attachments: Vec<Attachment>,
    /// What is published, with what `-P` adds.
    pub ports: Vec<PortBinding>,
    /// How names are found.
    pub dns: DnsConfig,
    /// `name:address` lines for `/etc/hosts`.
    pub extra_hosts: Vec<String>,
}

/// `network.json` of a live directory: what a running container has got.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Connected {
    /// Schema version.
    pub version: u32,
    /// In the order of the interfaces.
    pub endpoints: Vec<Endpoint>,
}

/// `--dns`, `--dns-search`, `--dns-option`; where nothing is given the host's `/etc/resolv.conf` counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct DnsConfig {
    /// Servers that are asked for names of the outside.
    pub servers: Vec<IpAddr>,
    /// Search domains; `.` alone means none.
    pub search: Vec<String>,
    /// Options of resolv.conf(5).
    pub options: Vec<String>,
}

/// A transport protocol with ports.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Its number in IP's header (IANA).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// A port of a container: `80/tcp`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Port {
    /// Its number, never 0.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.as_str())
    }
}

/// Why a text is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid port {0:?}")]
pub struct InvalidPort(pub String);

impl std::str::FromStr for Port {
    type Err = InvalidPort;

    /// `80` or `80/udp`.
    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        let wrong = || InvalidPort(text.to_owned());
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(wrong()),
        };
        let is_number = number.bytes().all(|b| b.is_ascii_digit());
        let number = number.parse().ok().filter(|n| *n != 0 && is_number);
        Ok(Self {
            number: number.ok_or_else(wrong)?,
            protocol,
        })
    }
}

/// The ports of `80/tcp`, `8000-8010/udp`, as images expose them; nothing for what is no port.
#[must_use]
pub fn exposed(text: &str) -> Vec<Port> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |number: &str| format!("{number}/{protocol}").parse::<Port>();
    match (port(first), port(last)) {
        (Ok(first), Ok(last)) => (first.number..=last.number)
            .map(|number| Port { number, ..first })
            .collect(),
        _ => Vec::new(),
    }
}

/// What was asked to be published (`-p`): one port of the container.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct PortBinding {
    /// The container's port.
    pub port: Port,
    /// The host's address; all of both families if `None`.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The host's ports, first and last: the first that is free is taken. A free one of the ephemeral range if `None`.
    #[serde(default)]
    pub host: Option<(u16, u16)>,
}

/// What a running container publishes: one address and port of the host.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Publication {
    /// The container's port.
    pub port: Port,
    /// The host's address, `0.0.0.0` or `::` for all of that family.
    pub address: IpAddr,
    /// The host's port.
    pub host: u16,
    /// Where it leads: the container's address. Of the other family than `address` only if the container has none of that one.
    pub to: IpAddr,
}

/// A running container on a network: its interface, as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// The endpoint's own id, 64 hexadecimal digits.
    pub id: ContainerId,
    /// The container.
    pub container: ContainerId,
    /// The container's name.
    pub container_name: String,
    /// The network.
    pub network: ContainerId,
    /// Its interface in the container.
    pub interface: String,
    /// Its other end on the host; empty for drivers without one.
    #[serde(default)]
    pub host_interface: String,
    /// Hardware address.
    pub mac: Mac,
    /// Address and prefix of version 4.
    #[serde(default)]
    pub ipv4: Option<Ipv4Net>,
    /// Address and prefix of version 6.
    #[serde(default)]
    pub ipv6: Option<Ipv6Net>,
    /// Gateways of the network.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
    /// Further addresses on the link alone.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
    /// The container's host name.
    #[serde(default)]
    pub host_name: String,
    /// All its names in this network, lower case, without a trailing dot: container name, short id, aliases, host name.
    #[serde(default)]
    pub names: BTreeSet<String>,
    /// Containers whose addresses are in its `/etc/hosts` (`--link`), `id:name` each; on the default network alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// What it publishes through this network; empty for all but one.
    #[serde(default)]
    pub publications: Vec<Publication>,
    /// Since when.
    pub since: Timestamp,
}

impl Endpoint {
    /// Its addresses, version 4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let v4 = self.ipv4.map(|net| IpAddr::V4(net.addr()));
        let v6 = self.ipv6.map(|net| IpAddr::V6(net.addr()));
        v4.into_iter().chain(v6)
    }
}

/// A hardware address of Ethernet.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// Why a text is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid MAC address {0:?}: six hexadecimal bytes with colons are expected")]
pub struct InvalidMac(pub String);

impl std::str::FromStr for Mac {
    type Err = InvalidMac;

    /// `02:42:ac:11:00:02`, with `:` or `-`, upper or lower case.
    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let wrong = || InvalidMac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
                .ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_e| wrong())?;
        }
        parts
            .next()
            .is_none()
            .then_some(Self(bytes))
            .ok_or_else(wrong)
    }
}

impl TryFrom<String> for Mac {
    type Error = InvalidMac;
    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_six_bytes() {
        let mac: Mac = "02-42-AC-11-00-02".parse().unwrap();
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        for wrong in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "2:42:ac:11:0:2",
            "02:42:ac:11:00:0g",
            "+2:42:ac:11:00:02",
        ] {
            assert_eq!(
                wrong.parse::<Mac>(),
                Err(InvalidMac(wrong.to_owned())),
                "{wrong}"
            );
        }
    }

    #[test]
    fn exposed_ports_are_read_or_left_out() {
        let all = |text| -> Vec<String> { exposed(text).iter().map(Port::to_string).collect() };
        assert_eq!(all("80"), ["80/tcp"]);
        assert_eq!(all("80-81/UDP"), ["80/udp", "81/udp"]);
        for wrong in ["", "0", "x", "80/x", "+80", "81-80", "70000"] {
            assert!(all(wrong).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn a_port_is_told_as_docker_tells_it() {
        let port = Port {
            number: 53,
            protocol: Protocol::Udp,
        };
        assert_eq!(port.to_string(), "53/udp");
    }
}
