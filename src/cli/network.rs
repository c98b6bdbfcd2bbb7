//! The network verbs.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::container;
use super::format::{Format, Headings, Row};
use super::inspect::Show;
use super::list;
use super::networking;
use super::output::Out;
use super::report::{self, Failure, Outcome};
use super::value::{self, Filter};
use super::{Context, args, client_config};
use crate::engine::model::network::{Attachment, Endpoint, Network, Pool};
use crate::engine::model::request;
use crate::engine::{Engine, Error, Kind};

const LS: &str = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
const LS_HEADINGS: Headings = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

/// `network create`.
pub fn create(context: &Context, args: &args::CreateNetwork) -> Outcome {
    let request = create_request(args).map_err(Failure::plain)?;
    let network = context.engine()?.create_network(&request)?;
    super::say(network.id)
}

fn create_request(args: &args::CreateNetwork) -> Result<request::CreateNetwork, String> {
    let swarm = |what: &str| Err(format!("{what} is for a swarm, which there is none of"));
    if args.ingress {
        return swarm("--ingress");
    }
    match args.scope.as_deref() {
        None | Some("" | "local") => {}
        Some("swarm" | "global") => return swarm("--scope"),
        Some(other) => return Err(format!("invalid scope: {other}")),
    }
    match args.ipam_driver.as_deref() {
        None | Some("" | "default") => {}
        Some(other) => {
            return Err(format!(
                "invalid ipam driver {other:?}: the address management is \"default\""
            ));
        }
    }
    Ok(request::CreateNetwork {
        name: args.operands.first().cloned().unwrap_or_default(),
        driver: args.driver.clone().unwrap_or_default(),
        pools: pools(args)?,
        ipv4: Some(args.ipv4),
        ipv6: Some(args.ipv6),
        internal: args.internal,
        attachable: args.attachable,
        config_only: args.config_only,
        config_from: args.config_from.clone().unwrap_or_default(),
        options: networking::map(&args.opt),
        ipam_options: networking::map(&args.ipam_opt),
        labels: args
            .label
            .iter()
            .map(|label| {
                let (key, value) = label.split_once('=').unwrap_or((label, ""));
                (key.to_owned(), value.to_owned())
            })
            .collect(),
    })
}

/// Brings subnets together with what belongs to each, as Docker's client does.
fn pools(args: &args::CreateNetwork) -> Result<Vec<Pool>, String> {
    let mut pools: Vec<Pool> = Vec::new();
    for text in &args.subnet {
        let subnet: IpNet = text
            .parse()
            .map_err(|_e| format!("invalid subnet {text}: invalid CIDR block notation"))?;
        let overlaps = |pool: &Pool| pool.subnet.contains(&subnet) || subnet.contains(&pool.subnet);
        if pools.iter().any(overlaps) {
            return Err("multiple overlapping subnet configuration is not supported".to_owned());
        }
        pools.push(Pool {
            subnet,
            range: None,
            gateway: None,
            reserved: std::collections::BTreeMap::new(),
        });
    }
    if pools.is_empty() && !(args.ip_range.is_empty() && args.gateway.is_empty()) {
        return Err("every ip-range or gateway must have a corresponding subnet".to_owned());
    }
    for text in &args.ip_range {
        let range: IpNet = text
            .parse()
            .map_err(|_e| format!("invalid ip-range {text}: invalid CIDR block notation"))?;
        let pool = pools
            .iter_mut()
            .find(|pool| pool.subnet.contains(&range.addr()))
            .ok_or_else(|| format!("no matching subnet for range {text}"))?;
        if let Some(before) = pool.range {
            return Err(format!(
                "cannot configure multiple ranges ({text}, {before}) on the same subnet ({})",
                pool.subnet
            ));
        }
        pool.range = Some(range);
    }
    for text in &args.gateway {
        let gateway: IpAddr = text
            .parse()
            .map_err(|_e| format!("invalid gateway address: {text}"))?;
        let pool = pools
            .iter_mut()
            .find(|pool| pool.subnet.contains(&gateway))
            .ok_or_else(|| format!("no matching subnet for gateway {text}"))?;
        if let Some(before) = pool.gateway {
            return Err(format!(
                "cannot configure multiple gateways ({text}, {before}) for the same subnet ({})",
                pool.subnet
            ));
        }
        pool.gateway = Some(gateway);
    }
    for (name, text) in &args.aux_address {
        let address: IpAddr = text
            .parse()
            .map_err(|_e| format!("invalid aux-address: {text}"))?;
        let pool = pools
            .iter_mut()
            .find(|pool| pool.subnet.contains(&address))
            .ok_or_else(|| format!("no matching subnet for aux-address {text}"))?;
        pool.reserved.insert(name.clone(), address);
    }
    Ok(pools)
}

/// `network ls`.
pub fn ls(context: &Context, args: &args::LsNetworks) -> Outcome {
    for filter in &args.filter {
        check_filter(filter).map_err(Failure::plain)?;
    }
    let config = context.client_config();
    let given =
        client_config::format_or(args.format.as_deref(), &config.networks_format, args.quiet);
    let format = Format::parse(given, LS)?;
    let engine = context.engine()?;
    let mut shown = Vec::new();
    for network in engine.networks()? {
        let asks = |filter: &Filter| filter.key == "dangling";
        let used = args.filter.iter().any(asks) && !engine.network_members(&network)?.is_empty();
        if fits(&network, used, &args.filter) {
            shown.push(network);
        }
    }
    let id = |network: &Network| {
        if args.no_trunc {
            network.id.to_string()
        } else {
            network.id.short().to_owned()
        }
    };
    let mut out = Out::new();
    if args.quiet {
        for network in &shown {
            out.line(id(network))?;
        }
    } else {
        let rows: Vec<Row> = shown.iter().map(|one| row(one, id(one))).collect();
        format.print(&mut out, LS_HEADINGS, rows)?;
    }
    out.finish()?;
    Ok(0)
}

fn row(network: &Network, id: String) -> Row {
    let labels: Vec<String> = network
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let map: Map<String, Value> = network
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    Row::default()
        .with(
            "CreatedAt",
            network
                .created
                .strftime("%Y-%m-%d %H:%M:%S%.9f +0000 UTC")
                .to_string(),
        )
        .with("Driver", network.driver.as_str())
        .with("ID", id)
        .with("IPv4", network.ipv4.to_string())
        .with("IPv6", network.ipv6.to_string())
        .with("Internal", network.internal.to_string())
        .with("Labels", labels.join(","))
        .with("Name", network.name.as_str())
        .with("Scope", "local")
        .asked("Label", map)
}

fn check_filter(filter: &Filter) -> Result<(), String> {
    let value = &filter.value;
    match filter.key.as_str() {
        "driver" | "id" | "label" | "name" | "scope" => Ok(()),
        "type" if matches!(value.as_str(), "builtin" | "custom") => Ok(()),
        "type" => Err(format!("invalid filter: 'type'='{value}'")),
        "dangling" => value::boolean(value)
            .map(|_| ())
            .map_err(|_e| format!("invalid filter 'dangling={value}'")),
        other => Err(format!("invalid filter '{other}'")),
    }
}

/// Several values of one key: any of them; labels: all.
fn fits(network: &Network, used: bool, filters: &[Filter]) -> bool {
    let builtin = matches!(network.name.as_str(), "bridge" | "host" | "none");
    let any = |key: &str, test: &dyn Fn(&str) -> bool| {
        let mut of_key = filters.iter().filter(|filter| filter.key == key).peekable();
        of_key.peek().is_none() || of_key.any(|filter| test(&filter.value))
    };
    let labels = filters
        .iter()
        .filter(|filter| filter.key == "label")
        .all(|filter| list::has_label(&network.labels, &filter.value));
    any("name", &|name| network.name.contains(name))
        && any("id", &|id| network.id.as_str().contains(id))
        && any("driver", &|driver| network.driver.as_str() == driver)
        && any("scope", &|scope| scope == "local")
        && any("type", &|kind| (kind == "builtin") == builtin)
        && any("dangling", &|text| {
            value::boolean(text) == Ok(!used && !builtin)
        })
        && labels
}

/// `network inspect`.
pub fn inspect(context: &Context, args: &args::InspectNetwork) -> Outcome {
    let show = Show::parse(args.format.as_deref())?;
    let engine = context.engine()?;
    // `--verbose` adds what only a swarm has.
    container::inspect_each(&show, &args.operands, |name| inspect_one(&engine, name))
}

/// A network in Docker's shape.
///
/// # Errors
/// [`Kind::NotFound`].
pub fn inspect_one(engine: &Engine, name: &str) -> Result<Value, Error> {
    let network = engine.network(name)?;
    let members = engine.network_members(&network)?;
    Ok(document(&network, &members))
}

fn document(network: &Network, members: &[Endpoint]) -> Value {
    let config: Vec<Value> = network.pools.iter().map(pool).collect();
    let builtin = matches!(network.name.as_str(), "bridge" | "host" | "none");
    let ipam_options = if network.ipam_options.is_empty() && builtin {
        Value::Null
    } else {
        json!(network.ipam_options)
    };
    let containers: Map<String, Value> = members
        .iter()
        .map(|member| {
            let text = |net: Option<String>| net.unwrap_or_default();
            let value = json!({
                "Name": member.container_name,
                "EndpointID": member.id,
                "MacAddress": member.mac.to_string(),
                "IPv4Address": text(member.ipv4.map(|net| net.to_string())),
                "IPv6Address": text(member.ipv6.map(|net| net.to_string())),
            });
            (member.container.to_string(), value)
        })
        .collect();
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created.to_string(),
        "Scope": "local",
        "Driver": network.driver.as_str(),
        "EnableIPv4": network.ipv4,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": ipam_options,
            "Config": config,
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": false,
        "ConfigFrom": { "Network": network.config_from },
        "ConfigOnly": network.config_only,
        "Containers": containers,
        "Options": network.options,
        "Labels": network.labels,
    })
}

fn pool(pool: &Pool) -> Value {
    let mut value = Map::new();
    value.insert("Subnet".to_owned(), json!(pool.subnet.to_string()));
    if let Some(range) = pool.range {
        value.insert("IPRange".to_owned(), json!(range.to_string()));
    }
    if let Some(gateway) = pool.gateway {
        value.insert("Gateway".to_owned(), json!(gateway.to_string()));
    }
    if !pool.reserved.is_empty() {
        value.insert("AuxiliaryAddresses".to_owned(), json!(pool.reserved));
    }
    Value::Object(value)
}

/// `network rm`.
pub fn rm(context: &Context, args: &args::RmNetworks) -> Outcome {
    let engine = context.engine()?;
    let mut out = Out::new();
    let mut code = 0;
    for name in &args.operands {
        match engine.remove_network(name) {
            Ok(_) => out.line(name)?,
            Err(error) if args.force && error.kind() == Kind::NotFound => {}
            Err(error) => {
                report::complain(&report::line(&error));
                code = 1;
            }
        }
    }
    out.finish()?;
    Ok(code)
}

/// `network connect`.
pub fn connect(context: &Context, args: &args::Connect) -> Outcome {
    let operand = |at: usize| args.operands.get(at).cloned().unwrap_or_default();
    let attachment = Attachment {
        network: operand(0),
        aliases: args.alias.clone(),
        ipv4: args.ip,
        ipv6: args.ip6,
        link_local: args.link_local_ip.clone(),
        mac: None,
        options: networking::map(&args.driver_opt),
        gw_priority: args.gw_priority.unwrap_or(0),
        links: args.link.clone(),
    };
    let engine = context.engine()?;
    let id = engine.resolve(&operand(1))?;
    engine.connect_network(&id, &attachment)?;
    Ok(0)
}

/// `network disconnect`.
pub fn disconnect(context: &Context, args: &args::Disconnect) -> Outcome {
    let operand = |at: usize| args.operands.get(at).cloned().unwrap_or_default();
    let engine = context.engine()?;
    engine.disconnect_network(&operand(0), &operand(1), args.force)?;
    Ok(0)
}

/// `network repair`: wharf's own.
pub fn repair(context: &Context, _args: &args::Plain) -> Outcome {
    let engine = context.engine()?;
    let mut out = Out::new();
    for line in engine.repair_networks()? {
        out.line(line)?;
    }
    out.finish()?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::network::Driver;
    use crate::engine::model::{ContainerId, Timestamp, network};
    use clap::{Args, Command, FromArgMatches};

    fn asked(line: &str) -> Result<request::CreateNetwork, String> {
        let command =
            crate::cli::parse::as_pflag(args::CreateNetwork::augment_args(Command::new("")));
        let mut matches = command
            .try_get_matches_from(line.split_whitespace())
            .map_err(|e| e.to_string())?;
        create_request(&args::CreateNetwork::from_arg_matches_mut(&mut matches).unwrap())
    }

    #[test]
    fn ranges_and_gateways_find_their_subnets() {
        let request = asked(
            "--subnet 10.0.0.0/24 --subnet fd00::/64 --gateway fd00::9,10.0.0.9 --ip-range 10.0.0.128/25 --aux-address a=10.0.0.3 --ipv6 -o a=b --label x net",
        )
        .unwrap();
        assert_eq!(request.name, "net");
        assert_eq!(request.ipv6, Some(true));
        let told: Vec<String> = request.pools.iter().map(|p| pool(p).to_string()).collect();
        assert_eq!(
            told,
            [
                r#"{"Subnet":"10.0.0.0/24","IPRange":"10.0.0.128/25","Gateway":"10.0.0.9","AuxiliaryAddresses":{"a":"10.0.0.3"}}"#,
                r#"{"Subnet":"fd00::/64","Gateway":"fd00::9"}"#
            ]
        );
        for (line, why) in [
            (
                "--subnet x n",
                "invalid subnet x: invalid CIDR block notation",
            ),
            (
                "--subnet 10.0.0.0/8 --subnet 10.1.0.0/16 n",
                "multiple overlapping subnet configuration is not supported",
            ),
            (
                "--gateway 10.0.0.1 n",
                "every ip-range or gateway must have a corresponding subnet",
            ),
            (
                "--subnet 10.0.0.0/24 --gateway 10.0.1.1 n",
                "no matching subnet for gateway 10.0.1.1",
            ),
            (
                "--subnet 10.0.0.0/24 --ip-range 10.0.1.0/25 n",
                "no matching subnet for range 10.0.1.0/25",
            ),
            (
                "--subnet 10.0.0.0/24 --aux-address a=10.0.1.0 n",
                "no matching subnet for aux-address 10.0.1.0",
            ),
            (
                "--subnet 10.0.0.0/24 --gateway 10.0.0.1 --gateway 10.0.0.2 n",
                "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/24)",
            ),
            (
                "--ingress n",
                "--ingress is for a swarm, which there is none of",
            ),
            (
                "--scope swarm n",
                "--scope is for a swarm, which there is none of",
            ),
        ] {
            assert_eq!(asked(line), Err(why.to_owned()), "{line}");
        }
    }

    #[test]
    fn filters_choose_networks() {
        let network = Network {
            version: network::RECORD_VERSION,
            id: ContainerId::try_from("ab".repeat(32)).unwrap(),
            name: "front".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            driver: Driver::Bridge,
            pools: Vec::new(),
            ipv4: true,
            ipv6: false,
            internal: false,
            attachable: false,
            config_only: false,
            config_from: String::new(),
            options: std::collections::BTreeMap::new(),
            ipam_options: std::collections::BTreeMap::new(),
            labels: [("a".to_owned(), "1".to_owned())].into(),
        };
        let test = |texts: &[&str], used| {
            let filters: Vec<Filter> = texts.iter().map(|f| value::filter(f).unwrap()).collect();
            for filter in &filters {
                check_filter(filter)?;
            }
            Ok::<bool, String>(fits(&network, used, &filters))
        };
        for (filters, used, expect) in [
            (&[][..], true, true),
            (&["name=ron"], true, true),
            (&["name=x", "name=front"], true, true),
            (&["id=abab"], true, true),
            (&["id=q"], true, false),
            (&["driver=bridge", "scope=local"], true, true),
            (&["driver=macvlan"], true, false),
            (&["type=custom"], true, true),
            (&["type=builtin"], true, false),
            (&["label=a=1"], true, true),
            (&["label=b"], true, false),
            (&["dangling=true"], true, false),
            (&["dangling=true"], false, true),
        ] {
            assert_eq!(test(filters, used), Ok(expect), "{filters:?} {used}");
        }
        assert!(test(&["dangling=x"], true).is_err());
        assert!(test(&["type=x"], true).is_err());
        assert!(test(&["x=1"], true).is_err());
    }
}
