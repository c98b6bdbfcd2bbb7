//! Which hosts a registry's name means, and how far each of them is trusted. Talking to them is for others.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Url;

use super::settings::Settings;
use crate::engine::error::{Error, Result};
use crate::engine::model::reference::DEFAULT_DOMAIN;

/// The host that has Docker Hub's images.
pub(super) const HUB: &str = "registry-1.docker.io";

/// One place that has a registry's content: the registry itself or a mirror of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `host` or `host:port` as it stands in URLs.
    pub authority: String,
    /// `https://host:port/`, with a mirror's path if it has one; it ends in a slash.
    pub base: Url,
    /// It is the registry itself: it is shown credentials, and its word is the last.
    pub origin: bool,
}

impl Endpoint {
    /// The registry itself.
    ///
    /// # Errors
    /// `InvalidInput` for what is no host.
    pub(super) fn origin(registry: &str) -> Result<Self> {
        let authority = match registry {
            DEFAULT_DOMAIN | "index.docker.io" => HUB,
            other => other,
        };
        Self::host(authority)
    }

    /// A host that is asked as it is called.
    ///
    /// # Errors
    /// `InvalidInput` for what is no host.
    pub(super) fn host(authority: &str) -> Result<Self> {
        let base = Url::parse(&format!("https://{authority}/"))
            .ok()
            .filter(|url| url.username().is_empty() && url.path() == "/" && url.query().is_none())
            .ok_or_else(|| Error::invalid(format!("{authority:?} is not a registry host")))?;
        Ok(Self {
            authority: authority_of(&base),
            base,
            origin: true,
        })
    }

    /// The mirrors of a registry, in order.
    ///
    /// # Errors
    /// `InvalidInput` for a mirror that is no URL.
    pub(super) fn mirrors(registry: &str, settings: &Settings) -> Result<Vec<Self>> {
        let of_it = settings.mirrors.iter().filter(|(of, _)| of == registry);
        of_it
            .flat_map(|(_, urls)| urls)
            .map(|text| {
                let base = mirror_url(text)?;
                Ok(Self {
                    authority: authority_of(&base),
                    base,
                    origin: false,
                })
            })
            .collect()
    }

    /// `/v2/` and what follows.
    pub(super) fn v2(&self, rest: &str) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}v2/{rest}", url.path());
        url.set_path(&path);
        url
    }
}

/// A mirror's base URL, with a slash at its end.
///
/// # Errors
/// `InvalidInput` for anything but `http(s)://host[:port][/path]`.
pub(super) fn mirror_url(text: &str) -> Result<Url> {
    let wrong = || {
        Error::invalid(format!(
            "{text:?} is not a mirror's URL (https://host[:port])"
        ))
    };
    let mut url = Url::parse(text).map_err(|error| wrong().caused_by(error))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(wrong());
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// How far a host is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// TLS, and a certificate that somebody vouches for.
    Verified,
    /// TLS with whatever certificate, or no TLS at all: loopback, and what the administrator listed.
    Anyhow,
}

/// How far the host of a URL is trusted.
pub(super) fn trust(url: &Url, settings: &Settings) -> Trust {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let with_port = format!("{host}:{port}");
    let address = address_of(url);
    let listed = |entry: &String| {
        entry.eq_ignore_ascii_case(&with_port)
            || entry.eq_ignore_ascii_case(host)
            || address.is_some_and(|address| is_in(address, entry))
    };
    if is_loopback(url) || settings.insecure.iter().any(listed) {
        Trust::Anyhow
    } else {
        Trust::Verified
    }
}

/// 127.0.0.0/8, `::1`, `localhost`.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match address_of(url) {
        Some(address) => address.is_loopback(),
        None => host == "localhost",
    }
}

/// The host, if it is an address and no name.
pub(super) fn address_of(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok()
}

/// A network: `10.0.0.0/8`.
pub(super) fn is_network(text: &str) -> bool {
    let base = text.split('/').next().and_then(|base| base.parse().ok());
    base.is_some_and(|base| is_in(base, text))
}

/// An address is in a network.
pub(super) fn is_in(address: IpAddr, network: &str) -> bool {
    let Some((base, length)) = network.split_once('/') else {
        return false;
    };
    let (Ok(base), Ok(length)) = (base.parse(), length.parse::<u32>()) else {
        return false;
    };
    // Both as 128 bits, with the network's on the left.
    let (one, other, most) = match (address, base) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let wide = |address: Ipv4Addr| u128::from(address.to_bits()) << 96;
            (wide(one), wide(other), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    let differ = (one ^ other).leading_zeros();
    length <= most && differ >= length
}

/// `host` or `host:port` of a URL.
pub(super) fn authority_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_io_means_docker_hubs_registry() {
        for name in ["docker.io", "index.docker.io"] {
            let hub = Endpoint::origin(name).unwrap();
            assert_eq!(
                hub.v2("library/a/tags/list").as_str(),
                "https://registry-1.docker.io/v2/library/a/tags/list"
            );
        }
        let own = Endpoint::origin("host:5000").unwrap();
        assert_eq!(own.authority, "host:5000");
        let six = Endpoint::origin("[::1]:5000").unwrap();
        assert_eq!(six.v2("").as_str(), "https://[::1]:5000/v2/");
    }

    #[test]
    fn what_is_no_host_is_no_registry() {
        for bad in ["", "a b", "user@host", "host/path", "host?x", "host:99999"] {
            assert!(Endpoint::origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_and_what_is_listed_may_go_without_tls() {
        let settings = Settings {
            insecure: [
                "plain.test:5000",
                "any.test",
                "10.1.0.0/16",
                "fd00::/8",
                "0.0.0.0/33",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Settings::default()
        };
        let check = |url: &str| trust(&Url::parse(url).unwrap(), &settings);
        for url in [
            "https://localhost:5000",
            "https://127.8.0.1",
            "https://[::1]:1",
            "https://plain.test:5000",
            "https://ANY.test:77",
            "https://10.1.255.255:5000",
            "https://[fd12::1]",
        ] {
            assert_eq!(check(url), Trust::Anyhow, "{url}");
        }
        for url in [
            "https://plain.test",
            "https://plain.test:5001",
            "https://128.0.0.1",
            "https://localhost.example",
            "https://a.localhost",
            "https://other.any.test",
            "https://10.2.0.1",
            "https://[fe00::1]",
        ] {
            assert_eq!(check(url), Trust::Verified, "{url}");
        }
    }

    #[test]
    fn a_mirror_may_have_a_path() {
        let settings = Settings {
            mirrors: vec![(
                "docker.io".to_owned(),
                vec!["https://mirror.test/hub".to_owned()],
            )],
            ..Settings::default()
        };
        let mirrors = Endpoint::mirrors("docker.io", &settings).unwrap();
        assert_eq!(
            mirrors[0].v2("a/b").as_str(),
            "https://mirror.test/hub/v2/a/b"
        );
        assert!(!mirrors[0].origin);
        assert!(Endpoint::mirrors("quay.io", &settings).unwrap().is_empty());
    }
}
