//! The networks pane: what a row shows, how it sorts and what its filter understands; a network's text, the map of all of them, and
//! who can reach a container.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::SocketAddr;

use super::document::DocLine;
use super::list::{Column, Context, Row, Term};
use super::role::Role;
use super::text;
use crate::engine::model::ContainerId;
use crate::engine::model::network::{Endpoint, Network, Publication};
use crate::engine::model::reach::{self, Connection, From};

/// Column of the name.
pub const NAME: usize = 0;
/// Column of the driver.
pub const DRIVER: usize = 1;
/// Column of the subnets.
pub const SUBNETS: usize = 2;
/// Column of the containers on it.
pub const MEMBERS: usize = 3;
/// Column of the age.
pub const AGE: usize = 4;

/// Names that are always there.
const PREDEFINED: &[&str] = &["bridge", "host", "none"];

/// A network in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkRow {
    /// As the engine told.
    pub network: Network,
    /// Who is on it now.
    pub members: Vec<Endpoint>,
    /// What is being done to it.
    pub busy: Option<&'static str>,
}

/// What goes in and out of a container in a second, if that is known.
pub type Rates<'a> = &'a dyn Fn(&ContainerId) -> Option<(f32, f32)>;

impl NetworkRow {
    /// Its name, safe to draw.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        text::sanitise(&self.network.name)
    }

    /// It is always there.
    #[must_use]
    pub fn is_predefined(&self) -> bool {
        PREDEFINED.contains(&self.network.name.as_str())
    }

    fn driver(&self) -> String {
        let driver = self.network.driver.as_str();
        if self.network.internal {
            format!("{driver} internal")
        } else {
            driver.to_owned()
        }
    }

    fn subnets(&self) -> String {
        let all: Vec<_> = self
            .network
            .pools
            .iter()
            .map(|p| p.subnet.to_string())
            .collect();
        all.join(" ")
    }

    fn member_names(&self) -> Vec<&str> {
        let names = self.members.iter().map(|e| e.container_name.as_str());
        names.collect()
    }
}

impl Row for NetworkRow {
    type Key = String;
    #[rustfmt::skip]
    const COLUMNS: &'static [Column] = &[
        Column { title: "NETWORK", width: 12, grows: true, right: false, sorts: true },
        Column { title: "DRIVER", width: 8, grows: true, right: false, sorts: true },
        Column { title: "SUBNETS", width: 14, grows: true, right: false, sorts: true },
        Column { title: "ON IT", width: 6, grows: true, right: false, sorts: true },
        Column { title: "AGE", width: 4, grows: false, right: true, sorts: true },
    ];

    fn key(&self) -> String {
        self.network.name.clone()
    }

    fn cell(&self, column: usize, context: Context) -> Cow<'_, str> {
        match column {
            NAME => match self.busy {
                Some(busy) => format!("{} {busy}", self.name()).into(),
                None => self.name(),
            },
            DRIVER => self.driver().into(),
            SUBNETS => self.subnets().into(),
            MEMBERS => match self.member_names().as_slice() {
                [] => "-".into(),
                [one] => text::sanitise(one).into_owned().into(),
                many => format!("{}: {}", many.len(), text::sanitise(&many.join(" "))).into(),
            },
            AGE => text::age(context.now.as_second() - self.network.created.as_second()).into(),
            _ => "".into(),
        }
    }

    fn role(&self, column: usize) -> Role {
        match column {
            NAME if self.busy.is_some() => Role::Busy,
            NAME if self.is_predefined() => Role::Dim,
            MEMBERS if !self.members.is_empty() => Role::Good,
            DRIVER | MEMBERS | AGE => Role::Dim,
            _ => Role::Text,
        }
    }

    fn compare(&self, other: &Self, column: usize) -> Ordering {
        let (a, b) = (&self.network, &other.network);
        match column {
            // What somebody made comes first.
            NAME => self.is_predefined().cmp(&other.is_predefined()),
            DRIVER => self.driver().cmp(&other.driver()),
            SUBNETS => a
                .pools
                .first()
                .map(|p| p.subnet)
                .cmp(&b.pools.first().map(|p| p.subnet)),
            MEMBERS => other.members.len().cmp(&self.members.len()),
            AGE => b.created.cmp(&a.created),
            _ => Ordering::Equal,
        }
        .then_with(|| a.name.cmp(&b.name))
    }

    fn matches(&self, term: &Term) -> bool {
        match term.field.as_deref() {
            None => text::fuzzy(&self.network.name, &term.value),
            Some("name") => text::contains(&self.network.name, &term.value),
            Some("id") => text::contains(self.network.id.as_str(), &term.value),
            Some("driver") => text::contains(&self.driver(), &term.value),
            Some("subnet") => text::contains(&self.subnets(), &term.value),
            Some("used") => self
                .member_names()
                .iter()
                .any(|c| text::contains(c, &term.value)),
            Some("status") => match term.value.as_str() {
                "used" => !self.members.is_empty(),
                "unused" => self.members.is_empty(),
                "internal" => self.network.internal,
                _ => false,
            },
            Some("label") => term.fits_label(&self.network.labels),
            Some(_) => false,
        }
    }
}

/// All that is known about a network, and who is on it.
#[must_use]
pub fn network_lines(row: &NetworkRow, rates: Rates<'_>) -> Vec<DocLine> {
    let network = &row.network;
    let yes = |is: bool| if is { "yes" } else { "no" };
    let mut lines = vec![
        DocLine::new(0, "name:", &network.name),
        DocLine::new(0, "id:", network.id.as_str()),
        DocLine::new(0, "driver:", network.driver.as_str()),
        DocLine::new(0, "created:", &network.created.to_string()),
        DocLine::new(0, "internal:", yes(network.internal)),
        DocLine::new(0, "ipv4:", yes(network.ipv4)),
        DocLine::new(0, "ipv6:", yes(network.ipv6)),
    ];
    for pool in &network.pools {
        let range = pool.range.map(|range| format!(", gives out {range}"));
        let gateway = pool.gateway.map(|gateway| format!(", gateway {gateway}"));
        let value = format!(
            "{}{}{}",
            pool.subnet,
            range.unwrap_or_default(),
            gateway.unwrap_or_default()
        );
        lines.push(DocLine::new(0, "subnet:", &value));
    }
    for (title, pairs) in [("options:", &network.options), ("labels:", &network.labels)] {
        if !pairs.is_empty() {
            lines.push(DocLine::new(0, title, ""));
            let pair =
                |(key, value): (&String, &String)| DocLine::new(2, &format!("{key}:"), value);
            lines.extend(pairs.iter().map(pair));
        }
    }
    let count = match row.members.len() {
        0 => "nobody".to_owned(),
        many => many.to_string(),
    };
    lines.push(DocLine::new(0, "on it:", &count));
    for member in &row.members {
        lines.push(DocLine::new(
            2,
            &format!("{}:", member.container_name),
            &addresses(member),
        ));
        lines.push(DocLine::new(
            4,
            "device:",
            &format!("{} {}", member.interface, member.mac),
        ));
        if let Some((received, sent)) = rates(&member.container) {
            let rate = |value: f32| text::rate(f64::from(value));
            let value = format!("in {}, out {}", rate(received), rate(sent));
            lines.push(DocLine::new(4, "traffic:", &value));
        }
        let names: Vec<_> = member.names.iter().map(String::as_str).collect();
        lines.push(DocLine::new(4, "names:", &names.join(" ")));
        let ports = member.publications.iter().map(published);
        lines.extend(ports.map(|port| DocLine::new(4, "port:", &port)));
    }
    lines
}

fn addresses(endpoint: &Endpoint) -> String {
    let all: Vec<_> = endpoint.addresses().map(|a| a.to_string()).collect();
    all.join(" ")
}

/// `0.0.0.0:8080 -> 80/tcp`.
fn published(publication: &Publication) -> String {
    if publication.host == 0 {
        return format!("{} {}, routed", publication.to, publication.port);
    }
    let at = SocketAddr::new(publication.address, publication.host);
    format!("{at} -> {}", publication.port)
}

/// The map: each network that somebody is on, with its containers, their ports of this host, and where else they are.
#[must_use]
pub fn map_lines(rows: &[NetworkRow]) -> Vec<DocLine> {
    let mut lines = Vec::new();
    for row in rows.iter().filter(|row| !row.members.is_empty()) {
        let way = if row.network.internal {
            "no way out"
        } else {
            "to the outside"
        };
        let head = format!("{} {} ({way})", row.driver(), row.subnets());
        lines.push(DocLine::new(0, &format!("{}:", row.network.name), &head));
        let last = row.members.len() - 1;
        for (at, member) in row.members.iter().enumerate() {
            let (branch, trunk) = if at == last {
                ("└─", "  ")
            } else {
                ("├─", "│ ")
            };
            let field = format!("{branch} {}", member.container_name);
            lines.push(DocLine::new(1, &field, &addresses(member)));
            for port in member.publications.iter().map(published) {
                lines.push(DocLine::new(1, &format!("{trunk}   ●"), &port));
            }
            let elsewhere = elsewhere(rows, row, member);
            if !elsewhere.is_empty() {
                let value = format!("also on {}", elsewhere.join(", "));
                lines.push(DocLine::new(1, &format!("{trunk}   ○"), &value));
            }
        }
        lines.push(DocLine::default());
    }
    if lines.is_empty() {
        lines.push(DocLine::new(0, "", "no running container is on a network"));
    }
    lines
}

/// The other networks that a container is on.
fn elsewhere<'a>(rows: &'a [NetworkRow], here: &NetworkRow, member: &Endpoint) -> Vec<&'a str> {
    let others = rows.iter().filter(|row| row.network.id != here.network.id);
    others
        .filter(|row| row.members.iter().any(|e| e.container == member.container))
        .map(|row| row.network.name.as_str())
        .collect()
}

/// Who can reach whoever is on the networks as `owner`, through which rule; `None` for the host.
#[must_use]
pub fn reach_lines(rows: &[NetworkRow], owner: Option<&ContainerId>) -> Vec<DocLine> {
    let networks: Vec<Network> = rows.iter().map(|row| row.network.clone()).collect();
    let endpoints: Vec<Endpoint> = rows.iter().flat_map(|row| row.members.clone()).collect();
    let ways = match owner {
        Some(owner) => reach::who_reaches(owner, &networks, &endpoints),
        None => reach::who_reaches_the_host(),
    };
    let mut lines = Vec::new();
    if ways.is_empty() {
        lines.push(DocLine::new(
            2,
            "",
            "nobody: it is on no network, or does not run",
        ));
    }
    for way in ways {
        let from = match &way.from {
            From::Host => "this host".to_owned(),
            From::Outside => "outside".to_owned(),
            From::Beside(devices) => format!("outside, by {}", devices.join(", ")),
            From::Containers(names) => names.join(", "),
        };
        lines.push(DocLine::new(2, &format!("{from}:"), &way.to.to_string()));
        lines.push(DocLine::new(4, "by", &way.rule));
    }
    lines
}

/// A container's sockets: those that listen first.
#[must_use]
pub fn connection_lines(connections: &[Connection]) -> Vec<DocLine> {
    let mut lines = vec![
        DocLine::default(),
        DocLine::new(0, "connections:", &connections.len().to_string()),
    ];
    let mut sorted: Vec<&Connection> = connections.iter().collect();
    sorted.sort_by_key(|c| (c.remote.is_some(), c.local.port(), c.remote));
    for connection in sorted {
        let field = format!("{} {:<12}", connection.protocol.as_str(), connection.state);
        let value = match connection.remote {
            Some(remote) => format!("{} {remote}", connection.local),
            None => connection.local.to_string(),
        };
        lines.push(DocLine::new(2, &field, &value));
    }
    lines
}
