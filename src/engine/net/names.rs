//! Who is called what in the networks of one container: read from the files that say who is there, again whenever one of them
//! changes. Speaking DNS is `dns`'s work.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::engine::model::network::Endpoint;

/// More of a file is not read: some ten thousand endpoints.
const FILE_LIMIT: u64 = 64 << 20;

/// One network that a container is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The network's name: `web.front` is `web` in `front`.
    pub network: String,
    /// Its `endpoints.json`.
    pub file: PathBuf,
    /// Names for this container alone (`--link`), lower case, and what each stands for: a name in that network.
    pub links: BTreeMap<String, String>,
}

/// The names of all networks of a container, in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Directory {
    networks: Vec<Network>,
}

#[derive(Debug)]
struct Network {
    source: Source,
    seen: Option<Stamp>,
    /// The version that was read. As long as it is open no later one gets its inode's number, which with the same length and
    /// the same tick of the clock would look like it.
    held: Option<fs::File>,
    table: Table,
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug, Default)]
struct Table {
    names: HashMap<Box<str>, Vec<IpAddr>>,
    owners: HashMap<IpAddr, Box<str>>,
}

/// What of the file matters here.
#[derive(Debug, serde::Deserialize)]
struct Document {
    endpoints: Vec<Endpoint>,
}

impl Directory {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        let networks = sources.into_iter().map(|source| Network {
            source,
            seen: None,
            held: None,
            table: Table::default(),
        });
        Self {
            networks: networks.collect(),
        }
    }

    /// Reads again what has changed. A network whose file is missing or says nothing has no names.
    pub fn refresh(&mut self) {
        for network in &mut self.networks {
            let path = &network.source.file;
            let now = fs::metadata(path).ok().map(|found| Stamp::of(&found));
            if now.is_some() && now == network.seen {
                continue;
            }
            // What is renamed into place meanwhile is another file, and is read with the next question.
            let opened = fs::File::open(path).ok();
            let facts = opened.as_ref().and_then(|file| file.metadata().ok());
            network.seen = facts.map(|found| Stamp::of(&found));
            network.table = opened.as_ref().and_then(Table::read).unwrap_or_default();
            network.held = opened;
        }
    }

    /// Gives memory back; the next question reads the files again.
    pub fn rest(&mut self) {
        for network in &mut self.networks {
            network.seen = None;
            network.held = None;
            network.table = Table::default();
        }
    }

    /// The addresses of both families behind a name; `None` if nobody has it. `name` is lower case and has no dot at its end.
    /// The first network that knows it answers, as Docker has it: `a.b.c` is looked for as such in all of them, then as `a.b` in
    /// the network `c`, then as `a` in the network `b.c`.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        let whole = self.networks.iter().find_map(|network| network.find(name));
        whole.or_else(|| {
            name.rmatch_indices('.').find_map(|(at, _)| {
                let (host, network) = (name.get(..at)?, name.get(at + 1..)?);
                self.networks
                    .iter()
                    .filter(|known| known.source.network.eq_ignore_ascii_case(network))
                    .find_map(|known| known.find(host))
            })
        })
    }

    /// `name.network` of whoever has an address.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<String> {
        self.networks.iter().find_map(|network| {
            let owner = network.table.owners.get(&address)?;
            Some(format!("{owner}.{}", network.source.network))
        })
    }
}

impl Network {
    fn find(&self, name: &str) -> Option<&[IpAddr]> {
        let linked = self.source.links.get(name);
        linked
            .and_then(|name| self.table.names.get(name.as_str()))
            .or_else(|| self.table.names.get(name))
            .map(Vec::as_slice)
    }
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Table {
    fn read(file: &fs::File) -> Option<Self> {
        let mut bytes = Vec::new();
        file.take(FILE_LIMIT).read_to_end(&mut bytes).ok()?;
        let document: Document = serde_json::from_slice(&bytes).ok()?;
        Some(Self::of(&document.endpoints))
    }

    fn of(endpoints: &[Endpoint]) -> Self {
        let mut names: HashMap<Box<str>, BTreeSet<IpAddr>> = HashMap::new();
        let mut owners = HashMap::new();
        for endpoint in endpoints {
            let own = endpoint.container_name.to_ascii_lowercase();
            for name in endpoint.names.iter().chain([&own]) {
                if !name.is_empty() {
                    let known = names.entry(name.as_str().into()).or_default();
                    known.extend(endpoint.addresses());
                }
            }
            for address in endpoint.addresses() {
                owners.insert(address, endpoint.container_name.as_str().into());
            }
        }
        let names = names
            .into_iter()
            .map(|(name, addresses)| (name, addresses.into_iter().collect()))
            .collect();
        Self { names, owners }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::model::{ContainerId, Timestamp, network::Mac};
    use crate::engine::sys::file::{Durability, write_atomic};

    pub(in crate::engine::net) fn endpoint(
        name: &str,
        names: &[&str],
        addresses: &[&str],
    ) -> Endpoint {
        let id = ContainerId::try_from("ab".repeat(32)).unwrap();
        Endpoint {
            id: id.clone(),
            container: id.clone(),
            container_name: name.to_owned(),
            network: id,
            interface: "eth0".to_owned(),
            host_interface: String::new(),
            mac: Mac::default(),
            ipv4: addresses
                .iter()
                .find_map(|a| format!("{a}/24").parse().ok()),
            ipv6: addresses
                .iter()
                .find_map(|a| format!("{a}/64").parse().ok()),
            gateways: Vec::new(),
            link_local: Vec::new(),
            host_name: String::new(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            links: Vec::new(),
            publications: Vec::new(),
            since: Timestamp::now(),
        }
    }

    pub(in crate::engine::net) fn write(path: &Path, endpoints: &[Endpoint]) {
        let document = serde_json::json!({"version": 1, "endpoints": endpoints});
        let text = document.to_string();
        write_atomic(path, text.as_bytes(), Durability::Unsynced).unwrap();
    }

    fn source(dir: &Path, network: &str) -> Source {
        Source {
            network: network.to_owned(),
            file: dir.join(network),
            links: BTreeMap::new(),
        }
    }

    fn ips(texts: &[&str]) -> Option<Vec<IpAddr>> {
        Some(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn a_name_is_looked_for_in_all_networks_and_then_in_the_one_it_names() {
        let dir = tempfile::tempdir().unwrap();
        write(
            &dir.path().join("front"),
            &[
                endpoint("web", &["web", "shop"], &["10.0.0.2", "fd00::2"]),
                endpoint("a.b", &["a.b"], &["10.0.0.3"]),
            ],
        );
        write(
            &dir.path().join("back.end"),
            &[
                endpoint("web", &["web"], &["10.1.0.2"]),
                endpoint("DB", &["sql"], &["10.1.0.3"]),
            ],
        );
        let sources = vec![source(dir.path(), "front"), source(dir.path(), "back.end")];
        let mut directory = Directory::new(sources);
        assert_eq!(directory.addresses("web"), None);
        directory.refresh();
        for (name, expected) in [
            ("web", ips(&["10.0.0.2", "fd00::2"])),
            ("shop.front", ips(&["10.0.0.2", "fd00::2"])),
            ("web.back.end", ips(&["10.1.0.2"])),
            ("a.b", ips(&["10.0.0.3"])),
            ("a.b.front", ips(&["10.0.0.3"])),
            ("db", ips(&["10.1.0.3"])),
            ("sql.back.end", ips(&["10.1.0.3"])),
            ("sql.front", None),
            ("web.nowhere", None),
            ("", None),
            (".", None),
            (".front", None),
            ("web.", None),
        ] {
            let found = directory.addresses(name).map(<[IpAddr]>::to_vec);
            assert_eq!(found, expected, "{name}");
        }
        let owner = |text: &str| directory.owner(text.parse().unwrap());
        assert_eq!(owner("10.1.0.2").as_deref(), Some("web.back.end"));
        assert_eq!(owner("fd00::2").as_deref(), Some("web.front"));
        assert_eq!(owner("10.9.0.1"), None);
    }

    #[test]
    fn a_change_is_seen_at_the_next_question_and_so_is_a_file_that_went() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let mut directory = Directory::new(vec![source(dir.path(), "n")]);
        for round in 0..20 {
            let name = format!("c{}", round % 10);
            write(&path, &[endpoint(&name, &[], &["10.0.0.2"])]);
            directory.refresh();
            assert!(directory.addresses(&name).is_some(), "{round}");
            if round % 3 == 0 {
                directory.rest();
                assert_eq!(directory.addresses(&name), None);
            }
        }
        fs::remove_file(&path).unwrap();
        directory.refresh();
        assert_eq!(directory.addresses("c9"), None);
        fs::write(&path, "{").unwrap();
        directory.refresh();
        assert_eq!(directory.addresses("c9"), None);
    }

    #[test]
    fn versions_of_one_length_in_one_tick_of_the_clock_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), "net");
        let file = source.file.clone();
        let mut directory = Directory::new(vec![source]);
        for round in 0..300 {
            let name = format!("late{}", round % 10);
            write(&file, &[endpoint(&name, &[], &["10.0.0.9"])]);
            directory.refresh();
            assert!(directory.addresses(&name).is_some(), "round {round}");
        }
    }

    #[test]
    fn a_link_is_a_name_for_one_container_alone() {
        let dir = tempfile::tempdir().unwrap();
        write(
            &dir.path().join("n"),
            &[
                endpoint("postgres", &[], &["10.0.0.2"]),
                endpoint("db", &[], &["10.0.0.3"]),
            ],
        );
        let mut linked = source(dir.path(), "n");
        linked.links = BTreeMap::from([
            ("db".to_owned(), "postgres".to_owned()),
            ("gone".to_owned(), "nobody".to_owned()),
        ]);
        let mut directory = Directory::new(vec![linked]);
        directory.refresh();
        let postgres = ips(&["10.0.0.2"]);
        assert_eq!(directory.addresses("db"), postgres.as_deref());
        assert_eq!(directory.addresses("db.n"), postgres.as_deref());
        assert_eq!(directory.addresses("gone"), None);
    }
}
