//! The files of a container's `/etc` that the engine writes where it has no networks of its own: hosts and resolv.conf.
//! Pure texts here; the façade stores them and the runtime binds them into place. Containers on networks have theirs from
//! `net::files`.

use super::model::NetworkMode;
use super::model::network::DnsConfig;
use super::net::files::{self, Names};

/// `/etc/hosts`: the host's own for `--network host`, else loopback names; `name:address` pairs follow.
#[must_use]
pub(super) fn hosts(network: &NetworkMode, of_host: &str, extra: &[String]) -> String {
    let names = Names {
        host: "",
        domain: "",
    };
    match network {
        NetworkMode::None | NetworkMode::Networks | NetworkMode::Container(_) => {
            files::hosts(names, extra, &[], &[], &[])
        }
        NetworkMode::Host => {
            let mut text = of_host.to_owned();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text + &files::pairs(extra, &[])
        }
    }
}

/// `/etc/resolv.conf`: the host's, but name servers on the host's loopback are out of reach from another network
/// namespace and are left out there. What was asked for is written instead.
#[must_use]
pub(super) fn resolv_conf(network: &NetworkMode, of_host: &str, own: &DnsConfig) -> String {
    if *own != DnsConfig::default() {
        return files::overridden(of_host, own, *network == NetworkMode::Host);
    }
    if *network == NetworkMode::Host {
        return of_host.to_owned();
    }
    let reachable = |line: &&str| {
        let mut words = line.split_whitespace();
        let is_server = words.next() == Some("nameserver");
        !(is_server
            && words
                .next()
                .is_some_and(|a| a.starts_with("127.") || a == "::1"))
    };
    of_host
        .lines()
        .filter(reachable)
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_hosts_follow_the_loopback_names() {
        let extra = ["db:10.0.0.1".into(), "v6=[::2]".into()];
        let text = hosts(&NetworkMode::None, "ignored", &extra);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("10.0.0.1\tdb\n::2\tv6\n"), "{text}");
        let text = hosts(&NetworkMode::Host, "1.2.3.4 x", &extra);
        assert_eq!(text, "1.2.3.4 x\n10.0.0.1\tdb\n::2\tv6\n");
    }

    #[test]
    fn a_loopback_name_server_stays_only_on_the_host_network() {
        let host = "# c\nnameserver 127.0.0.53\nnameserver 10.0.0.2\noptions edns0\n";
        let none = DnsConfig::default();
        assert_eq!(
            resolv_conf(&NetworkMode::None, host, &none),
            "# c\nnameserver 10.0.0.2\noptions edns0\n"
        );
        assert_eq!(resolv_conf(&NetworkMode::Host, host, &none), host);
        let own = DnsConfig {
            servers: vec!["10.9.9.9".parse().unwrap()],
            ..DnsConfig::default()
        };
        let text = resolv_conf(&NetworkMode::Host, host, &own);
        assert!(
            text.contains("\nnameserver 10.9.9.9\noptions edns0\n"),
            "{text}"
        );
    }
}
