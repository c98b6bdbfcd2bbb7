//! Registries: the OCI distribution protocol (distribution-spec 1.1) and what real registries add to it.
//!
//! [`Client`] knows hosts, credentials, TLS, proxies, mirrors and patience; [`Repository`] is one repository on one
//! registry. What is pulled and pushed, and in what order, is for `pull.rs` and `push.rs`. Nothing here blocks; the
//! callers own the runtime.
//!
//! From below: `tls` and `dns` are what a connection needs, `wire` is one exchange with one host, `transport` one request
//! until it is answered, `auth` what is shown, and `manifest`, `blob`, `upload` and `listing` what is asked for.

mod answer;
mod auth;
mod blob;
pub mod challenge;
mod dns;
mod endpoint;
mod listing;
mod manifest;
mod proxy;
mod scope;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod upload;
mod wire;

use std::sync::Arc;

use reqwest::{Method, StatusCode};

use super::super::error::Result;
use super::super::model::{Auth, Digest, Reference, Secret};
use answer::About;
use auth::{Keyring, Visit};
pub use blob::BlobStream;
use endpoint::Endpoint;
pub use proxy::Proxies;
use scope::Scopes;
pub use settings::{Names, Patience, Settings, Surroundings};
use transport::{Answer, Call, Transport};
pub use upload::Content;

/// A client of registries. Cheap to clone; connections and tokens are shared by the clones.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: Transport,
    keyring: Keyring,
}

/// What one is allowed to do is asked for by scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// Delete, which some registries want a right of its own for.
    Delete,
}

/// One repository of one registry, seen with somebody's credentials.
#[derive(Debug, Clone)]
pub struct Repository {
    client: Arc<Inner>,
    name: Reference,
    auth: Auth,
    access: Access,
    /// The registry itself; why there is none, if the name means no host.
    origin: Result<Endpoint, String>,
    mirrors: Vec<Endpoint>,
}

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By tag.
    Tag(String),
    /// By digest.
    Digest(Digest),
}

/// A manifest, checked against its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The document.
    pub bytes: Vec<u8>,
    /// What the registry says that it is.
    pub media_type: String,
    /// Digest of `bytes`.
    pub digest: Digest,
}

impl Client {
    /// A client with settings. Nothing is connected yet.
    ///
    /// # Errors
    /// `InvalidInput` for a mirror that is no URL.
    pub fn new(settings: Settings) -> Result<Self> {
        for (_, mirrors) in &settings.mirrors {
            for mirror in mirrors {
                endpoint::mirror_url(mirror)?;
            }
        }
        Ok(Self {
            inner: Arc::new(Inner {
                http: Transport::new(settings),
                keyring: Keyring::default(),
            }),
        })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.http.settings
    }

    /// A repository; the reference's tag and digest do not matter here.
    #[must_use]
    pub fn repository(&self, name: &Reference, auth: &Auth, access: Access) -> Repository {
        let mirrors = match access {
            Access::Pull => Endpoint::mirrors(name.domain(), self.settings()),
            Access::Push | Access::Delete => Ok(Vec::new()),
        };
        Repository {
            client: self.inner.clone(),
            origin: Endpoint::origin(name.domain()).map_err(|error| error.to_string()),
            // Checked in `new`.
            mirrors: mirrors.unwrap_or_default(),
            name: name.clone(),
            auth: auth.clone(),
            access,
        }
    }

    /// Checks credentials with a registry (`docker.io`, `host:port`): the refresh token that it gave for them, if any.
    ///
    /// # Errors
    /// `Unauthorized`, `Unavailable`.
    pub async fn login(&self, registry: &str, auth: &Auth) -> Result<Option<Secret>> {
        let endpoint = Endpoint::origin(registry)?;
        let visit = Visit {
            endpoint: &endpoint,
            auth,
            scopes: Scopes::default(),
        };
        let Inner { http, keyring } = &*self.inner;
        let call = Call::new(Method::GET, endpoint.v2(""));
        // Whatever was known before, these credentials are to be tried.
        let first = http
            .persist(
                &endpoint.authority,
                &call,
                None,
                http.settings.patience.attempts,
            )
            .await?;
        let mut given = None;
        let answer = if first.status() == StatusCode::UNAUTHORIZED {
            keyring.learn(&visit, &first, None)?;
            drop(first);
            given = keyring.refresh_token(http, &visit).await?;
            http.ask(keyring, &visit, &call).await?
        } else {
            first
        };
        if answer.status().is_success() {
            return Ok(given);
        }
        let url = wire::shown(answer.url());
        Err(answer::refused(answer, &About::Login(url.as_str())).await)
    }
}

impl Repository {
    /// Its name: registry and path.
    #[must_use]
    pub fn name(&self) -> &Reference {
        &self.name
    }

    /// A visit to the registry itself.
    fn origin(&self) -> Result<Visit<'_>> {
        let endpoint = self.origin.as_ref();
        Ok(Visit {
            endpoint: endpoint.map_err(|why| super::super::error::Error::invalid(why.clone()))?,
            auth: &self.auth,
            scopes: Scopes::repository(self.name.path(), self.access),
        })
    }

    /// Visits to the mirrors, in order, but for those that failed just now. They are shown no credentials.
    fn mirrors(&self) -> Vec<Visit<'_>> {
        let http = &self.client.http;
        let usable = |mirror: &&Endpoint| http.is_worth_a_try(&mirror.authority);
        let visits = self.mirrors.iter().filter(usable).map(|endpoint| Visit {
            endpoint,
            auth: &Auth::Anonymous,
            scopes: Scopes::repository(self.name.path(), Access::Pull),
        });
        visits.collect()
    }

    async fn ask(&self, visit: &Visit<'_>, call: &Call) -> Result<Answer> {
        self.client
            .http
            .ask(&self.client.keyring, visit, call)
            .await
    }

    /// `<repository>/<rest>`, as it follows `/v2/`.
    fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.name.path())
    }
}
