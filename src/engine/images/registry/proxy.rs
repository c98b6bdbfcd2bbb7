//! Ways out of the network: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` as Go's programs read them, Docker among them.

use std::fmt;

use reqwest::Url;

use super::endpoint;
use crate::engine::error::{Error, Result};

/// Proxies, and who is spoken to without one. Loopback always is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    except: Vec<String>,
    /// The variable that is no proxy.
    wrong: Option<&'static str>,
}

/// A proxy's URL may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| url.as_ref().map(endpoint::authority_of);
        f.debug_struct("Proxies")
            .field("http", &host(&self.http))
            .field("https", &host(&self.https))
            .field("except", &self.except)
            .field("wrong", &self.wrong)
            .finish()
    }
}

impl Proxies {
    /// Reads the environment through `variable`: upper case first, then lower case. What is wrong there matters to
    /// [`Self::check`] alone: most of what people do needs no proxy.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| {
            let value = [name.to_owned(), name.to_ascii_lowercase()]
                .iter()
                .find_map(|name| variable(name).filter(|value| !value.is_empty()));
            value.map(|value| value.trim().to_owned())
        };
        let mut wrong = None;
        let mut proxy = |name: &'static str| {
            let text = given(name)?;
            let url = proxy_url(&text);
            if url.is_none() {
                wrong = Some(name);
            }
            url
        };
        let (http, https) = (proxy("HTTP_PROXY"), proxy("HTTPS_PROXY"));
        let except = given("NO_PROXY").unwrap_or_default();
        let except = except
            .split(',')
            .map(|entry| entry.trim().to_ascii_lowercase());
        Self {
            http,
            https,
            except: except.filter(|entry| !entry.is_empty()).collect(),
            wrong,
        }
    }

    /// They are proxies.
    ///
    /// # Errors
    /// `InvalidInput` with the variable that holds something else, which is not shown: it may hold a password.
    pub fn check(&self) -> Result<()> {
        match self.wrong {
            None => Ok(()),
            Some(name) => Err(
                Error::invalid(format!("{name} is not the URL of an HTTP proxy"))
                    .with_hint("it looks like http://[user:password@]host:port"),
            ),
        }
    }

    /// The proxy for a URL, if it goes by one.
    pub(super) fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref()?,
            _ => self.http.as_ref()?,
        };
        let direct = endpoint::is_loopback(url) || self.except.iter().any(|entry| fits(entry, url));
        (!direct).then_some(proxy)
    }
}

fn proxy_url(text: &str) -> Option<Url> {
    let url: Url = match text.split_once("://") {
        Some(_) => text.parse(),
        None => format!("http://{text}").parse(),
    }
    .ok()?;
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    usable.then_some(url)
}

/// One entry of `NO_PROXY`: `*`, an address, a network, or a domain; `.domain` is its subdomains alone. Each but the
/// network may have a port.
fn fits(entry: &str, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if entry == "*" {
        return true;
    }
    if let Some(address) = endpoint::address_of(url)
        && (endpoint::is_in(address, entry) || entry.parse() == Ok(address))
    {
        return true;
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.ends_with(':') => {
            (name, port.parse().ok())
        }
        _ => (entry, None),
    };
    if port.is_some() && port != url.port_or_known_default() {
        return false;
    }
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.strip_prefix('*').unwrap_or(name);
    let below = match name.strip_prefix('.') {
        Some(domain) => domain,
        None if name == host => return true,
        None => name,
    };
    let rest = host
        .strip_suffix(below)
        .and_then(|rest| rest.strip_suffix('.'));
    !below.is_empty() && rest.is_some_and(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Proxies {
        let find = |name: &str| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        };
        Proxies::read(find)
    }

    fn by(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&url.parse().unwrap()).map(Url::to_string)
    }

    #[test]
    fn each_scheme_has_its_proxy_in_upper_or_lower_case() {
        let proxies = read(&[
            ("HTTP_PROXY", "http://upper.test:3128"),
            ("http_proxy", "http://lower.test:3128"),
            ("HTTPS_PROXY", ""),
            ("https_proxy", "secure.test:8080"),
        ]);
        assert_eq!(
            by(&proxies, "http://a.test/").as_deref(),
            Some("http://upper.test:3128/")
        );
        assert_eq!(
            by(&proxies, "https://a.test/").as_deref(),
            Some("http://secure.test:8080/")
        );
        assert_eq!(by(&read(&[]), "https://a.test/"), None);
    }

    #[test]
    fn loopback_is_never_asked_by_a_proxy() {
        let proxies = read(&[("HTTP_PROXY", "p.test"), ("HTTPS_PROXY", "p.test")]);
        for url in [
            "http://localhost:5000/",
            "https://127.0.0.2/",
            "http://[::1]:5000/",
        ] {
            assert_eq!(by(&proxies, url), None, "{url}");
        }
    }

    #[test]
    fn exceptions_are_read_as_go_reads_them() {
        let check = |except: &str, url: &str| {
            let variables = [("HTTPS_PROXY", "p.test:1"), ("NO_PROXY", except)];
            by(&read(&variables), url).is_none()
        };
        for (except, url) in [
            ("*", "https://a.test/"),
            ("x, a.test", "https://a.test/"),
            ("a.test", "https://b.a.test:5000/"),
            (".a.test", "https://b.a.test/"),
            ("*.a.test", "https://b.a.test/"),
            ("A.Test", "https://a.test/"),
            ("a.test:5000", "https://a.test:5000/"),
            ("a.test:443", "https://a.test/"),
            ("10.0.0.0/8", "https://10.2.3.4:5000/"),
            ("10.2.3.4", "https://10.2.3.4/"),
            ("10.2.3.4:5000", "https://10.2.3.4:5000/"),
            ("fd00::/8", "https://[fd00::1]/"),
            ("fd00::1", "https://[fd00::1]:5000/"),
            ("[fd00::1]:5000", "https://[fd00::1]:5000/"),
        ] {
            assert!(check(except, url), "{except} {url}");
        }
        for (except, url) in [
            ("a.test", "https://ba.test/"),
            (".a.test", "https://a.test/"),
            ("a.test:5000", "https://a.test/"),
            ("10.0.0.0/8", "https://11.0.0.1/"),
            ("10.2.3.4:5000", "https://10.2.3.4/"),
            ("fd00::1", "https://[fd00::2]/"),
            ("", "https://a.test/"),
            (".", "https://a.test/"),
        ] {
            assert!(!check(except, url), "{except} {url}");
        }
    }

    #[test]
    fn a_proxys_password_is_not_shown() {
        let proxies = read(&[("HTTP_PROXY", "http://me:hunter2@p.test:1")]);
        assert!(!format!("{proxies:?}").contains("hunter2"));
        let error = read(&[("HTTP_PROXY", "socks5://me:hunter2@p.test:1")]);
        assert!(!format!("{error:?}").contains("hunter2"));
        let error = error.check().unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(error.to_string().starts_with("HTTP_PROXY is not"));
    }
}
