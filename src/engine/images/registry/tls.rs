//! TLS as registries have it: the system's roots, and `certs.d/<host>` with own roots and a client certificate.
//!
//! Cryptography is *ring*, handed over explicitly: no process-wide default is set.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::endpoint::{self, Trust};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::reference::DEFAULT_DOMAIN;
use crate::engine::sys::file;
use crate::engine::sys::tls::{AnyCertificate, read_certificates, read_key};

/// Certificates: the system's are read once, when the first host wants them.
#[derive(Debug)]
pub(super) struct Certificates {
    directories: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
    system: OnceLock<Arc<RootCertStore>>,
}

/// A client certificate with its chain, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Certificates {
    /// Those of `certs.d` directories, the first of which that has a host counts.
    pub(super) fn new(directories: Vec<PathBuf>) -> Self {
        Self {
            directories,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            system: OnceLock::new(),
        }
    }

    /// How to speak TLS with a host.
    ///
    /// # Errors
    /// `InvalidInput` with the file that is no certificate, no key, or half a pair.
    pub(super) fn config(&self, authority: &str, trust: Trust) -> Result<ClientConfig> {
        let own = match self.directory_of(authority) {
            Some(directory) => Own::read(&directory)?,
            None => Own::default(),
        };
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| tls_error("set TLS up", error))?;
        let builder = match trust {
            Trust::Verified => builder.with_root_certificates(self.roots(own.roots)?),
            Trust::Anyhow => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(self.provider.clone()))),
        };
        match own.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((file, (chain, key))) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| tls_error(&format!("use {}", file.display()), error)),
        }
    }

    fn directory_of(&self, authority: &str) -> Option<PathBuf> {
        // A file name cannot hold a slash, and `..` is no host.
        if authority.contains('/') || authority.starts_with('.') {
            return None;
        }
        // Docker Hub is called by its name here, not by its host's.
        let hub = (authority == endpoint::HUB).then_some(DEFAULT_DOMAIN);
        let names = hub.into_iter().chain([authority]);
        let mut candidates = self
            .directories
            .iter()
            .flat_map(|directory| names.clone().map(|name| directory.join(name)));
        candidates.find(|candidate| candidate.is_dir())
    }

    fn roots(&self, own: Vec<(PathBuf, CertificateDer<'static>)>) -> Result<Arc<RootCertStore>> {
        let system = self.system.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            // What cannot be read or parsed is left out, as every TLS client does: without any root, no server is
            // trusted, and that error says so.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        });
        if own.is_empty() {
            return Ok(system.clone());
        }
        let mut roots = RootCertStore::clone(system);
        for (file, certificate) in own {
            roots
                .add(certificate)
                .map_err(|error| tls_error(&format!("trust {}", file.display()), error))?;
        }
        Ok(Arc::new(roots))
    }
}

/// What one directory of `certs.d` has.
#[derive(Default)]
struct Own {
    roots: Vec<(PathBuf, CertificateDer<'static>)>,
    identity: Option<(PathBuf, Identity)>,
}

impl Own {
    fn read(directory: &Path) -> Result<Self> {
        let mut own = Self::default();
        let mut names = file::list_dir(directory)?;
        names.sort();
        for name in &names {
            let path = directory.join(name);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => {
                    let certificates = read_certificates(&path)?;
                    own.roots
                        .extend(certificates.into_iter().map(|one| (path.clone(), one)));
                }
                Some("cert") => {
                    let key = path.with_extension("key");
                    if !key.exists() {
                        return Err(half(&path, &key));
                    }
                    // The first pair counts.
                    if own.identity.is_none() {
                        let pair = (read_certificates(&path)?, read_key(&key)?);
                        own.identity = Some((path, pair));
                    }
                }
                Some("key") => {
                    let certificate = path.with_extension("cert");
                    if !certificate.exists() {
                        return Err(half(&path, &certificate));
                    }
                }
                _ => {}
            }
        }
        Ok(own)
    }
}

fn half(there: &Path, missing: &Path) -> Error {
    Error::invalid(format!(
        "{} is there, {} is not: a client certificate is a pair of *.cert and *.key",
        there.display(),
        missing.display()
    ))
    .with_hint("a certificate authority's own certificate ends in .crt")
}

fn tls_error(what: &str, error: rustls::Error) -> Error {
    Error::new(Kind::InvalidInput, what).caused_by(error)
}
