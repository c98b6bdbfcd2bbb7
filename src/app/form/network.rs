//! The dialogs that make a network, put a container on one, and take it off.

use ipnet::IpNet;

use super::volume::pairs;
use super::{Ask, Form, Input, Kind, Problem};
use crate::app::jobs::Request;
use crate::engine::model::ContainerId;
use crate::engine::model::network::{Attachment, Pool};
use crate::engine::model::request;

const NAME: usize = 0;
const DRIVER: usize = 1;
const SUBNET: usize = 2;
const GATEWAY: usize = 3;
const INTERNAL: usize = 4;
const OPTIONS: usize = 5;
const LABELS: usize = 6;

const CONTAINER: usize = 0;
const ALIASES: usize = 1;

const DRIVERS: &[&str] = &["bridge", "macvlan", "ipvlan"];

fn choice(words: &[&str]) -> Kind {
    Kind::Choice(words.iter().map(|&word| word.to_owned()).collect())
}

impl Form {
    /// Asks for a new network.
    #[must_use]
    pub fn create_network() -> Self {
        let inputs = vec![
            Input::new("name", Kind::Text, ""),
            Input::new("driver", choice(DRIVERS), "").or("bridge"),
            Input::new("subnet", Kind::Text, "").or("a free one is chosen"),
            Input::new("gateway", Kind::Text, "").or("the first address"),
            Input::new("internal", choice(&["yes", "no"]), "").or("no"),
            Input::new("options", Kind::Pairs, "").or("key=value …"),
            Input::new("labels", Kind::Pairs, "").or("key=value …"),
        ];
        Self::new(Ask::CreateNetwork, inputs)
    }

    /// Asks which of these containers to put on a network.
    #[must_use]
    pub fn connect(network: &str, containers: Vec<(String, ContainerId)>) -> Self {
        let names = containers.iter().map(|(name, _)| name.clone()).collect();
        let inputs = vec![
            Input::new("container", Kind::Choice(names), ""),
            Input::new("aliases", Kind::Text, "").or("further names there"),
        ];
        let network = network.to_owned();
        Self::new(
            Ask::Connect {
                network,
                containers,
            },
            inputs,
        )
    }

    /// Asks which of these containers to take off a network.
    #[must_use]
    pub fn disconnect(network: &str, containers: Vec<String>) -> Self {
        let only = match containers.as_slice() {
            [one] => one.clone(),
            _ => String::new(),
        };
        let inputs = vec![Input::new(
            "container",
            Kind::Choice(containers.clone()),
            &only,
        )];
        let network = network.to_owned();
        Self::new(
            Ask::Disconnect {
                network,
                containers,
            },
            inputs,
        )
    }

    pub(super) fn network_request(&self) -> Result<(Request, String), Problem> {
        let name = self.text(NAME).to_owned();
        if name.is_empty() {
            return Err(self.wrong_in(NAME, "a network has a name".to_owned()));
        }
        let internal = match self.text(INTERNAL) {
            "" | "no" => false,
            "yes" => true,
            other => return Err(self.wrong_in(INTERNAL, format!("{other}: say yes or no"))),
        };
        let request = request::CreateNetwork {
            name: name.clone(),
            driver: self.text(DRIVER).to_owned(),
            pools: self.pool()?.into_iter().collect(),
            internal,
            options: pairs(self.text(OPTIONS)).map_err(|text| self.wrong_in(OPTIONS, text))?,
            labels: pairs(self.text(LABELS)).map_err(|text| self.wrong_in(LABELS, text))?,
            ..request::CreateNetwork::default()
        };
        Ok((Request::CreateNetwork(request), name))
    }

    fn pool(&self) -> Result<Option<Pool>, Problem> {
        let (subnet, gateway) = (self.text(SUBNET), self.text(GATEWAY));
        if subnet.is_empty() {
            if gateway.is_empty() {
                return Ok(None);
            }
            return Err(self.wrong_in(SUBNET, "a gateway belongs to a subnet".to_owned()));
        }
        let not = |what| format!("{what}: no subnet, as 10.5.0.0/24 is one");
        let subnet: IpNet = subnet
            .parse()
            .map_err(|_error: ipnet::AddrParseError| self.wrong_in(SUBNET, not(subnet)))?;
        let gateway = match gateway {
            "" => None,
            text => Some(text.parse().map_err(|_error: std::net::AddrParseError| {
                self.wrong_in(GATEWAY, format!("{text}: no address"))
            })?),
        };
        Ok(Some(Pool {
            subnet: subnet.trunc(),
            range: None,
            gateway,
            reserved: std::collections::BTreeMap::new(),
        }))
    }

    pub(super) fn connect_request(
        &self,
        network: &str,
        containers: &[(String, ContainerId)],
    ) -> Result<(Request, String), Problem> {
        let wanted = self.text(CONTAINER);
        let Some((name, id)) = containers.iter().find(|(name, _)| name == wanted) else {
            return Err(self.wrong_in(CONTAINER, format!("{wanted}: no container to connect")));
        };
        let aliases = self.text(ALIASES).split_whitespace().map(str::to_owned);
        let request = Request::Connect {
            container: id.clone(),
            name: name.clone(),
            attachment: Box::new(Attachment {
                network: network.to_owned(),
                aliases: aliases.collect(),
                ..Attachment::default()
            }),
        };
        Ok((request, network.to_owned()))
    }

    pub(super) fn disconnect_request(
        &self,
        network: &str,
        containers: &[String],
    ) -> Result<(Request, String), Problem> {
        let wanted = self.text(CONTAINER);
        if !containers.iter().any(|name| name == wanted) {
            let text = format!("{wanted}: no container that is on it");
            return Err(self.wrong_in(CONTAINER, text));
        }
        let request = Request::Disconnect {
            network: network.to_owned(),
            container: wanted.to_owned(),
        };
        Ok((request, network.to_owned()))
    }
}
