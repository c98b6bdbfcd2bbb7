//! Addresses of networks: which subnet a new one gets, which address a new endpoint gets, what of a user's wishes cannot
//! be. Pure: who has what now is in `endpoints.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::engine::model::network::{Mac, Pool};

/// Docker's default pools (moby `libnetwork/ipamutils`): first address, prefix of all, prefix of each.
const POOLS: [(Ipv4Addr, u8, u8); 7] = [
    (Ipv4Addr::new(172, 17, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 18, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 19, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 20, 0, 0), 14, 16),
    (Ipv4Addr::new(172, 24, 0, 0), 14, 16),
    (Ipv4Addr::new(172, 28, 0, 0), 14, 16),
    (Ipv4Addr::new(192, 168, 0, 0), 16, 20),
];

/// Why a pool cannot be, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The subnet's host part is not zero.
    #[error("invalid subnet {0}: it should be {1}")]
    HostBits(IpNet, IpNet),
    /// The range's host part is not zero.
    #[error("invalid ip-range {0}: it should be {1}")]
    RangeHostBits(IpNet, IpNet),
    /// The range is not in the subnet.
    #[error("invalid ip-range {0}: parent subnet {1} doesn't contain ip-range")]
    Range(IpNet, IpNet),
    /// The gateway is not in the subnet.
    #[error("invalid gateway {0}: parent subnet {1} doesn't contain this address")]
    Gateway(IpAddr, IpNet),
    /// A reserved address is not in the subnet.
    #[error("invalid auxiliary address {0}: parent subnet {1} doesn't contain this address")]
    Auxiliary(IpAddr, IpNet),
    /// Somebody else's, or twice.
    #[error("Pool overlaps with other one on this address space")]
    Overlap,
    /// No room for a gateway and an endpoint.
    #[error("invalid subnet {0}: it has no address for a container")]
    TooSmall(IpNet),
}

/// Checks one pool by itself.
///
/// # Errors
/// What is wrong with it.
pub fn check(pool: &Pool) -> Result<(), Refused> {
    let subnet = pool.subnet;
    if subnet.trunc() != subnet {
        return Err(Refused::HostBits(subnet, subnet.trunc()));
    }
    if subnet.prefix_len() + 1 > subnet.max_prefix_len() {
        return Err(Refused::TooSmall(subnet));
    }
    if let Some(range) = pool.range {
        if range.trunc() != range {
            return Err(Refused::RangeHostBits(range, range.trunc()));
        }
        if !subnet.contains(&range) {
            return Err(Refused::Range(range, subnet));
        }
    }
    if let Some(gateway) = pool.gateway.filter(|gateway| !subnet.contains(gateway)) {
        return Err(Refused::Gateway(gateway, subnet));
    }
    let mut reserved = pool.reserved.values();
    match reserved.find(|address| !subnet.contains(*address)) {
        Some(address) => Err(Refused::Auxiliary(*address, subnet)),
        None => Ok(()),
    }
}

/// Whether two subnets have an address in common.
#[must_use]
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The first of the default subnets that has no address in common with any of `taken`.
#[must_use]
pub fn free_subnet(taken: &[IpNet]) -> Option<Ipv4Net> {
    let all = POOLS.into_iter().flat_map(|(first, whole, each)| {
        Ipv4Net::new(first, whole)
            .ok()
            .and_then(|net| net.subnets(each).ok())
            .into_iter()
            .flatten()
    });
    let mut all = all;
    all.find(|net| !taken.iter().any(|other| overlap(&IpNet::V4(*net), other)))
}

/// A subnet of version 6 that nobody else has (RFC 4193): `random` are 40 bits of it.
#[must_use]
pub fn local_subnet(random: u64) -> Ipv6Net {
    let bits = 0xfd_u128 << 120 | u128::from(random & 0xff_ffff_ffff) << 80;
    Ipv6Net::new(Ipv6Addr::from_bits(bits), 64).unwrap_or_default()
}

/// The bridge's own address if the user chose none: the first that is handed out.
#[must_use]
pub fn default_gateway(pool: &Pool) -> Option<IpAddr> {
    next(pool, None, |address| {
        pool.reserved.values().any(|reserved| *reserved == address)
    })
}

/// The next address after `last` that is not taken, all around the pool once. The gateway and reserved ones are for
/// `taken` to know; the addresses that are nobody's (the network's own, broadcast) are left out here.
#[must_use]
pub fn next(pool: &Pool, last: Option<IpAddr>, taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let (low, high) = bounds(pool)?;
    let start = match last.map(bits).filter(|at| (low..high).contains(at)) {
        Some(at) => at + 1,
        None => low,
    };
    let mut all = (start..=high).chain(low..start);
    all.find_map(|at| {
        let address = address(pool.subnet, at);
        (!taken(address)).then_some(address)
    })
}

/// Whether a user may ask for this address: it is in the subnet, and somebody's.
#[must_use]
pub fn is_usable(pool: &Pool, address: IpAddr) -> bool {
    let whole = Pool {
        range: None,
        ..pool.clone()
    };
    pool.subnet.contains(&address)
        && bounds(&whole).is_some_and(|(low, high)| (low..=high).contains(&bits(address)))
}

/// The lowest and highest address that may be handed out.
fn bounds(pool: &Pool) -> Option<(u128, u128)> {
    let range = pool.range.unwrap_or(pool.subnet);
    let (mut low, mut high) = (bits(range.network()), last_of(range));
    let (first, last) = (bits(pool.subnet.network()), last_of(pool.subnet));
    // RFC 3021: of two addresses both are hosts'.
    let point_to_point = pool.subnet.prefix_len() + 1 >= pool.subnet.max_prefix_len();
    if !point_to_point {
        if low == first {
            low += 1;
        }
        let has_broadcast = matches!(pool.subnet, IpNet::V4(_));
        if has_broadcast && high == last {
            high -= 1;
        }
    }
    (low <= high).then_some((low, high))
}

fn last_of(net: IpNet) -> u128 {
    match net {
        IpNet::V4(net) => u128::from(net.broadcast().to_bits()),
        IpNet::V6(net) => net.broadcast().to_bits(),
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(family: IpNet, bits: u128) -> IpAddr {
    match family {
        // It came of 32 bits.
        IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX))),
        IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

/// A hardware address for an endpoint: local, of one station; made of the address of version 4, so that one who keeps the
/// address keeps both, else at random.
#[must_use]
pub fn mac(ipv4: Option<Ipv4Addr>, random: u64) -> Mac {
    let [a, b, c, d] = if let Some(address) = ipv4 {
        address.octets()
    } else {
        let [a, b, c, d, ..] = random.to_be_bytes();
        [a, b, c, d]
    };
    Mac([0x02, 0x42, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn pool(subnet: &str) -> Pool {
        Pool {
            subnet: subnet.parse().unwrap(),
            range: None,
            gateway: None,
            reserved: std::collections::BTreeMap::new(),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_go_around_what_is_taken() {
        let free = |taken: &[&str]| {
            let taken: Vec<IpNet> = taken.iter().map(|t| t.parse().unwrap()).collect();
            free_subnet(&taken).map(|net| net.to_string())
        };
        assert_eq!(free(&[]).as_deref(), Some("172.17.0.0/16"));
        assert_eq!(free(&["172.17.3.0/24"]).as_deref(), Some("172.18.0.0/16"));
        assert_eq!(free(&["172.16.0.0/12"]).as_deref(), Some("192.168.0.0/20"));
        assert_eq!(
            free(&["172.16.0.0/12", "192.168.1.7/32"]).as_deref(),
            Some("192.168.16.0/20")
        );
        assert_eq!(free(&["fd00::/8"]).as_deref(), Some("172.17.0.0/16"));
        assert_eq!(free(&["0.0.0.0/0"]), None);
    }

    #[test]
    fn addresses_come_one_after_the_other_and_around() {
        let small = pool("10.0.0.0/29");
        let next_of = |last: Option<&str>, taken: &[&str]| {
            let taken: BTreeSet<IpAddr> = taken.iter().map(|t| ip(t)).collect();
            next(&small, last.map(ip), |a| taken.contains(&a)).map(|a| a.to_string())
        };
        assert_eq!(next_of(None, &[]).as_deref(), Some("10.0.0.1"));
        assert_eq!(next_of(None, &["10.0.0.1"]).as_deref(), Some("10.0.0.2"));
        assert_eq!(next_of(Some("10.0.0.3"), &[]).as_deref(), Some("10.0.0.4"));
        assert_eq!(next_of(Some("10.0.0.6"), &[]).as_deref(), Some("10.0.0.1"));
        let all: Vec<String> = (1..7).map(|n| format!("10.0.0.{n}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(next_of(Some("10.0.0.3"), &all), None);
        // A cursor of another time is no harm.
        assert_eq!(next_of(Some("10.9.9.9"), &[]).as_deref(), Some("10.0.0.1"));
        assert_eq!(
            next(&pool("10.0.0.0/31"), None, |_| false),
            Some(ip("10.0.0.0"))
        );
        assert_eq!(
            next(&pool("fd00::/64"), None, |_| false),
            Some(ip("fd00::1"))
        );
    }

    #[test]
    fn a_range_is_all_that_is_handed_out() {
        let mut ranged = pool("10.0.0.0/24");
        ranged.range = Some("10.0.0.128/25".parse().unwrap());
        assert_eq!(default_gateway(&ranged), Some(ip("10.0.0.128")));
        ranged.reserved.insert("router".into(), ip("10.0.0.128"));
        assert_eq!(default_gateway(&ranged), Some(ip("10.0.0.129")));
        assert!(is_usable(&ranged, ip("10.0.0.7")));
        for wrong in ["10.0.0.0", "10.0.0.255", "10.0.1.1", "fd00::1"] {
            assert!(!is_usable(&ranged, ip(wrong)), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_dockers_words() {
        let refused = |change: fn(&mut Pool)| {
            let mut pool = pool("10.0.0.0/24");
            change(&mut pool);
            check(&pool).unwrap_err().to_string()
        };
        assert!(check(&pool("10.0.0.0/24")).is_ok());
        assert_eq!(
            refused(|p| p.subnet = "10.0.0.1/24".parse().unwrap()),
            "invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24"
        );
        assert_eq!(
            refused(|p| p.subnet = "10.0.0.0/32".parse().unwrap()),
            "invalid subnet 10.0.0.0/32: it has no address for a container"
        );
        assert_eq!(
            refused(|p| p.range = Some("10.0.1.0/25".parse().unwrap())),
            "invalid ip-range 10.0.1.0/25: parent subnet 10.0.0.0/24 doesn't contain ip-range"
        );
        assert_eq!(
            refused(|p| p.gateway = Some(ip("10.0.1.1"))),
            "invalid gateway 10.0.1.1: parent subnet 10.0.0.0/24 doesn't contain this address"
        );
        assert_eq!(
            refused(|p| {
                p.reserved.insert("x".into(), ip("fd00::1"));
            }),
            "invalid auxiliary address fd00::1: parent subnet 10.0.0.0/24 doesn't contain this address"
        );
    }

    #[test]
    fn a_hardware_address_follows_the_address() {
        let of = |ip: Option<[u8; 4]>| mac(ip.map(Into::into), 0x0102_0304_0506_0708);
        assert_eq!(of(Some([172, 17, 0, 2])).to_string(), "02:42:ac:11:00:02");
        assert_eq!(of(None).to_string(), "02:42:01:02:03:04");
    }

    proptest! {
        #[test]
        fn an_address_is_never_handed_out_twice(prefix in 24_u8..31, cuts in prop::collection::vec(any::<bool>(), 1..300)) {
            let pool = pool(&format!("10.1.0.0/{prefix}"));
            let mut taken = BTreeSet::new();
            let mut last = None;
            for give_back in cuts {
                if give_back {
                    taken.pop_first();
                    continue;
                }
                let Some(address) = next(&pool, last, |a| taken.contains(&a)) else {
                    prop_assert_eq!(taken.len(), (1_usize << (32 - prefix)) - 2);
                    continue;
                };
                prop_assert!(is_usable(&pool, address));
                prop_assert!(taken.insert(address));
                last = Some(address);
            }
        }

        #[test]
        fn a_local_subnet_is_one(random in any::<u64>()) {
            let net = local_subnet(random);
            prop_assert_eq!(net.trunc(), net);
            prop_assert_eq!(net.addr().octets()[0], 0xfd);
        }
    }
}
