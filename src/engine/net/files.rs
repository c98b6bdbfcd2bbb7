//! What a container on networks reads of names: the texts of its `/etc/hosts` and `/etc/resolv.conf`. Pure.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::engine::model::network::{DnsConfig, Endpoint};

/// Where a container on a network of a user's asks for names: its own monitor answers there.
pub const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// What Docker asks where nobody says whom to ask (moby `libnetwork/internal/resolvconf`).
const PUBLIC: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4)),
];

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// The names of one container.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Host name.
    pub host: &'a str,
    /// Domain behind it; empty for none.
    pub domain: &'a str,
}

/// `/etc/hosts`: loopback, `name:address` pairs (with `host-gateway` for the host), links, and the container's own
/// addresses.
#[must_use]
pub fn hosts(
    names: Names<'_>,
    extra: &[String],
    gateways: &[IpAddr],
    links: &[(IpAddr, String)],
    endpoints: &[Endpoint],
) -> String {
    let mut text = LOCALHOST.to_owned() + &pairs(extra, gateways);
    for (address, names) in links {
        let _ = writeln!(text, "{address}\t{names}");
    }
    let Names { host, domain } = names;
    // The whole name, however it was split between the two, then its first part.
    let whole = match domain {
        "" => host.to_owned(),
        domain => format!("{host}.{domain}"),
    };
    let own = match whole.split_once('.') {
        Some((short, _)) => format!("{whole} {short}"),
        None => whole,
    };
    for address in endpoints.iter().flat_map(Endpoint::addresses) {
        let _ = writeln!(text, "{address}\t{own}");
    }
    text
}

/// A `hosts` file in which the lines that begin with a name have its new addresses, each where the old one of its version is.
#[must_use]
pub fn with_addresses(text: &str, name: &str, addresses: impl Iterator<Item = IpAddr>) -> String {
    let addresses: Vec<IpAddr> = addresses.collect();
    let change = |line: &str| {
        let (old, names) = line.split_once('\t')?;
        let first = names.split_ascii_whitespace().next()?;
        let old: IpAddr = old.parse().ok().filter(|_| first == name)?;
        let new = addresses
            .iter()
            .find(|new| new.is_ipv4() == old.is_ipv4())?;
        Some(format!("{new}\t{names}"))
    };
    text.split_inclusive('\n')
        .map(|line| change(line).unwrap_or_else(|| line.to_owned()))
        .collect()
}

/// `name:address` pairs as lines.
#[must_use]
pub fn pairs(extra: &[String], gateways: &[IpAddr]) -> String {
    let mut text = String::new();
    for pair in extra {
        let Some((name, address)) = pair.split_once([':', '=']) else {
            continue;
        };
        if address == "host-gateway" {
            for gateway in gateways {
                let _ = writeln!(text, "{gateway}\t{name}");
            }
        } else {
            let _ = writeln!(text, "{}\t{name}", address.trim_matches(['[', ']']));
        }
    }
    text
}

/// The host's resolv.conf with what was asked for instead, without a network of one's own.
#[must_use]
pub fn overridden(of_host: &str, own: &DnsConfig, reaches_loopback: bool) -> String {
    let mut resolv = Resolv::parse(of_host);
    if !reaches_loopback {
        resolv.servers.retain(|server| !server.is_loopback());
    }
    resolv.with(own).text("overridden")
}

/// What of a resolv.conf(5) counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolv {
    /// Whom to ask, first one first.
    pub servers: Vec<IpAddr>,
    /// Domains that are tried behind short names.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

impl Resolv {
    /// Reads one; what is not understood is passed over, as the C library does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().unwrap_or_default();
                    // Scopes of link-local addresses mean nothing in another namespace.
                    read.servers.extend(address.parse::<IpAddr>().ok());
                }
                // The last one counts.
                Some("search" | "domain") => read.search = words.map(str::to_owned).collect(),
                Some("options") => read.options.extend(words.map(str::to_owned)),
                Some(_) | None => {}
            }
        }
        read
    }

    /// With what the user wants instead.
    #[must_use]
    pub fn with(mut self, own: &DnsConfig) -> Self {
        if !own.servers.is_empty() {
            self.servers.clone_from(&own.servers);
        }
        if !own.search.is_empty() {
            let given = own.search.iter().filter(|domain| *domain != ".");
            self.search = given.cloned().collect();
        }
        if !own.options.is_empty() {
            self.options.clone_from(&own.options);
        }
        self
    }

    fn text(&self, how: &str) -> String {
        let mut text = String::from(
            "# Generated by wharf.\n# This file can be edited; it is written again when the container is started, or joins or leaves a network.\n\n",
        );
        for server in &self.servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.search.is_empty() {
            let _ = writeln!(text, "search {}", self.search.join(" "));
        }
        if !self.options.is_empty() {
            let _ = writeln!(text, "options {}", self.options.join(" "));
        }
        let _ = writeln!(text, "\n# Based on host file: '/etc/resolv.conf' ({how})");
        text
    }
}

/// `/etc/resolv.conf` on the default network: the host's servers, but those on the host's loopback, which are out of reach.
/// `own` have been asked for and stay.
#[must_use]
pub fn legacy(of_host: &str, own: &DnsConfig, has_ipv6: bool) -> String {
    let mut resolv = Resolv::parse(of_host);
    resolv.servers.retain(|server| !server.is_loopback());
    if !has_ipv6 {
        resolv.servers.retain(IpAddr::is_ipv4);
    }
    let mut resolv = resolv.with(own);
    if resolv.servers.is_empty() {
        resolv.servers = PUBLIC.to_vec();
    }
    resolv.text("legacy")
}

/// The same on a network of a user's: the container's own monitor is asked.
#[must_use]
pub fn internal(of_host: &str, own: &DnsConfig) -> String {
    let mut resolv = Resolv::parse(of_host).with(own);
    let asked = forwarders(of_host, own);
    resolv.servers = vec![RESOLVER];
    if !resolv.options.iter().any(|o| o.starts_with("ndots:")) {
        resolv.options.push("ndots:0".to_owned());
    }
    let mut text = resolv.text("internal resolver");
    let asked: Vec<String> = asked
        .iter()
        .map(|server| {
            if server.is_loopback() {
                format!("host({server})")
            } else {
                server.to_string()
            }
        })
        .collect();
    let _ = writeln!(text, "# ExtServers: [{}]", asked.join(" "));
    text
}

/// Who is asked for names of the outside.
#[must_use]
pub fn forwarders(of_host: &str, own: &DnsConfig) -> Vec<IpAddr> {
    if own.servers.is_empty() {
        Resolv::parse(of_host).servers
    } else {
        own.servers.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOST: &str = "# c\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fd00::2\nsearch a b\noptions edns0\n";

    fn lines(text: &str) -> Vec<&str> {
        let meant = |line: &&str| !line.starts_with('#') && !line.is_empty();
        text.lines().filter(meant).collect()
    }

    #[test]
    fn a_linked_name_gets_its_new_address_and_nothing_else_changes() {
        let text = "127.0.0.1\tlocalhost\n10.0.0.2\tdb web1\nfd00::2\tdb web1\n# db\n10.0.0.2\tdb2\n10.0.0.9\tsecond db\n10.0.0.3\tdb";
        let new = ["10.0.0.7", "fd00::7"].map(|text| text.parse().unwrap());
        assert_eq!(
            with_addresses(text, "db", new.into_iter()),
            "127.0.0.1\tlocalhost\n10.0.0.7\tdb web1\nfd00::7\tdb web1\n# db\n10.0.0.2\tdb2\n10.0.0.9\tsecond db\n10.0.0.7\tdb"
        );
    }

    #[test]
    fn the_default_network_asks_the_hosts_servers_that_it_can_reach() {
        let none = DnsConfig::default();
        assert_eq!(
            lines(&legacy(HOST, &none, false)),
            ["nameserver 10.0.0.2", "search a b", "options edns0"]
        );
        assert_eq!(
            lines(&legacy(HOST, &none, true)),
            [
                "nameserver 10.0.0.2",
                "nameserver fd00::2",
                "search a b",
                "options edns0"
            ]
        );
        assert_eq!(
            lines(&legacy("nameserver ::1\n", &none, true)),
            ["nameserver 8.8.8.8", "nameserver 8.8.4.4"]
        );
        let own = DnsConfig {
            servers: vec!["127.0.0.1".parse().unwrap()],
            search: vec![".".to_owned()],
            options: vec!["ndots:3".to_owned()],
        };
        assert_eq!(
            lines(&legacy(HOST, &own, true)),
            ["nameserver 127.0.0.1", "options ndots:3"]
        );
    }

    #[test]
    fn other_networks_ask_the_monitor() {
        let text = internal(HOST, &DnsConfig::default());
        assert_eq!(
            lines(&text),
            [
                "nameserver 127.0.0.11",
                "search a b",
                "options edns0 ndots:0"
            ]
        );
        assert!(text.contains("# ExtServers: [host(127.0.0.53) 10.0.0.2 fd00::2]"));
    }

    #[test]
    fn hosts_end_with_the_containers_own_addresses() {
        let names = Names {
            host: "web",
            domain: "example",
        };
        let endpoint: Endpoint = serde_json::from_value(serde_json::json!({
            "id": "ab".repeat(32), "container": "cd".repeat(32), "container_name": "web",
            "network": "ef".repeat(32), "interface": "eth0", "mac": "02:42:ac:11:00:02",
            "ipv4": "172.17.0.2/16", "since": "2026-01-01T00:00:00Z"
        }))
        .unwrap();
        let gateways = ["172.17.0.1".parse().unwrap()];
        let extra = [
            "host:host-gateway".to_owned(),
            "db:10.0.0.1".to_owned(),
            "six=[::2]".to_owned(),
        ];
        let links = [("172.17.0.9".parse().unwrap(), "alias id name".to_owned())];
        let text = hosts(
            names,
            &extra,
            &gateways,
            &links,
            std::slice::from_ref(&endpoint),
        );
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(
            text.ends_with(
                "172.17.0.1\thost\n10.0.0.1\tdb\n::2\tsix\n172.17.0.9\talias id name\n172.17.0.2\tweb.example web\n"
            ),
            "{text}"
        );
        for (host, domain, own) in [
            ("web", "", "web"),
            ("web.example.org", "", "web.example.org web"),
            ("web.example", "org", "web.example.org web"),
        ] {
            let text = hosts(
                Names { host, domain },
                &[],
                &[],
                &[],
                std::slice::from_ref(&endpoint),
            );
            assert!(text.ends_with(&format!("\t{own}\n")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in "(nameserver [0-9a-f:.]{0,12}\n|search [a-z. ]{0,9}\n|options [a-z: ]{0,9}\n|[a-z #]{0,9}\n){0,6}") {
            let read = Resolv::parse(&text);
            prop_assert_eq!(Resolv::parse(&read.text("x")), read);
        }
    }
}
