//! Host names to addresses: hosts(5), then the name servers of resolv.conf(5).
//!
//! A static binary has no glibc to ask. `localhost` and what ends in it is loopback without asking anybody (RFC 6761).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, Resolver};
use reqwest::dns::{Addrs, Resolve, Resolving};

use super::settings::Names;
use crate::engine::sys::file;

/// Looks names up as two files say, which are read for each look-up: it is rare, and they change under long-lived
/// programs.
#[derive(Debug)]
pub(super) struct LookUp(pub Arc<Names>);

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Resolve for LookUp {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let files = self.0.clone();
        Box::pin(async move {
            let found = look_up(name.as_str(), &files).await?;
            // The port is filled in by the caller.
            let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

async fn look_up(host: &str, files: &Names) -> Result<Vec<IpAddr>, Failure> {
    let bare = host.trim_end_matches('.').to_ascii_lowercase();
    let name = Name::from_str_relaxed(&bare)?;
    let known = in_hosts(&name, files);
    if !known.is_empty() {
        return Ok(known);
    }
    if bare == "localhost" || bare.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let (config, options) = configuration(files);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    let lookup = builder.build()?.lookup_ip(host).await.map_err(|error| {
        if error.is_no_records_found() {
            format!("lookup {bare}: no such host").into()
        } else {
            Failure::from(format!("lookup {bare}: {error}"))
        }
    })?;
    Ok(lookup.iter().collect())
}

fn in_hosts(name: &Name, files: &Names) -> Vec<IpAddr> {
    let mut hosts = Hosts::default();
    let text = file::read_optional(&files.hosts).ok().flatten();
    if hosts
        .read_hosts_conf(text.unwrap_or_default().as_slice())
        .is_err()
    {
        return Vec::new();
    }
    [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)))
        .flat_map(|lookup| {
            let records = lookup.answers().iter();
            records
                .filter_map(|record| record.data.ip_addr())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Without a name server in the file, it is the one of this host: resolv.conf(5).
fn configuration(files: &Names) -> (ResolverConfig, ResolverOpts) {
    let text = file::read_optional(&files.resolv).ok().flatten();
    let parsed = text.and_then(|text| parse_resolv_conf(text).ok());
    parsed.unwrap_or_else(|| {
        let here = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![here]);
        (config, ResolverOpts::default())
    })
}
