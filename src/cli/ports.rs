//! Ports on the command line: `-p`, `--expose`, and the argument of `port`. Grammar and complaints are Docker's
//! (docker/go-connections, `nat`).

use std::net::{IpAddr, Ipv6Addr};

use crate::engine::model::network::{Port, PortBinding, Protocol};

/// `[[address:][port|range:]]port|range[/protocol]`, or `published=,target=,protocol=`: each port of the container.
///
/// # Errors
/// Docker's text for what is wrong.
pub fn publish(text: &str) -> Result<Vec<PortBinding>, String> {
    if text.contains('=') {
        short(&long(text)?)
    } else {
        short(text)
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`.
///
/// # Errors
/// Docker's text for what is wrong.
pub fn expose(text: &str) -> Result<Vec<Port>, String> {
    if text.contains(':') {
        return Err(format!("invalid port format for --expose: {text}"));
    }
    let (ports, protocol) = split_protocol(text);
    let (first, last) = range(ports)
        .map_err(|why| format!("invalid range format for --expose: {text}, error: {why}"))?;
    let protocol = self::protocol(protocol)?;
    Ok((first..=last)
        .map(|number| Port { number, protocol })
        .collect())
}

/// The long form in the words of the short one.
fn long(text: &str) -> Result<String, String> {
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for field in text.split(',') {
        match field.split_once('=') {
            None | Some(("", _)) => {
                return Err(format!(
                    "invalid publish opts format (should be name=value but got '{field}')"
                ));
            }
            Some(("published", value)) => published = value,
            Some(("target", value)) => target = value,
            Some(("protocol", value)) => protocol = value,
            Some(_) => {}
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn short(text: &str) -> Result<Vec<PortBinding>, String> {
    let (rest, target) = text.rsplit_once(':').unwrap_or(("", text));
    let (address, host) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (target, protocol) = split_protocol(target);
    let address = address_of(address)?;
    if target.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let ports = range(target).map_err(|_why| format!("invalid containerPort: {target}"))?;
    let host_ports = match host {
        "" => None,
        _ => Some(range_or_any(host).map_err(|_why| format!("invalid hostPort: {host}"))?),
    };
    if let Some(host_ports) = host_ports
        && width(host_ports) != width(ports)
        && width(ports) != 0
    {
        return Err(format!(
            "invalid ranges specified for container and host Ports: {target} and {host}"
        ));
    }
    let protocol = self::protocol(protocol)?;
    let beside = |number: u16, (first, last): (u16, u16)| {
        if width(ports) == 0 {
            return (first, last);
        }
        // Of equal width, so there is no end to pass.
        let at = first.saturating_add(number - ports.0);
        (at, at)
    };
    Ok((ports.0..=ports.1)
        .map(|number| PortBinding {
            port: Port { number, protocol },
            address,
            // Port 0 of the host is any.
            host: host_ports
                .map(|host| beside(number, host))
                .filter(|host| *host != (0, 0)),
        })
        .collect())
}

/// The port and the protocol behind it, `tcp` if there is none.
fn split_protocol(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        None | Some((_, "")) => (text.trim_end_matches('/'), "tcp"),
        Some(("", _)) => ("", ""),
        Some((port, protocol)) => (port, protocol),
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        other => Err(format!("invalid proto: {other}")),
    }
}

/// An address of the host; one of version 6 may be in brackets. `None` if there is none.
fn address_of(text: &str) -> Result<Option<IpAddr>, String> {
    let wrong = || format!("invalid IP address: {text}");
    let bare = match text.strip_prefix('[') {
        None => text,
        Some(rest) => {
            let bare = rest.strip_suffix(']').ok_or_else(wrong)?;
            return bare
                .parse::<Ipv6Addr>()
                .map(|address| Some(IpAddr::V6(address)))
                .map_err(|_e| wrong());
        }
    };
    if bare.is_empty() {
        return Ok(None);
    }
    bare.parse().map(Some).map_err(|_e| wrong())
}

fn width((first, last): (u16, u16)) -> u16 {
    last - first
}

/// `80` or `8000-8010`, never 0.
fn range(text: &str) -> Result<(u16, u16), String> {
    match range_or_any(text)? {
        (0, _) => Err(format!("invalid port number: {text}")),
        range => Ok(range),
    }
}

fn range_or_any(text: &str) -> Result<(u16, u16), String> {
    if text.is_empty() {
        return Err("empty string specified for ports".to_owned());
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((first, last))
}

/// Go's `strconv.ParseUint` for 16 bits.
fn number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let why = if digits {
        "value out of range"
    } else {
        "invalid syntax"
    };
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| format!("strconv.ParseUint: parsing {text:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> Result<Vec<String>, String> {
        Ok(publish(text)?
            .iter()
            .map(|binding| {
                let address = binding.address.map(|a| format!("{a} ")).unwrap_or_default();
                let host = match binding.host {
                    None => "any".to_owned(),
                    Some((first, last)) if first == last => first.to_string(),
                    Some((first, last)) => format!("{first}..{last}"),
                };
                format!("{address}{host}>{}", binding.port)
            })
            .collect())
    }

    #[test]
    fn a_publication_is_read_in_every_form() {
        for (text, expect) in [
            ("80", &["any>80/tcp"][..]),
            ("8080:80", &["8080>80/tcp"]),
            ("8080:80/UDP", &["8080>80/udp"]),
            (":80/sctp", &["any>80/sctp"]),
            ("0:80", &["any>80/tcp"]),
            ("127.0.0.1:8080:80", &["127.0.0.1 8080>80/tcp"]),
            ("127.0.0.1::80", &["127.0.0.1 any>80/tcp"]),
            ("[::1]:80:80", &["::1 80>80/tcp"]),
            ("[::1]::80", &["::1 any>80/tcp"]),
            ("::1:80:80", &["::1 80>80/tcp"]),
            ("80-81", &["any>80/tcp", "any>81/tcp"]),
            ("90-91:80-81", &["90>80/tcp", "91>81/tcp"]),
            ("90-95:80", &["90..95>80/tcp"]),
            ("80/", &["any>80/tcp"]),
            (
                "published=8080,target=80,protocol=udp,mode=host",
                &["8080>80/udp"],
            ),
            ("target=80", &["any>80/tcp"]),
        ] {
            let expect = expect.iter().map(|&s| s.to_owned()).collect();
            assert_eq!(told(text), Ok(expect), "{text}");
        }
    }

    #[test]
    fn what_is_no_publication_is_refused_in_dockers_words() {
        for (text, why) in [
            ("", "no port specified: <empty>"),
            ("80:", "no port specified: 80:<empty>"),
            ("/tcp", "no port specified: /tcp<empty>"),
            ("x", "invalid containerPort: x"),
            ("0", "invalid containerPort: 0"),
            ("70000", "invalid containerPort: 70000"),
            ("+80", "invalid containerPort: +80"),
            ("81-80", "invalid containerPort: 81-80"),
            ("x:80", "invalid hostPort: x"),
            ("80:80/icmp", "invalid proto: icmp"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("[::1:80:80", "invalid IP address: [::1"),
            ("[1.2.3.4]:80:80", "invalid IP address: [1.2.3.4]"),
            (
                "90-92:80-81",
                "invalid ranges specified for container and host Ports: 80-81 and 90-92",
            ),
            (
                "90:80-81",
                "invalid ranges specified for container and host Ports: 80-81 and 90",
            ),
            (
                "published=80,target",
                "invalid publish opts format (should be name=value but got 'target')",
            ),
        ] {
            assert_eq!(told(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn exposed_ports_are_a_list() {
        let told = |text| expose(text).map(|all| all.iter().map(ToString::to_string).collect());
        let ok = |list: &[&str]| Ok(list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>());
        assert_eq!(told("80"), ok(&["80/tcp"]));
        assert_eq!(told("53-54/udp"), ok(&["53/udp", "54/udp"]));
        for (text, why) in [
            ("80:80", "invalid port format for --expose: 80:80"),
            (
                "x",
                "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax",
            ),
            (
                "70000",
                "invalid range format for --expose: 70000, error: strconv.ParseUint: parsing \"70000\": value out of range",
            ),
            (
                "9-8",
                "invalid range format for --expose: 9-8, error: invalid range specified for port: 9-8",
            ),
            (
                "",
                "invalid range format for --expose: , error: empty string specified for ports",
            ),
            ("80/icmp", "invalid proto: icmp"),
        ] {
            assert_eq!(told(text), Err(why.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_publication_or_refused(text in "[0-9:./a-z=,\\[\\]-]{0,24}") {
            if let Ok(all) = publish(&text) {
                prop_assert!(!all.is_empty());
                for binding in all {
                    prop_assert!(binding.port.number != 0);
                    prop_assert!(binding.host.is_none_or(|(first, last)| first <= last));
                }
            }
            let _ = expose(&text);
        }

        #[test]
        fn ranges_of_equal_length_go_side_by_side(first in 1_u16..60000, host in 1_u16..60000, more in 0_u16..50) {
            let text = format!("{host}-{}:{first}-{}", host + more, first + more);
            let all = publish(&text).unwrap();
            prop_assert_eq!(all.len(), usize::from(more) + 1);
            for (at, binding) in (0..).zip(all) {
                prop_assert_eq!(binding.port.number, first + at);
                prop_assert_eq!(binding.host, Some((host + at, host + at)));
            }
        }
    }
}
