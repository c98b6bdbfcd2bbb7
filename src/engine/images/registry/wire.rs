//! One HTTP exchange with one host: which TLS it gets, whether it may go without, and what a failure means.
//!
//! Retrying, redirects and credentials are for `transport.rs`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Request, Response, Url};

use super::dns::LookUp;
use super::endpoint::{self, Trust};
use super::settings::Settings;
use super::tls::Certificates;
use crate::engine::error::{Error, Kind, Result};

/// HTTP clients, one per host: each host has TLS settings of its own.
#[derive(Debug)]
pub(super) struct Wire {
    settings: Arc<Settings>,
    certificates: Certificates,
    names: Arc<LookUp>,
    /// By scheme, host and trust.
    clients: Mutex<HashMap<(String, String, Trust), reqwest::Client>>,
    /// Hosts that turned out to speak plain HTTP, and may.
    plain: Mutex<HashSet<String>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// Trying again may help.
    pub transient: bool,
    /// Nothing was sent: the connection was not made.
    pub unconnected: bool,
    /// The host does speak TLS: it is not to be asked without.
    pub speaks_tls: bool,
    /// For the user.
    pub error: Error,
}

impl Failure {
    /// Nobody took the connection, for the second time.
    pub(super) fn timed_out_twice(&self, attempt: u32) -> bool {
        self.unconnected && attempt >= 2 && self.error.kind() == Kind::Timeout
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            transient: false,
            unconnected: true,
            speaks_tls: false,
            error,
        }
    }
}

impl Wire {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            certificates: Certificates::new(settings.certs.clone()),
            names: Arc::new(LookUp::new(
                settings.names.clone(),
                settings.patience.connect,
            )),
            clients: Mutex::default(),
            plain: Mutex::default(),
            settings,
        }
    }

    /// Sends a request and waits for the head of its answer, for at most `patience`.
    ///
    /// A host that may go without TLS is tried with it first, unless it is known better.
    pub(super) async fn send(
        &self,
        mut request: Request,
        patience: Duration,
    ) -> Result<Response, Failure> {
        let trust = endpoint::trust(request.url(), &self.settings);
        let wants_tls = request.url().scheme() == "https";
        if trust == Trust::Verified {
            if !wants_tls {
                return Err(refuse_plain(request.url()).into());
            }
            return self.send_once(request, trust, patience).await;
        }
        if !wants_tls {
            return self.send_once(request, trust, patience).await;
        }
        let authority = endpoint::authority_of(request.url());
        let lock = || self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if !lock().contains(&authority) {
            // A body that streams cannot be sent twice; by then the host is known.
            let Some(copy) = request.try_clone() else {
                return self.send_once(request, trust, patience).await;
            };
            match self.send_once(copy, trust, patience).await {
                Err(failure) if failure.unconnected && !failure.speaks_tls => {}
                answered => return answered,
            }
        }
        make_plain(request.url_mut());
        let answered = self.send_once(request, trust, patience).await;
        if answered.is_ok() {
            lock().insert(authority);
        }
        answered
    }

    async fn send_once(
        &self,
        request: Request,
        trust: Trust,
        patience: Duration,
    ) -> Result<Response, Failure> {
        let client = self.client(request.url(), trust)?;
        let mut asked = format!("{} \"{}\"", verb(request.method()), shown(request.url()));
        if let Some(proxy) = self.settings.proxies.of(request.url()) {
            asked = format!("{asked} by proxy {}", endpoint::authority_of(proxy));
        }
        match tokio::time::timeout(patience, client.execute(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(explain(asked, &error)),
            Err(_elapsed) => Err(Failure {
                transient: true,
                unconnected: false,
                speaks_tls: false,
                error: Error::new(
                    Kind::Timeout,
                    format!("{asked}: no answer in {} s", patience.as_secs()),
                ),
            }),
        }
    }

    fn client(&self, url: &Url, trust: Trust) -> Result<reqwest::Client> {
        let authority = endpoint::authority_of(url);
        let key = (url.scheme().to_owned(), authority.clone(), trust);
        let lock = || self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return Ok(known.clone());
        }
        let broken = |error| Error::new(Kind::Internal, "set the HTTP client up").caused_by(error);
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.certificates.config(&authority, trust)?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(self.settings.patience.connect)
            .pool_max_idle_per_host(self.settings.connections)
            .dns_resolver(self.names.clone())
            .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")))
            // None but ours: the environment was read at the door.
            .no_proxy();
        if let Some(proxy) = self.settings.proxies.of(url) {
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(broken)?);
        }
        let made = builder.build().map_err(broken)?;
        lock().insert(key, made.clone());
        Ok(made)
    }
}

/// `https://host` becomes `http://host`: the same port, if one is named.
fn make_plain(url: &mut Url) {
    // Between two special schemes this cannot fail.
    let _ = url.set_scheme("http");
}

fn refuse_plain(url: &Url) -> Error {
    let host = endpoint::authority_of(url);
    Error::new(
        Kind::Denied,
        format!("{:?} is without TLS", shown(url).as_str()),
    )
    .with_hint(list_it(&host))
}

fn list_it(host: &str) -> String {
    format!("if it may go without TLS, list {host:?} under insecure in registries.toml")
}

/// As Go's HTTP client names methods in errors, which is what Docker prints.
fn verb(method: &reqwest::Method) -> String {
    let text = method.as_str();
    let (first, rest) = text.split_at_checked(1).unwrap_or((text, ""));
    format!("{first}{}", rest.to_ascii_lowercase())
}

/// A URL for the user: without what may be secret in it.
pub(super) fn shown(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url
}

/// What makes a certificate good that was not.
fn mend(host: &str, reason: &rustls::CertificateError) -> String {
    use rustls::CertificateError as Reason;
    match reason {
        Reason::NotValidForName | Reason::NotValidForNameContext { .. } => {
            "call it by a name that its certificate is for".to_owned()
        }
        Reason::Expired
        | Reason::ExpiredContext { .. }
        | Reason::NotValidYet
        | Reason::NotValidYetContext { .. } => {
            "have its certificate renewed, or this host's clock set".to_owned()
        }
        // Of others it cannot be told (the enum is open): most often nobody here knows who signed it.
        _ => format!("put its authority's certificate into certs.d/{host}/ca.crt"),
    }
}

fn explain(asked: String, error: &reqwest::Error) -> Failure {
    let unconnected = error.is_connect();
    let failure = |kind, why: String, hint: Option<String>| {
        let error = Error::new(kind, format!("{asked}: {why}"));
        Failure {
            transient: hint.is_none(),
            unconnected,
            speaks_tls: false,
            error: match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            },
        }
    };
    let host = error.url().map(endpoint::authority_of).unwrap_or_default();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(cause) = next {
        if let Some(tls) = as_tls(cause) {
            let (why, hint) = match tls {
                rustls::Error::InvalidMessage(_) => (
                    "http: server gave HTTP response to HTTPS client".to_owned(),
                    list_it(&host),
                ),
                rustls::Error::InvalidCertificate(reason) => (
                    format!("tls: failed to verify certificate: {tls}"),
                    format!(
                        "{}, or list {host:?} under insecure in registries.toml",
                        mend(&host, reason)
                    ),
                ),
                other => (
                    format!("tls: {other}"),
                    format!("look at what {host} wants of TLS, and at certs.d/{host}"),
                ),
            };
            return Failure {
                speaks_tls: !matches!(tls, rustls::Error::InvalidMessage(_)),
                ..failure(Kind::Unavailable, why, Some(hint))
            };
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.raw_os_error().is_some()
        {
            let error = Error::io(asked.clone(), std::io::Error::from(io.kind()));
            let text = io.to_string();
            let why = text.split(" (os error").next().unwrap_or(&text);
            let kind = match error.kind() {
                Kind::Timeout => Kind::Timeout,
                _ => Kind::Unavailable,
            };
            return failure(kind, why.to_ascii_lowercase(), None);
        }
        last = cause.to_string();
        next = cause.source();
    }
    if error.is_timeout() {
        return failure(Kind::Timeout, "no connection in time".to_owned(), None);
    }
    failure(Kind::Unavailable, last, None)
}

/// rustls hides in I/O errors, one in the other, which do not tell of each other as sources.
fn as_tls<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = cause;
    loop {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        cause = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_for_another_name_is_not_mended_by_an_authority() {
        use rustls::CertificateError as Reason;
        for (reason, advice) in [
            (Reason::UnknownIssuer, "certs.d/r.lan/ca.crt"),
            (Reason::NotValidForName, "call it by a name"),
            (Reason::Expired, "renewed"),
        ] {
            let text = mend("r.lan", &reason);
            assert!(text.contains(advice), "{reason:?}: {text}");
        }
    }
}
