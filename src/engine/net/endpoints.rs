//! What is on a network now: `networks/<id>/endpoints.json` in the run root. Addresses are handed out from it and names
//! answered from it.
//!
//! It is changed under a lock by temporary file and rename, so that a reader needs no lock. An entry whose container has
//! no monitor any more is nobody's: whoever changes the file takes it out. Of many entries one who joins asks some alone.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::pool;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::ContainerId;
use crate::engine::model::network::{Endpoint, Network, Pool};
use crate::engine::sys::file::{self, Durability};
use crate::engine::sys::lock_record;

/// Version of [`Book`] on disk.
const VERSION: u32 = 1;

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Book {
    /// Schema version.
    pub version: u32,
    /// The addresses that were handed out last: the search for the next one goes on there, so that one that was given
    /// back is not somebody else's at once.
    pub last_ipv4: Option<Ipv4Addr>,
    /// The same for version 6.
    pub last_ipv6: Option<Ipv6Addr>,
    /// Where whoever joins next begins to ask who lives.
    pub next_asked: usize,
    /// Who is on the network.
    pub endpoints: Vec<Endpoint>,
}

/// So many are asked whether they live when one joins: to ask one takes some microseconds, which of five hundred are more
/// than all the rest of joining.
const ASKED: usize = 32;

/// Where the books of all networks are.
#[derive(Debug, Clone, Copy)]
pub struct Shelf<'a> {
    /// The run root.
    pub run: &'a Path,
}

impl Shelf<'_> {
    /// A network's book.
    #[must_use]
    pub fn path(&self, network: &ContainerId) -> PathBuf {
        self.directory(network).join("endpoints.json")
    }

    fn directory(&self, network: &ContainerId) -> PathBuf {
        self.run.join("networks").join(network.as_str())
    }

    /// Who is on a network, dead ones included; empty if nobody ever was.
    ///
    /// # Errors
    /// What the file system says; [`Kind::Internal`] if it does not parse.
    pub fn read(&self, network: &ContainerId) -> Result<Book> {
        let path = self.path(network);
        let content = file::read_optional(&path)?;
        content.map_or_else(|| Ok(Book::default()), |text| parse(&path, &text))
    }

    /// The same without the dead. `own` is known to live: asking whether one's own lock is held would lose it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn living(&self, network: &ContainerId, own: Option<&ContainerId>) -> Result<Book> {
        let mut book = self.read(network)?;
        self.bury(&mut book, own)?;
        Ok(book)
    }

    /// Changes a book under its lock, without the dead. After an error of `change` nothing is written.
    ///
    /// # Errors
    /// What `change` says, or the file system.
    pub fn change<T>(
        &self,
        network: &ContainerId,
        own: Option<&ContainerId>,
        change: impl FnOnce(&mut Book) -> Result<T>,
    ) -> Result<T> {
        self.edit(network, |book| {
            self.bury(book, own)?;
            change(book)
        })
    }

    /// Puts a container on a network, with addresses of it. Of many others only some are asked whether they live: some in turn,
    /// those that have a name of its, and all if otherwise no address could be had.
    ///
    /// # Errors
    /// As [`take`], or what the file system says; nothing is written then.
    pub fn join(
        &self,
        network: &Network,
        own: &ContainerId,
        wanted: Wanted,
        make: impl FnOnce(Given, &[Endpoint]) -> Endpoint,
    ) -> Result<Endpoint> {
        self.edit(&network.id, |book| {
            // Of a run before, whose end was not seen.
            book.endpoints.retain(|other| other.container != *own);
            self.bury_some(book)?;
            let given = match take(book, network, wanted) {
                Err(error) if matches!(error.kind(), Kind::NoSpace | Kind::Conflict) => {
                    self.bury(book, None)?;
                    take(book, network, wanted)?
                }
                given => given?,
            };
            let endpoint = make(given, &book.endpoints);
            // Nobody is to be led to one who is dead when somebody has its names.
            let names = |other: &Endpoint| !other.names.is_disjoint(&endpoint.names);
            self.bury_those(book, None, names)?;
            book.endpoints.push(endpoint.clone());
            Ok(endpoint)
        })
    }

    /// The same with the dead.
    fn edit<T>(
        &self,
        network: &ContainerId,
        change: impl FnOnce(&mut Book) -> Result<T>,
    ) -> Result<T> {
        let directory = self.directory(network);
        file::create_private_dir(&directory)?;
        let _lock = file::lock(&directory.join("lock"))?;
        // Damage must not keep containers from starting for ever: what lives is told again by nobody, but addresses in use
        // are refused by the kernel.
        let path = self.path(network);
        let before = file::read_optional(&path)?;
        let mut book = match &before {
            Some(text) => parse(&path, text)?,
            None => Book::default(),
        };
        let result = change(&mut book)?;
        book.version = VERSION;
        let text = serde_json::to_vec(&book)
            .map_err(|error| Error::new(Kind::Internal, "encode endpoints").caused_by(error))?;
        if before.is_none_or(|before| before != text) {
            file::write_atomic(&path, &text, Durability::Unsynced)?;
        }
        Ok(result)
    }

    /// Takes a container off a network: what it was there, if it was. The dead stay: to ask of all whether they live is for
    /// whoever takes an address.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub fn leave(
        &self,
        network: &ContainerId,
        container: &ContainerId,
    ) -> Result<Option<Endpoint>> {
        if !self.path(network).exists() {
            return Ok(None);
        }
        self.edit(network, |book| {
            let at = book
                .endpoints
                .iter()
                .position(|endpoint| endpoint.container == *container);
            Ok(at.map(|at| book.endpoints.remove(at)))
        })
    }

    /// Changes what is told of a container on a network; nothing if it is not there.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub fn touch(
        &self,
        network: &ContainerId,
        container: &ContainerId,
        change: impl Fn(&mut Endpoint),
    ) -> Result<()> {
        if !self.path(network).exists() {
            return Ok(());
        }
        self.edit(network, |book| {
            let mut endpoints = book.endpoints.iter_mut();
            if let Some(endpoint) = endpoints.find(|one| one.container == *container) {
                change(endpoint);
            }
            Ok(())
        })
    }

    /// Removes all that is known of a network.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self, network: &ContainerId) -> Result<()> {
        file::remove_tree(&self.directory(network))
    }

    fn bury(&self, book: &mut Book, own: Option<&ContainerId>) -> Result<()> {
        self.bury_those(book, own, |_| true)
    }

    fn bury_those(
        &self,
        book: &mut Book,
        own: Option<&ContainerId>,
        are_asked: impl Fn(&Endpoint) -> bool,
    ) -> Result<()> {
        let mut dead = HashSet::new();
        for endpoint in &book.endpoints {
            let is_asked = Some(&endpoint.container) != own && are_asked(endpoint);
            if is_asked && !self.lives(&endpoint.container)? {
                dead.insert(endpoint.id.clone());
            }
        }
        book.endpoints
            .retain(|endpoint| !dead.contains(&endpoint.id));
        Ok(())
    }

    /// The same of the next [`ASKED`].
    fn bury_some(&self, book: &mut Book) -> Result<()> {
        let count = book.endpoints.len();
        if count <= ASKED {
            book.next_asked = 0;
            return self.bury(book, None);
        }
        let start = if book.next_asked < count {
            book.next_asked
        } else {
            0
        };
        let end = count.min(start + ASKED);
        let mut kept = Vec::with_capacity(ASKED);
        for endpoint in book.endpoints.drain(start..end).collect::<Vec<_>>() {
            if self.lives(&endpoint.container)? {
                kept.push(endpoint);
            }
        }
        book.next_asked = start + kept.len();
        book.endpoints.splice(start..start, kept);
        Ok(())
    }

    /// Whether a container has a monitor.
    fn lives(&self, container: &ContainerId) -> Result<bool> {
        let lock = self
            .run
            .join("containers")
            .join(container.as_str())
            .join("monitor.lock");
        Ok(lock_record::holder(&lock)?.is_some())
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<Book> {
    serde_json::from_slice(text).map_err(|error| {
        Error::new(Kind::Internal, format!("read {}", path.display())).caused_by(error)
    })
}

/// The addresses that an endpoint asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// This one of version 4.
    pub ipv4: Option<Ipv4Addr>,
    /// This one of version 6.
    pub ipv6: Option<Ipv6Addr>,
}

/// Addresses, with the prefix of their subnet.
pub type Given = (Option<ipnet::Ipv4Net>, Option<ipnet::Ipv6Net>);

/// Takes addresses from a network's pools for a new endpoint; the caller puts the endpoint into the book.
///
/// # Errors
/// [`Kind::InvalidInput`] for an address of no pool, [`Kind::Conflict`] for one in use, [`Kind::NoSpace`] when all are.
pub fn take(book: &mut Book, network: &Network, wanted: Wanted) -> Result<Given> {
    let v4 = match pool_of(network, false).filter(|_| network.ipv4) {
        Some(pool) => match address(book, network, pool, wanted.ipv4.map(IpAddr::V4))? {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        },
        None => refuse_foreign(network, wanted.ipv4.map(IpAddr::V4))?,
    };
    let v6 = match pool_of(network, true).filter(|_| network.ipv6) {
        Some(pool) => match address(book, network, pool, wanted.ipv6.map(IpAddr::V6))? {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        },
        None => refuse_foreign(network, wanted.ipv6.map(IpAddr::V6))?,
    };
    // One that was asked for is no place to go on from.
    if wanted.ipv4.is_none() {
        book.last_ipv4 = v4.or(book.last_ipv4);
    }
    if wanted.ipv6.is_none() {
        book.last_ipv6 = v6.or(book.last_ipv6);
    }
    let prefix = |of_six| pool_of(network, of_six).map_or(0, |pool| pool.subnet.prefix_len());
    Ok((
        v4.and_then(|address| ipnet::Ipv4Net::new(address, prefix(false)).ok()),
        v6.and_then(|address| ipnet::Ipv6Net::new(address, prefix(true)).ok()),
    ))
}

fn refuse_foreign<T>(network: &Network, wanted: Option<IpAddr>) -> Result<Option<T>> {
    match wanted {
        None => Ok(None),
        Some(address) => Err(outside(network, address)),
    }
}

fn outside(network: &Network, address: IpAddr) -> Error {
    Error::invalid(format!(
        "invalid endpoint settings: no configured subnet contains IP address {address}"
    ))
    .with_hint(format!(
        "'wharf network inspect {}' shows its subnets",
        network.name
    ))
}

/// The pool of one family that is used.
#[must_use]
pub fn pool_of(network: &Network, of_six: bool) -> Option<&Pool> {
    let mut pools = network.pools.iter();
    pools.find(|pool| matches!(pool.subnet, ipnet::IpNet::V6(_)) == of_six)
}

fn address(book: &Book, network: &Network, pool: &Pool, wanted: Option<IpAddr>) -> Result<IpAddr> {
    let holder = |address: IpAddr| {
        let mut all = book.endpoints.iter();
        all.find(|endpoint| endpoint.addresses().any(|a| a == address))
    };
    let is_kept = |address: IpAddr| {
        let is_gateway = pool.gateway == Some(address);
        is_gateway || pool.reserved.values().any(|reserved| *reserved == address)
    };
    if let Some(address) = wanted {
        if !pool::is_usable(pool, address) {
            return Err(outside(network, address));
        }
        let taken = |by: String| {
            Err(Error::conflict(format!("Address already in use: {address}")).with_hint(by))
        };
        return match holder(address) {
            Some(endpoint) => taken(format!("container {} has it", endpoint.container_name)),
            None if pool.gateway == Some(address) => {
                taken(format!("it is the gateway of network {}", network.name))
            }
            // What is reserved is reserved for who asks for it by its address.
            None => Ok(address),
        };
    }
    let last = match pool.subnet {
        ipnet::IpNet::V4(_) => book.last_ipv4.map(IpAddr::V4),
        ipnet::IpNet::V6(_) => book.last_ipv6.map(IpAddr::V6),
    };
    let taken: HashSet<IpAddr> = book
        .endpoints
        .iter()
        .flat_map(Endpoint::addresses)
        .collect();
    pool::next(pool, last, |address| {
        is_kept(address) || taken.contains(&address)
    })
    .ok_or_else(|| {
        let family = if matches!(pool.subnet, ipnet::IpNet::V6(_)) {
            "IPv6"
        } else {
            "IPv4"
        };
        Error::new(
            Kind::NoSpace,
            format!(
                "no available {family} addresses on this network's address pools: {} ({})",
                network.name, network.id
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::attach::tests::network;
    use super::super::names::tests::endpoint;
    use super::*;
    use crate::engine::host;

    fn id() -> ContainerId {
        let mut ids = std::iter::repeat_with(|| ContainerId::from_random(host::random_bytes()));
        ids.find_map(|id| id).unwrap()
    }

    /// One that has no monitor.
    fn dead(at: u8) -> Endpoint {
        Endpoint {
            id: id(),
            container: id(),
            ..endpoint("dead", &["dead"], &[&format!("10.0.0.{at}")])
        }
    }

    fn join(
        shelf: Shelf<'_>,
        network: &Network,
        wanted: Wanted,
        names: &[&str],
    ) -> Result<Endpoint> {
        let own = id();
        shelf.join(network, &own, wanted, |(ipv4, ipv6), _| Endpoint {
            ipv4,
            ipv6,
            container: own.clone(),
            ..endpoint("new", names, &[])
        })
    }

    #[test]
    fn the_dead_go_in_a_few_joins_and_at_once_where_their_addresses_are_needed() {
        let run = tempfile::tempdir().unwrap();
        let shelf = Shelf { run: run.path() };
        let network = network("crowd", false);
        let fill = |count: u8| {
            let put = |book: &mut Book| {
                *book = Book::default();
                book.endpoints.extend((0..count).map(|n| dead(n + 2)));
                Ok(())
            };
            shelf.edit(&network.id, put).unwrap();
        };
        let left = || {
            let book = shelf.read(&network.id).unwrap();
            let named = book.endpoints.iter().map(|e| e.container_name.clone());
            named.filter(|name| name == "dead").count()
        };
        fill(100);
        for count in [68, 36, 4, 0] {
            join(shelf, &network, Wanted::default(), &["new"]).unwrap();
            assert_eq!(left(), count);
        }
        // One who is not among those that are asked has the address that is wanted.
        fill(100);
        let wanted = Wanted {
            ipv4: Some("10.0.0.101".parse().unwrap()),
            ipv6: None,
        };
        assert!(
            join(shelf, &network, wanted, &["new"])
                .unwrap()
                .ipv4
                .is_some()
        );
        assert_eq!(left(), 0);
        // So has one whose name is wanted.
        fill(100);
        let rename = |book: &mut Book| {
            book.endpoints[90].names = ["db".to_owned()].into();
            book.endpoints[90].container_name = "db".to_owned();
            Ok(())
        };
        shelf.edit(&network.id, rename).unwrap();
        join(shelf, &network, Wanted::default(), &["db"]).unwrap();
        let book = shelf.read(&network.id).unwrap();
        assert!(book.endpoints.iter().all(|e| e.container_name != "db"));
        assert_eq!(left(), 99 - ASKED);
    }
}
