//! Other firewalls on the same host: where one drops what it does not know in its forward chain, what is ours must be let
//! through there, too, because a packet has to pass all of them. Our own table still decides who reaches whom.
//!
//! Known are tables as `iptables-nft` makes them (`ip filter`, `ip6 filter`: Docker, ufw, podman's older networks): a rule goes into
//! Docker's chain for the administrator, or else to the head of `FORWARD` if that drops; and firewalld's own table
//! (`inet firewalld`), which treats what is in none of its zones as in the default one: a rule goes before that, behind the zones
//! that the administrator has put something into.

use crate::engine::error::Result;
use crate::engine::sys::netlink::{Refused, Socket};
use crate::engine::sys::nftables::{self, Changes, Family, Rule, Verdict, Way};
use rustix::io::Errno;

const TABLE: &str = "filter";
/// Docker's chain for the administrator: it does not flush it.
const DOCKER_USER: &str = "DOCKER-USER";
const FORWARD: &str = "FORWARD";
/// firewalld's table, and its chain that leads to a zone each; the last one leads to the default zone (firewalld
/// `core/nftables.py`).
const FIREWALLD: &str = "firewalld";
const ZONES: &str = "filter_FORWARD_ZONES";

/// Adds what is missing, and says what that was.
pub(super) fn let_through(socket: &Socket, owner: &str, bridges: &[String]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let Some(chain) = chain_of(socket, family)? else {
            continue;
        };
        let there = nftables::rules(socket, family, TABLE, Some(chain))?;
        let mut changes = Changes::to(family, TABLE);
        let mut any = false;
        for bridge in bridges {
            let comment = comment(owner, bridge);
            if there.iter().any(|rule| rule.comment == comment) {
                continue;
            }
            for way in [Way::In, Way::Out] {
                changes.first_rule(chain, &accept(&comment, way, bridge));
            }
            missing.push(format!(
                "rules for {bridge} in chain {chain} of {}",
                name(family)
            ));
            any = true;
        }
        if any {
            tolerant(changes.commit(socket)?)?;
        }
    }
    missing.extend(into_zones(socket, owner, bridges)?);
    Ok(missing)
}

/// The same for firewalld. Since 2.1 its table may be changed by itself alone (nft(8), flag `owner`): it has to be told then.
fn into_zones(socket: &Socket, owner: &str, bridges: &[String]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    if nftables::look_chain(socket, Family::Inet, FIREWALLD, ZONES)?.is_none() {
        return Ok(missing);
    }
    let there = nftables::rules(socket, Family::Inet, FIREWALLD, Some(ZONES))?;
    let Some(default) = there.last() else {
        return Ok(missing);
    };
    let mut changes = Changes::to(Family::Inet, FIREWALLD);
    for bridge in bridges {
        let comment = comment(owner, bridge);
        if there.iter().any(|rule| rule.comment == comment) {
            continue;
        }
        for way in [Way::In, Way::Out] {
            changes.rule_before(ZONES, default.handle, &accept(&comment, way, bridge));
        }
        missing.push(format!("rules for {bridge} in chain {ZONES} of firewalld"));
    }
    if missing.is_empty() {
        return Ok(missing);
    }
    match changes.commit(socket)? {
        Err(refused) if refused.errno == Errno::PERM => Ok(Vec::new()),
        other => tolerant(other).map(|()| missing),
    }
}

fn accept(comment: &str, way: Way, bridge: &str) -> Rule {
    Rule::new(comment)
        .device(way, bridge)
        .counted()
        .then(Verdict::Accept)
}

/// Removes what was added for a bridge, or for all.
pub(super) fn forget(socket: &Socket, owner: &str, bridge: Option<&str>) -> Result<()> {
    for (family, table, chain) in [
        (Family::Ipv4, TABLE, DOCKER_USER),
        (Family::Ipv4, TABLE, FORWARD),
        (Family::Ipv6, TABLE, DOCKER_USER),
        (Family::Ipv6, TABLE, FORWARD),
        (Family::Inet, FIREWALLD, ZONES),
    ] {
        if nftables::look_chain(socket, family, table, chain)?.is_none() {
            continue;
        }
        let rules = nftables::rules(socket, family, table, Some(chain))?;
        let is_ours = |text: &str| match bridge {
            Some(bridge) => text == comment(owner, bridge),
            None => text.starts_with(&comment(owner, "")),
        };
        let ours = rules.iter().filter(|rule| is_ours(&rule.comment));
        let mut changes = Changes::to(family, table);
        let mut any = false;
        for rule in ours {
            changes.remove_rule(chain, rule.handle);
            any = true;
        }
        if any {
            tolerant(changes.commit(socket)?)?;
        }
    }
    Ok(())
}

/// The chain that a rule has to be in, if any.
fn chain_of(socket: &Socket, family: Family) -> Result<Option<&'static str>> {
    if nftables::look_chain(socket, family, TABLE, DOCKER_USER)?.is_some() {
        return Ok(Some(DOCKER_USER));
    }
    let forward = nftables::look_chain(socket, family, TABLE, FORWARD)?;
    Ok(forward.filter(|chain| chain.drops).map(|_| FORWARD))
}

fn comment(owner: &str, bridge: &str) -> String {
    format!("{owner}: bridge {bridge}")
}

fn name(family: Family) -> &'static str {
    match family {
        Family::Ipv6 => "ip6 filter",
        Family::Ipv4 | Family::Inet => "ip filter",
    }
}

/// Whoever owns the chain may be changing it at the same time.
fn tolerant(result: std::result::Result<(), Refused>) -> Result<()> {
    match result {
        Err(refused) if refused.errno == Errno::NOENT => Ok(()),
        other => other.map_err(Into::into),
    }
}
