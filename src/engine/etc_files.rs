//! The three files of a container's `/etc` that the engine writes: hosts, hostname, resolv.conf. Pure texts here; the
//! façade stores them and the runtime binds them into place.

use super::model::NetworkMode;

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// `/etc/hosts`: the host's own for `--network host`, else loopback names; `name:address` pairs follow.
#[must_use]
pub(super) fn hosts(network: NetworkMode, of_host: &str, extra: &[String]) -> String {
    let mut text = match network {
        NetworkMode::Host => of_host.to_owned(),
        NetworkMode::None => LOCALHOST.to_owned(),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for pair in extra {
        if let Some((name, address)) = pair.split_once([':', '=']) {
            text.push_str(address.trim_matches(['[', ']']));
            text.push('\t');
            text.push_str(name);
            text.push('\n');
        }
    }
    text
}

/// `/etc/resolv.conf`: the host's, but name servers on the host's loopback are out of reach from another network
/// namespace and are left out there.
#[must_use]
pub(super) fn resolv_conf(network: NetworkMode, of_host: &str) -> String {
    if network == NetworkMode::Host {
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
        let text = hosts(
            NetworkMode::None,
            "ignored",
            &["db:10.0.0.1".into(), "v6=[::2]".into()],
        );
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("10.0.0.1\tdb\n::2\tv6\n"), "{text}");
    }

    #[test]
    fn a_loopback_name_server_stays_only_on_the_host_network() {
        let host = "# c\nnameserver 127.0.0.53\nnameserver 10.0.0.2\noptions edns0\n";
        assert_eq!(
            resolv_conf(NetworkMode::None, host),
            "# c\nnameserver 10.0.0.2\noptions edns0\n"
        );
        assert_eq!(resolv_conf(NetworkMode::Host, host), host);
    }
}
