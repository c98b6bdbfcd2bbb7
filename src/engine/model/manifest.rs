//! One manifest as lists of manifests have it: what `manifest create`, `annotate`, `inspect` and `push` work on.

use super::{Digest, Platform, Reference};

/// A manifest or an index of a registry, as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it was found.
    pub reference: Reference,
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Bytes of it.
    pub size: u64,
    /// What it is for, if that is known or was said.
    pub platform: Option<Platform>,
    /// The document. It is what the digest says, or it came from a list that did not keep it as it was.
    pub document: Vec<u8>,
}

/// What pushing a list did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedList {
    /// Digest of the list in the registry.
    pub digest: Digest,
    /// Manifests that were brought into its repository.
    pub brought: Vec<(Reference, Digest)>,
}

/// Whether a registry without TLS, or with a certificate that nobody vouches for, will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Only where the administrator says so.
    Configured,
    /// For this request.
    Insecure,
}
