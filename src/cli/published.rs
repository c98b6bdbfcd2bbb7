//! Ports of a container as they are shown: the column of `ps`, the verb `port`, `NetworkSettings.Ports`. The words and the
//! order are Docker's (docker/cli `formatter.DisplayablePorts`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::output::Out;
use super::report::{Failure, Outcome};
use super::{Context, args};
use crate::engine::model::network::{self, Port, PortBinding, Protocol};
use crate::engine::model::{ContainerSummary, HostConfig};

/// What ports have in common that become one range.
type Key = (Option<IpAddr>, Protocol);

/// One port of a running container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The container's.
    pub port: Port,
    /// Where on the host it is found; `None` if it is exposed only.
    pub host: Option<(IpAddr, u16)>,
}

/// All ports of a container that runs and has a network of its own.
#[must_use]
pub fn of(summary: &ContainerSummary) -> Vec<Shown> {
    if summary.endpoints.is_empty() {
        return Vec::new();
    }
    let mut all: Vec<Shown> = summary
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.publications)
        // What is reached by the container's own address has no port of the host.
        .filter(|publication| publication.host != 0)
        .map(|publication| Shown {
            port: publication.port,
            host: Some((publication.address, publication.host)),
        })
        .collect();
    for port in exposed(summary) {
        if !all.iter().any(|shown| shown.port == port) {
            all.push(Shown { port, host: None });
        }
    }
    all
}

fn exposed(summary: &ContainerSummary) -> impl Iterator<Item = Port> + '_ {
    let texts = summary.container.config.exposed_ports.iter();
    texts.flat_map(|text| network::exposed(text))
}

/// `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`; neighbours that keep their number are one range.
#[must_use]
pub fn column(mut all: Vec<Shown>) -> String {
    let address = |shown: &Shown| shown.host.map(|(ip, _)| ip.to_string()).unwrap_or_default();
    all.sort_by_key(|shown| {
        let public = shown.host.map_or(0, |(_, port)| port);
        (
            shown.port.number,
            address(shown),
            public,
            shown.port.protocol.as_str(),
        )
    });
    let mut groups: Vec<(Key, (u16, u16))> = Vec::new();
    let (mut done, mut moved) = (Vec::new(), Vec::new());
    for shown in all {
        let current = shown.port.number;
        let ip = match shown.host {
            Some((ip, public)) if public != current => {
                moved.push(format!(
                    "{}->{}",
                    joined(ip, &public.to_string()),
                    shown.port
                ));
                continue;
            }
            Some((ip, _)) => Some(ip),
            None => None,
        };
        let key = (ip, shown.port.protocol);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            None => groups.push((key, (current, current))),
            Some((_, (_, last))) if last.checked_add(1) == Some(current) => *last = current,
            Some((_, range)) => {
                done.push(group(key, *range));
                *range = (current, current);
            }
        }
    }
    done.extend(groups.into_iter().map(|(key, range)| group(key, range)));
    done.extend(moved);
    done.join(", ")
}

fn group((ip, protocol): Key, (first, last): (u16, u16)) -> String {
    let range = if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    };
    match ip {
        None => format!("{range}/{}", protocol.as_str()),
        Some(ip) => format!("{}->{range}/{}", joined(ip, &range), protocol.as_str()),
    }
}

/// Go's `net.JoinHostPort`.
fn joined(ip: IpAddr, port: &str) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

/// `NetworkSettings.Ports`: each port with its places on the host, `null` for one that is exposed only.
#[must_use]
pub fn settings(summary: &ContainerSummary) -> Value {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for shown in of(summary) {
        let places = all.entry(shown.port.to_string()).or_default();
        if let Some((ip, port)) = shown.host {
            places.push(json!({ "HostIp": ip.to_string(), "HostPort": port.to_string() }));
        }
    }
    let all: Map<String, Value> = all
        .into_iter()
        .map(|(port, places)| {
            let places = (!places.is_empty()).then_some(places);
            (port, json!(places))
        })
        .collect();
    Value::Object(all)
}

/// `HostConfig.PortBindings`: what was asked for.
#[must_use]
pub fn bindings(host: &HostConfig) -> Value {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for PortBinding {
        port,
        address,
        host,
    } in &host.ports
    {
        let range = match host {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let place = json!({
            "HostIp": address.map(|ip| ip.to_string()).unwrap_or_default(),
            "HostPort": range,
        });
        all.entry(port.to_string()).or_default().push(place);
    }
    json!(all)
}

/// Whether a port, or a range of ports, is among those that are published.
#[must_use]
pub fn is_published(summary: &ContainerSummary, (first, last): (u16, u16), protocol: &str) -> bool {
    of(summary).iter().any(|shown| {
        let host = shown.host.map_or(0, |(_, port)| port);
        shown.port.protocol.as_str() == protocol && (first..=last).contains(&host)
    })
}

/// `port`.
pub fn port(context: &Context, args: &args::Plain) -> Outcome {
    let engine = context.engine()?;
    let name = args.operands.first().map_or("", String::as_str);
    let id = engine.resolve(name)?;
    let published: Vec<(Port, String)> = of(&engine.container(&id)?)
        .into_iter()
        .filter_map(|shown| {
            let (ip, port) = shown.host?;
            Some((shown.port, joined(ip, &port.to_string())))
        })
        .collect();
    let mut out = Out::new();
    match args.operands.get(1) {
        None => {
            let mut lines: Vec<String> = published
                .iter()
                .map(|(port, place)| format!("{port} -> {place}"))
                .collect();
            lines.sort_by_key(|line| natural(line));
            for line in lines {
                out.line(line)?;
            }
        }
        Some(wanted) => {
            let (number, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
            if number.parse::<u16>().is_err() {
                return Err(Failure::plain(format_args!(
                    "Error: invalid port: {number}"
                )));
            }
            let mut places = published
                .iter()
                .filter(|(port, _)| port.to_string() == format!("{number}/{protocol}"))
                .peekable();
            if places.peek().is_none() {
                return Err(Failure::plain(format_args!(
                    "no public port '{number}/{protocol}' published for {name}"
                )));
            }
            for (_, place) in places {
                out.line(place)?;
            }
        }
    }
    out.finish()?;
    Ok(0)
}

/// Numbers in a text count as numbers (Docker sorts so).
fn natural(text: &str) -> Vec<Result<u64, String>> {
    let mut parts: Vec<Result<u64, String>> = Vec::new();
    for c in text.chars() {
        match (c.to_digit(10), parts.last_mut()) {
            (Some(digit), Some(Ok(number))) => {
                *number = number.saturating_mul(10).saturating_add(u64::from(digit));
            }
            (Some(digit), _) => parts.push(Ok(u64::from(digit))),
            (None, Some(Err(text))) => text.push(c),
            (None, _) => parts.push(Err(c.to_string())),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Shown {
        let (host, port) = match text.split_once('>') {
            Some((host, port)) => (Some(host), port),
            None => (None, text),
        };
        Shown {
            port: port.parse().unwrap(),
            host: host.map(|host| {
                let (ip, port) = host.rsplit_once('@').unwrap();
                (ip.parse().unwrap(), port.parse().unwrap())
            }),
        }
    }

    #[test]
    fn ports_are_folded_as_docker_folds_them() {
        let check = |texts: &[&str], expect: &str| {
            assert_eq!(column(texts.iter().map(|t| shown(t)).collect()), expect);
        };
        check(&[], "");
        check(&["80/tcp"], "80/tcp");
        check(&["81/tcp", "80/tcp", "82/udp"], "80-81/tcp, 82/udp");
        check(
            &["0.0.0.0@8080>80/tcp", "::@8080>80/tcp"],
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
        );
        check(
            &[
                "0.0.0.0@80>80/tcp",
                "0.0.0.0@81>81/tcp",
                "0.0.0.0@83>83/tcp",
            ],
            "0.0.0.0:80-81->80-81/tcp, 0.0.0.0:83->83/tcp",
        );
        check(
            &["127.0.0.1@9000>90/tcp", "80/tcp", "0.0.0.0@70>70/udp"],
            "0.0.0.0:70->70/udp, 80/tcp, 127.0.0.1:9000->90/tcp",
        );
    }

    #[test]
    fn lines_are_in_natural_order() {
        let mut lines = ["100/tcp -> a", "80/tcp -> b", "80/tcp -> a"];
        lines.sort_by_key(|line| natural(line));
        assert_eq!(lines, ["80/tcp -> a", "80/tcp -> b", "100/tcp -> a"]);
    }
}
