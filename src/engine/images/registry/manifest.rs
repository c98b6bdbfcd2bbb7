//! Manifests: got, looked for, put and deleted.

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use super::answer::{self, About};
use super::auth::Visit;
use super::scope::Scopes;
use super::transport::{Answer, Call};
use super::{Access, Fetched, Repository, Which};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::images::document::{Descriptor, LIMIT};
use crate::engine::model::Digest;

/// What we take, the best first. Schema 1 is asked for only to be able to say what it is.
const TAKEN: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1, \
    application/vnd.docker.distribution.manifest.v1+json;q=0.1";
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";
const DIGEST: &str = "docker-content-digest";

impl Repository {
    /// A manifest or an index.
    ///
    /// # Errors
    /// `NotFound` (`manifest unknown`), `Unauthorized`, `Unavailable`; `InvalidInput` for a digest that does not fit;
    /// `Unsupported` for schema 1.
    pub async fn manifest(&self, which: &Which) -> Result<Fetched> {
        for visit in self.mirrors() {
            if let Ok(fetched) = self.manifest_at(&visit, which).await {
                return Ok(fetched);
            }
        }
        self.manifest_at(&self.origin()?, which).await
    }

    /// What is under a name, without its content: `None` if nothing is.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn find_manifest(&self, which: &Which) -> Result<Option<Descriptor>> {
        for visit in self.mirrors() {
            if let Ok(Some(found)) = self.find_manifest_at(&visit, which).await {
                return Ok(Some(found));
            }
        }
        self.find_manifest_at(&self.origin()?, which).await
    }

    /// Stores a manifest under a tag or its digest.
    ///
    /// # Errors
    /// What the registry says (`blob unknown to registry`, `denied` …).
    pub async fn put_manifest(
        &self,
        which: &Which,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest> {
        let visit = self.origin()?;
        let kind = HeaderValue::from_str(media_type).map_err(|error| {
            Error::invalid(format!("{media_type:?} is not a media type")).caused_by(error)
        })?;
        let url = visit.endpoint.v2(&self.manifest_path(which));
        let call = Call {
            body: bytes.to_vec().into(),
            ..Call::new(Method::PUT, url).with(CONTENT_TYPE, kind)
        };
        let answer = self.ask(&visit, &call).await?;
        if !answer.status().is_success() {
            let what = format!("put manifest {}", answer::with_suffix(self.name(), which));
            return Err(answer::refused(answer, &About::Repository(self.name(), &what)).await);
        }
        let digest = digest_of(bytes);
        match told_digest(&answer) {
            Some(told) if told != digest => Err(Error::new(
                Kind::Unavailable,
                format!("the registry stored manifest {digest} as {told}"),
            )),
            _ => Ok(digest),
        }
    }

    /// Deletes a manifest.
    ///
    /// # Errors
    /// `Unsupported` if the registry does not allow it; `NotFound`.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let mut visit = self.origin()?;
        visit.scopes = visit
            .scopes
            .and(&Scopes::repository(self.name().path(), Access::Delete));
        let which = Which::Digest(digest.clone());
        let url = visit.endpoint.v2(&self.manifest_path(&which));
        let answer = self.ask(&visit, &Call::new(Method::DELETE, url)).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        let what = format!(
            "delete manifest {}",
            answer::with_suffix(self.name(), &which)
        );
        Err(answer::refused(answer, &About::Repository(self.name(), &what)).await)
    }

    pub(super) async fn manifest_at(&self, visit: &Visit<'_>, which: &Which) -> Result<Fetched> {
        let url = visit.endpoint.v2(&self.manifest_path(which));
        let taken = HeaderValue::from_static(TAKEN);
        let call = Call::new(Method::GET, url).with(ACCEPT, taken);
        let mut answer = self.ask(visit, &call).await?;
        if answer.status() != StatusCode::OK {
            return Err(answer::refused(answer, &About::Manifest(self.name(), which)).await);
        }
        let bytes = answer.body(LIMIT).await?;
        let digest = digest_of(&bytes);
        let expected = match which {
            Which::Digest(digest) => Some(digest.clone()),
            Which::Tag(_) => told_digest(&answer),
        };
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(Error::invalid(format!(
                "manifest verification failed for digest {expected}: what came has {digest}"
            )));
        }
        let media_type = media_type(&answer, &bytes);
        if media_type.starts_with(SCHEMA_1) {
            let name = answer::with_suffix(self.name(), which);
            return Err(Error::unsupported(format!(
                "schema 1 images are no longer supported: {name} is one"
            ))
            .with_hint(
                "push it again with a current tool, which makes a schema 2 or OCI image of it",
            ));
        }
        Ok(Fetched {
            bytes,
            media_type,
            digest,
        })
    }

    async fn find_manifest_at(
        &self,
        visit: &Visit<'_>,
        which: &Which,
    ) -> Result<Option<Descriptor>> {
        let url = visit.endpoint.v2(&self.manifest_path(which));
        let taken = HeaderValue::from_static(TAKEN);
        let call = Call::new(Method::HEAD, url).with(ACCEPT, taken);
        let answer = self.ask(visit, &call).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let told = described(&answer).filter(|told| match which {
            Which::Digest(digest) => told.digest == *digest,
            Which::Tag(_) => true,
        });
        if told.is_some() {
            return Ok(told);
        }
        // A HEAD that says too little, or that is refused without a word.
        drop(answer);
        match self.manifest_at(visit, which).await {
            Ok(fetched) => Ok(Some(Descriptor::new(
                &fetched.media_type,
                fetched.digest,
                fetched.bytes.len() as u64,
            ))),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn manifest_path(&self, which: &Which) -> String {
        match which {
            Which::Tag(tag) => self.path(&format!("manifests/{tag}")),
            Which::Digest(digest) => self.path(&format!("manifests/{digest}")),
        }
    }
}

/// The SHA-256 of a document.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(&Sha256::digest(bytes).into())
}

fn told_digest(answer: &Answer) -> Option<Digest> {
    answer.header(DIGEST)?.parse().ok()
}

fn described(answer: &Answer) -> Option<Descriptor> {
    let media_type = plain_type(answer.header(CONTENT_TYPE)?);
    let useful = answer.status() == StatusCode::OK
        && media_type.contains("/vnd.")
        && !media_type.starts_with(SCHEMA_1);
    if !useful {
        return None;
    }
    let length: u64 = answer.header(CONTENT_LENGTH)?.parse().ok()?;
    let digest = told_digest(answer)?;
    (length > 0).then(|| Descriptor::new(&media_type, digest, length))
}

/// What the registry says that the document is; where it says nothing of use, what the document says.
fn media_type(answer: &Answer, bytes: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        #[serde(default)]
        schema_version: u32,
        #[serde(default)]
        media_type: String,
    }
    let said = plain_type(answer.header(CONTENT_TYPE).unwrap_or_default());
    if said.contains("/vnd.") {
        return said;
    }
    match serde_json::from_slice::<Own>(bytes) {
        Ok(own) if own.schema_version == 1 => format!("{SCHEMA_1}json"),
        Ok(own) if !own.media_type.is_empty() => own.media_type,
        _ => said,
    }
}

/// Without `; charset=…`.
fn plain_type(header: &str) -> String {
    let bare = header.split(';').next().unwrap_or(header);
    bare.trim().to_ascii_lowercase()
}
