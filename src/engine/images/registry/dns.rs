//! Host names to addresses: hosts(5), then the name servers of resolv.conf(5).
//!
//! A static binary has no glibc to ask. `localhost` and what ends in it is loopback without asking anybody (RFC 6761).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

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
pub(super) struct LookUp {
    files: Arc<Names>,
    patience: Duration,
}

impl LookUp {
    /// `patience` is what there is for a connection: the look-up is a part of it.
    pub(super) fn new(files: Names, patience: Duration) -> Self {
        Self {
            files: Arc::new(files),
            patience: patience * 3 / 4,
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Resolve for LookUp {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let (files, patience) = (self.files.clone(), self.patience);
        Box::pin(async move {
            let found = tokio::time::timeout(patience, look_up(name.as_str(), &files));
            let found = found.await.map_err(|_elapsed| {
                format!("lookup {}: no name server answers", name.as_str())
            })??;
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::path::Path;

    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::{RData, Record};

    use super::*;

    fn files(dir: &Path, hosts: &str, resolv: &str) -> Names {
        let names = Names {
            hosts: dir.join("hosts"),
            resolv: dir.join("resolv.conf"),
        };
        std::fs::write(&names.hosts, hosts).unwrap();
        std::fs::write(&names.resolv, resolv).unwrap();
        names
    }

    #[tokio::test]
    async fn the_hosts_file_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            "10.1.2.3 registry.test registry # mine\nfd00::1 registry.test\n10.9.9.9 localhost";
        let names = files(dir.path(), text, "");
        let four: IpAddr = "10.1.2.3".parse().unwrap();
        let six: IpAddr = "fd00::1".parse().unwrap();
        assert_eq!(look_up("registry.test", &names).await.unwrap(), [four, six]);
        assert_eq!(
            look_up("REGISTRY.test.", &names).await.unwrap(),
            [four, six]
        );
        assert_eq!(look_up("registry", &names).await.unwrap(), [four]);
        let own: IpAddr = "10.9.9.9".parse().unwrap();
        assert_eq!(look_up("localhost", &names).await.unwrap(), [own]);
    }

    #[tokio::test]
    async fn localhost_is_loopback_without_asking() {
        let dir = tempfile::tempdir().unwrap();
        let names = files(dir.path(), "", "nameserver 192.0.2.1");
        for name in ["localhost", "registry.localhost", "LocalHost."] {
            let found = look_up(name, &names).await.unwrap();
            assert!(found.iter().all(IpAddr::is_loopback), "{name}");
            assert_eq!(found.len(), 2);
        }
    }

    #[tokio::test]
    async fn name_servers_are_asked_with_the_domains_to_search() {
        // The port of name servers is for root alone.
        let Ok(server) = UdpSocket::bind("127.0.53.53:53") else {
            return;
        };
        let asked = std::thread::spawn(move || {
            let mut asked = Vec::new();
            let mut buffer = [0; 512];
            while let Ok((length, from)) = server.recv_from(&mut buffer) {
                if &buffer[..length] == b"stop" {
                    break;
                }
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let question = query.queries[0].clone();
                let name = question.name().to_string();
                let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
                answer.add_query(question.clone());
                if name == "registry.corp.test." && question.query_type() == RecordType::A {
                    let data = RData::A(Ipv4Addr::new(10, 1, 2, 3).into());
                    answer.add_answer(Record::from_rdata(question.name().clone(), 60, data));
                } else {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                server.send_to(&answer.to_vec().unwrap(), from).unwrap();
                asked.push(name);
            }
            asked
        });
        let dir = tempfile::tempdir().unwrap();
        let text = "nameserver 127.0.53.53\nsearch corp.test\noptions ndots:1 timeout:5";
        let names = files(dir.path(), "", text);
        let four: IpAddr = "10.1.2.3".parse().unwrap();
        assert_eq!(look_up("registry", &names).await.unwrap(), [four]);
        let error = look_up("no.test", &names).await.unwrap_err();
        assert_eq!(error.to_string(), "lookup no.test: no such host");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"stop", "127.0.53.53:53").unwrap();
        let asked = asked.join().unwrap();
        assert!(
            asked.contains(&"registry.corp.test.".to_owned()),
            "{asked:?}"
        );
    }
}
