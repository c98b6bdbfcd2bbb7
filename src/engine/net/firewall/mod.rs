//! Who may reach whom: one nf_tables table for all networks of a run root. `layout.rs` says what is in it, `others.rs` gets our
//! packets past other firewalls.
//!
//! A start changes elements of maps in one transaction, whatever the number of ports; rules are per network. All of it is made
//! of the records of networks and endpoints, so that it can be made again at any time.

mod layout;
mod others;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;

use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::engine::error::{Attempt, Error, Result};
use crate::engine::model::network::{Endpoint, Network, Protocol};
use crate::engine::net::forwarding::Closed;
use crate::engine::sys::conntrack;
use crate::engine::sys::netlink::{Refused, Socket};
use crate::engine::sys::nftables::{self, Changes, Family, SeenRule};

pub use layout::USER_CHAIN;
use layout::{NOTE, Part};

/// The default run root, whose table is called `wharf`.
const DEFAULT_RUN: &str = "/run/wharf";
const FAMILY: Family = Family::Inet;

/// The firewall of one run root. Its methods work in the network namespace in which the first one was called.
///
/// Dropping it waits for the kernel, if something was removed just before: closing a socket of nf_tables flushes what is about to be
/// freed, which takes an RCU grace period (net/netfilter/nf_tables_api.c, `nft_rcv_nl_event`). Hold it until nobody waits.
#[derive(Debug)]
pub struct Firewall {
    table: String,
    socket: OnceLock<Socket>,
}

/// What [`Firewall::repair`] made again, a line each; empty if all was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was missing.
    pub missing: Vec<String>,
}

/// A network and the name of its bridge.
pub type Bridged<'a> = (&'a Network, &'a str);

impl Firewall {
    /// That of a run root: each has a table of its own.
    #[must_use]
    pub fn of(run_root: &Path) -> Self {
        let table = if run_root == Path::new(DEFAULT_RUN) {
            "wharf".to_owned()
        } else {
            let digest = Sha256::digest(run_root.as_os_str().as_encoded_bytes());
            let mut name = "wharf-".to_owned();
            for byte in digest.iter().take(4) {
                use std::fmt::Write;
                let _ = write!(name, "{byte:02x}");
            }
            name
        };
        Self {
            table,
            socket: OnceLock::new(),
        }
    }

    fn socket(&self) -> Result<&Socket> {
        if let Some(socket) = self.socket.get() {
            return Ok(socket);
        }
        let opened = Socket::netfilter().map_err(explained)?;
        Ok(self.socket.get_or_init(|| opened))
    }

    /// The table's name, in the family `inet`.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// All is there: looks with a few small requests, and makes the table again if it, a chain or a set is missing. Other firewalls let
    /// our bridges' packets through.
    ///
    /// # Errors
    /// What the kernel says; the table is then as it was.
    pub fn ensure(&self, networks: &[Bridged<'_>], endpoints: &[Endpoint]) -> Result<()> {
        self.ensure_with(networks, &Closed::default(), || Ok(endpoints.to_vec()))
    }

    /// The same on a host that did not forward before; who is on the networks is only asked if the table has to be made.
    ///
    /// # Errors
    /// As [`Self::ensure`]; what `endpoints` says.
    pub fn ensure_with(
        &self,
        networks: &[Bridged<'_>],
        closed: &Closed,
        endpoints: impl FnOnce() -> Result<Vec<Endpoint>>,
    ) -> Result<()> {
        let socket = self.socket()?;
        let is_complete = self.is_complete(socket, &all(closed, networks, &[]));
        if !is_complete.map_err(explained)? {
            self.make(socket, &all(closed, networks, &endpoints()?))?;
        }
        others::let_through(socket, &self.table, &bridges(networks))?;
        Ok(())
    }

    /// Lets a network's rules into the table, which [`Self::ensure`] has made. Adding it again replaces them.
    ///
    /// # Errors
    /// What the kernel says; nothing of the network is there then that was not before.
    pub fn add_network(&self, network: &Network, bridge: &str) -> Result<()> {
        let what = || format!("firewall of network {}", network.name);
        let socket = self.socket()?;
        let mut changes = self.changes();
        layout::of_network(network, bridge).add(&mut changes);
        done(changes.commit(socket)?).attempt(what)?;
        others::let_through(socket, &self.table, &[bridge.to_owned()]).attempt(what)?;
        Ok(())
    }

    /// Takes a network's rules away; those that are gone are no error. With the last one the table goes, unless the
    /// administrator has rules of his own in it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove_network(&self, network: &Network, bridge: &str) -> Result<()> {
        let what = || format!("firewall of network {}", network.name);
        let socket = self.socket()?;
        others::forget(socket, &self.table, Some(bridge)).attempt(what)?;
        self.withdraw_part(socket, &layout::of_network(network, bridge))
            .attempt(what)?;
        self.remove_if_unused(socket)
    }

    /// Publishes an endpoint's ports.
    ///
    /// # Errors
    /// What the kernel says; none of them is published then.
    pub fn publish(&self, network: &Network, endpoint: &Endpoint) -> Result<()> {
        let part = layout::of_endpoint(network, endpoint);
        if part.elements.is_empty() {
            return Ok(());
        }
        let what = || format!("publish ports of {}", endpoint.container_name);
        let socket = self.socket()?;
        let mut changes = self.changes();
        part.add(&mut changes);
        match changes.commit(socket)? {
            // It leads elsewhere: somebody was killed before he took it back. Who publishes holds the port.
            Err(refused) if matches!(refused.errno, Errno::BUSY | Errno::EXIST) => {}
            other => return done(other).attempt(what),
        }
        self.withdraw_part(socket, &part).attempt(what)?;
        let mut changes = self.changes();
        part.add(&mut changes);
        done(changes.commit(socket)?).attempt(what)
    }

    /// Takes an endpoint's ports back, and forgets what datagrams went there; ports that are gone are no error.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn withdraw(&self, network: &Network, endpoint: &Endpoint) -> Result<()> {
        let part = layout::of_endpoint(network, endpoint);
        if part.elements.is_empty() {
            return Ok(());
        }
        let what = || format!("withdraw ports of {}", endpoint.container_name);
        let socket = self.socket()?;
        self.withdraw_part(socket, &part).attempt(what)?;
        // Who sends datagrams all the time keeps a flow alive that leads to an address which may be somebody else's soon.
        let udp = endpoint.publications.iter();
        let servers: BTreeSet<SocketAddr> = udp
            .filter(|publication| publication.port.protocol == Protocol::Udp)
            .map(|publication| SocketAddr::new(publication.to, publication.port.number))
            .collect();
        for server in servers {
            conntrack::forget_translated(socket, Protocol::Udp.number(), server).attempt(what)?;
        }
        Ok(())
    }

    /// Looks for every rule and element, and makes all again if one is missing. [`USER_CHAIN`] is left alone.
    ///
    /// # Errors
    /// What the kernel says; the table is then as it was.
    pub fn repair(&self, networks: &[Bridged<'_>], endpoints: &[Endpoint]) -> Result<Repaired> {
        self.repair_with(networks, &Closed::default(), endpoints)
    }

    /// The same on a host that did not forward before.
    ///
    /// # Errors
    /// As [`Self::repair`].
    pub fn repair_with(
        &self,
        networks: &[Bridged<'_>],
        closed: &Closed,
        endpoints: &[Endpoint],
    ) -> Result<Repaired> {
        let socket = self.socket()?;
        let wanted = all(closed, networks, endpoints);
        let mut missing = self.missing(socket, &wanted)?;
        if !missing.is_empty() {
            self.make(socket, &wanted)?;
        }
        missing.extend(others::let_through(
            socket,
            &self.table,
            &bridges(networks),
        )?);
        Ok(Repaired { missing })
    }

    /// All rules of the table, with what they counted.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn rules(&self) -> Result<Vec<SeenRule>> {
        nftables::rules(self.socket()?, FAMILY, &self.table, None)
    }

    /// Removes the table with all that is in it, and what other firewalls have of us.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&self) -> Result<()> {
        let socket = self.socket()?;
        others::forget(socket, &self.table, None)?;
        let mut changes = self.changes();
        changes.remove_table();
        gone_is_fine(changes.commit(socket)?)
    }

    fn changes(&self) -> Changes<'_> {
        Changes::to(FAMILY, &self.table)
    }

    fn is_complete(&self, socket: &Socket, wanted: &Part) -> Result<bool> {
        let least = wanted.chains.len() + layout::all_sets().len();
        let seen = nftables::look_table(socket, FAMILY, &self.table)?;
        Ok(seen.is_some_and(|(used, note)| {
            // Kernels before 5.11 keep no note.
            let is_ours = note == NOTE || note.is_empty();
            is_ours && usize::try_from(used).is_ok_and(|used| used >= least)
        }))
    }

    /// Makes the table as it should be, and nothing else in it but the administrator's chain.
    fn make(&self, socket: &Socket, wanted: &Part) -> Result<()> {
        let there = nftables::chains(socket, FAMILY, &self.table)?;
        let mut changes = self.changes();
        changes.table(NOTE);
        for set in layout::all_sets() {
            changes.set(&set);
            changes.flush_set(set.name);
        }
        let stale = there.iter().filter(|chain| {
            let is_wanted = wanted.chains.iter().any(|wanted| wanted.name == chain.name);
            is_of_network(&chain.name) && !is_wanted
        });
        for chain in stale {
            changes.flush_chain(&chain.name);
            changes.remove_chain(&chain.name);
        }
        wanted.add(&mut changes);
        done(changes.commit(socket)?).attempt(|| format!("make firewall table {}", self.table))
    }

    fn missing(&self, socket: &Socket, wanted: &Part) -> Result<Vec<String>> {
        if nftables::look_table(socket, FAMILY, &self.table)?.is_none() {
            return Ok(vec![format!("table {}", self.table)]);
        }
        let mut missing = Vec::new();
        let chains = nftables::chains(socket, FAMILY, &self.table)?;
        let rules = nftables::rules(socket, FAMILY, &self.table, None)?;
        for chain in &wanted.chains {
            if !chains.iter().any(|there| there.name == chain.name) {
                missing.push(format!("chain {}", chain.name));
                continue;
            }
            if chain.name == USER_CHAIN {
                continue;
            }
            let there = rules.iter().filter(|rule| rule.chain == chain.name);
            let there: Vec<&str> = there.map(|rule| rule.comment.as_str()).collect();
            let expected: Vec<&str> = chain.rules.iter().map(nftables::Rule::comment).collect();
            if there != expected {
                missing.push(format!("rules of chain {}", chain.name));
            }
        }
        for (set, elements) in wanted.by_set() {
            let keys = nftables::keys(socket, FAMILY, &self.table, set)?;
            let keys: BTreeSet<Vec<u8>> = keys.into_iter().collect();
            let lost = elements.iter().filter(|e| !keys.contains(&e.key));
            missing.extend(lost.map(|e| format!("element of {set}: {}", e.comment)));
        }
        Ok(missing)
    }

    /// All at once, which is the usual case; what is left one by one if some of it was gone.
    fn withdraw_part(&self, socket: &Socket, part: &Part) -> Result<()> {
        let mut changes = self.changes();
        part.remove(&mut changes);
        match changes.commit(socket)? {
            Err(refused) if refused.errno == Errno::NOENT => {}
            other => return done(other),
        }
        for (set, element) in &part.elements {
            let mut changes = self.changes();
            changes.remove(set, std::slice::from_ref(element));
            gone_is_fine(changes.commit(socket)?)?;
        }
        for chain in &part.chains {
            let mut changes = self.changes();
            changes.flush_chain(&chain.name);
            changes.remove_chain(&chain.name);
            gone_is_fine(changes.commit(socket)?)?;
        }
        Ok(())
    }

    fn remove_if_unused(&self, socket: &Socket) -> Result<()> {
        let chains = nftables::chains(socket, FAMILY, &self.table)?;
        let rules = nftables::rules(socket, FAMILY, &self.table, Some(USER_CHAIN))?;
        let is_used = chains.iter().any(|chain| is_of_network(&chain.name));
        if is_used || !rules.is_empty() {
            return Ok(());
        }
        let mut changes = self.changes();
        changes.remove_table();
        gone_is_fine(changes.commit(socket)?)
    }
}

/// Says it if the kernel has no nf_tables: no such protocol of netlink (netlink(7)), or nobody behind it who understands
/// (nfnetlink.c).
fn explained(error: Error) -> Error {
    let missing = [
        Errno::PROTONOSUPPORT,
        Errno::AFNOSUPPORT,
        Errno::OPNOTSUPP,
        Errno::INVAL,
    ];
    let errno = error.raw_os_error();
    if !missing
        .iter()
        .any(|known| errno == Some(known.raw_os_error()))
    {
        return error;
    }
    Error::unsupported(
        "networks need nf_tables, which this kernel does not have (is its module loaded?)",
    )
    .caused_by(error)
}

/// Of one network, not of all.
fn is_of_network(chain: &str) -> bool {
    let prefixes = ["to-", "from-", "host-", "back-", "as-"];
    prefixes.iter().any(|prefix| chain.starts_with(prefix))
}

fn all(closed: &Closed, networks: &[Bridged<'_>], endpoints: &[Endpoint]) -> Part {
    let mut all = layout::frame(closed);
    let mut add = |part: Part| {
        all.chains.extend(part.chains);
        all.elements.extend(part.elements);
    };
    for (network, bridge) in networks {
        add(layout::of_network(network, bridge));
        let own = endpoints.iter().filter(|e| e.network == network.id);
        own.for_each(|endpoint| add(layout::of_endpoint(network, endpoint)));
    }
    all
}

fn bridges(networks: &[Bridged<'_>]) -> Vec<String> {
    let all = networks.iter();
    let all =
        all.filter(|(network, bridge)| !layout::of_network(network, bridge).chains.is_empty());
    all.map(|(_, bridge)| (*bridge).to_owned()).collect()
}

fn done(result: std::result::Result<(), Refused>) -> Result<()> {
    result.map_err(Into::into)
}

fn gone_is_fine(result: std::result::Result<(), Refused>) -> Result<()> {
    match result {
        Err(refused) if refused.errno == Errno::NOENT => Ok(()),
        other => done(other),
    }
}
