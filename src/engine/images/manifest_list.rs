//! Lists of manifests: one name for images of several platforms. They are made of manifests that a registry has, and
//! nothing of an image is needed for it but its documents.

use serde_json::{Value, json};

use super::document::{self, DOCKER_INDEX, Document, OCI_INDEX, OCI_MANIFEST};
use super::registry::{Access, Client, Fetched, Repository, Which};
use super::{Images, block_on, codec};
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::model::manifest::{Listed, PushedList};
use crate::engine::model::{Auth, Digest, Platform, Reference};

impl Images {
    /// A manifest or an index of a registry; of an image also what it is for.
    ///
    /// # Errors
    /// As `Engine::manifest`.
    pub fn manifest(client: &Client, reference: &Reference, auth: &Auth) -> Result<Listed> {
        let reference = reference.clone().with_default_tag();
        let repository = client.repository(&reference, auth, Access::Pull);
        block_on(fetch(&repository, &reference))
            .attempt(|| format!("inspect manifest {}", reference.familiar()))
    }

    /// Makes an index of manifests and stores it in a registry, with those that its repository lacks.
    ///
    /// # Errors
    /// As `Engine::push_manifest_list`.
    pub fn push_manifest_list(
        client: &Client,
        target: &Reference,
        list: &[Listed],
        auth: &Auth,
    ) -> Result<PushedList> {
        check(target, list)?;
        let target = target.clone().with_default_tag();
        let (media_type, bytes) = index(list)?;
        block_on(async {
            let repository = client.repository(&target, auth, Access::Push);
            let mut brought = Vec::new();
            for entry in list {
                if entry.reference.path() != target.path() {
                    let from = client.repository(&entry.reference, auth, Access::Pull);
                    let digest = bring(&repository, &from, entry).await?;
                    let name = target.repository().with_digest(entry.digest.clone());
                    brought.push((name, digest));
                }
            }
            let which = match (target.digest(), target.tag()) {
                (Some(digest), _) => Which::Digest(digest.clone()),
                (None, tag) => Which::Tag(tag.unwrap_or_default().to_owned()),
            };
            let digest = repository.put_manifest(&which, media_type, &bytes).await?;
            Ok(PushedList { digest, brought })
        })
        .attempt(|| format!("push manifest list {}", target.familiar()))
    }
}

async fn fetch(repository: &Repository, reference: &Reference) -> Result<Listed> {
    let which = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => Which::Digest(digest.clone()),
        (None, tag) => Which::Tag(tag.unwrap_or_default().to_owned()),
    };
    let Fetched {
        bytes,
        media_type,
        digest,
    } = repository.manifest(&which).await?;
    let read = document::read(&bytes, "")?;
    let (own, platform) = match &read {
        Document::Index(index) => (&index.media_type, None),
        Document::Manifest(manifest) => {
            let config = &manifest.config;
            let platform = if config.size <= u64::try_from(document::LIMIT).unwrap_or(u64::MAX) {
                let config = small_blob(repository, &config.digest).await?;
                platform_of(&config)
            } else {
                None
            };
            (&manifest.media_type, platform)
        }
    };
    let media_type = match (own.as_str(), media_type.as_str(), &read) {
        ("", "", Document::Index(_)) => OCI_INDEX.to_owned(),
        ("", "", Document::Manifest(_)) => OCI_MANIFEST.to_owned(),
        ("", told, _) => told.to_owned(),
        (own, _, _) => own.to_owned(),
    };
    Ok(Listed {
        reference: reference.clone(),
        media_type,
        size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        digest,
        platform,
        document: bytes,
    })
}

/// A blob that fits memory, checked against its digest.
async fn small_blob(repository: &Repository, digest: &Digest) -> Result<Vec<u8>> {
    let mut stream = repository.blob(digest, 0, None).await?;
    let mut bytes = Vec::new();
    while let Some(more) = stream.next().await? {
        bytes.extend_from_slice(&more);
        if bytes.len() > document::LIMIT {
            return Err(Error::invalid(format!(
                "configuration {} is larger than 4 MiB",
                digest.short()
            )));
        }
    }
    if codec::digest_of(&bytes) == *digest {
        return Ok(bytes);
    }
    Err(Error::invalid(format!(
        "configuration {} is not what its digest says",
        digest.short()
    )))
}

/// What an image's configuration says that it is for; an artifact's says nothing.
fn platform_of(config: &[u8]) -> Option<Platform> {
    let platform: Platform = serde_json::from_slice(config).ok()?;
    let says = !platform.os.is_empty() && !platform.architecture.is_empty();
    says.then_some(Platform {
        variant: platform.variant.filter(|variant| !variant.is_empty()),
        ..platform
    })
}

/// Makes one manifest with all that it names part of a repository.
async fn bring(into: &Repository, from: &Repository, entry: &Listed) -> Result<Digest> {
    // A list made by an older Docker has not kept the document as it was.
    let fetched;
    let bytes = if codec::digest_of(&entry.document) == entry.digest {
        &entry.document
    } else {
        fetched = from.manifest(&Which::Digest(entry.digest.clone())).await?;
        &fetched.bytes
    };
    let Document::Manifest(manifest) = document::read(bytes, "")? else {
        return Err(is_a_list(&entry.reference));
    };
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        if into.find_blob(&blob.digest).await?.is_none()
            && !into.mount_blob(&blob.digest, from.name()).await?
        {
            return Err(Error::unsupported(format!(
                "error mounting {} to {}",
                entry
                    .reference
                    .repository()
                    .with_digest(blob.digest.clone()),
                into.name()
            ))
            .with_hint("push the image into the list's own repository first"));
        }
    }
    let which = Which::Digest(entry.digest.clone());
    into.put_manifest(&which, &entry.media_type, bytes).await
}

/// Said of an entry that would be a list in a list.
#[must_use]
pub fn is_a_list(reference: &Reference) -> Error {
    Error::invalid(format!("{} is a manifest list", reference.familiar()))
}

/// What a list must be before it is shown to a registry.
fn check(target: &Reference, list: &[Listed]) -> Result<()> {
    for entry in list {
        if entry.reference.domain() != target.domain() {
            return Err(Error::invalid(format!(
                "cannot use source images from a different registry than the target image: {} != {}",
                entry.reference.domain(),
                target.domain()
            )));
        }
        let says =
            |platform: &Platform| !platform.os.is_empty() && !platform.architecture.is_empty();
        if !entry.platform.as_ref().is_some_and(says) {
            return Err(Error::invalid(format!(
                "manifest {} must have an OS and Architecture to be pushed to a registry",
                entry.reference
            ))
            .with_hint("'wharf manifest annotate' gives it one"));
        }
    }
    Ok(())
}

/// The document of a list and its media type: OCI's if the first entry is OCI's, as Docker decides it. Docker writes the
/// same bytes.
///
/// # Errors
/// None that can happen: what is encoded are texts and numbers.
pub fn index(list: &[Listed]) -> Result<(&'static str, Vec<u8>)> {
    let media_type = match list.first() {
        Some(first) if first.media_type == OCI_MANIFEST => OCI_INDEX,
        _ => DOCKER_INDEX,
    };
    let manifests: Vec<Value> = list.iter().map(entry).collect();
    let document = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": manifests,
    });
    let mut bytes = Vec::new();
    let style = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    let mut out = serde_json::Serializer::with_formatter(&mut bytes, style);
    serde::Serialize::serialize(&document, &mut out)
        .map_err(|error| Error::invalid("encode the manifest list").caused_by(error))?;
    Ok((media_type, bytes))
}

fn entry(listed: &Listed) -> Value {
    let platform = listed.platform.clone().unwrap_or_default();
    json!({
        "mediaType": listed.media_type,
        "size": listed.size,
        "digest": listed.digest.to_string(),
        "platform": platform_json(&platform),
    })
}

/// A platform with its members in the order in which Docker writes them.
#[must_use]
pub fn platform_json(platform: &Platform) -> Value {
    let mut json = json!({
        "architecture": platform.architecture,
        "os": platform.os,
    });
    let more = [
        ("os.version", platform.os_version.clone().map(Value::from)),
        (
            "os.features",
            Some(Value::from(platform.os_features.clone()))
                .filter(|_| !platform.os_features.is_empty()),
        ),
        ("variant", platform.variant.clone().map(Value::from)),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            json[name] = value;
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::super::document::DOCKER_MANIFEST;
    use super::*;
    use proptest::prelude::*;

    fn listed(name: &str, media_type: &str, platform: &str) -> Listed {
        Listed {
            reference: name.parse().unwrap(),
            media_type: media_type.to_owned(),
            digest: Digest::from_sha256(&[1; 32]),
            size: 428,
            platform: platform.parse().ok(),
            document: Vec::new(),
        }
    }

    #[test]
    fn a_list_is_written_as_docker_writes_it() {
        let mut entry = listed("h/a", DOCKER_MANIFEST, "linux/arm64/v8");
        entry.platform = Some(Platform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
            variant: Some("v8".to_owned()),
            os_version: None,
            os_features: vec!["a".to_owned(), "b".to_owned()],
        });
        let (media_type, bytes) = index(&[entry]).unwrap();
        assert_eq!(media_type, DOCKER_INDEX);
        let digest = "01".repeat(32);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            format!(
                r#"{{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
   "manifests": [
      {{
         "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
         "size": 428,
         "digest": "sha256:{digest}",
         "platform": {{
            "architecture": "arm64",
            "os": "linux",
            "os.features": [
               "a",
               "b"
            ],
            "variant": "v8"
         }}
      }}
   ]
}}"#
            )
        );
        let (media_type, _) = index(&[listed("h/a", OCI_MANIFEST, "linux/amd64")]).unwrap();
        assert_eq!(media_type, OCI_INDEX);
    }

    #[test]
    fn a_list_that_a_registry_could_not_serve_is_refused() {
        let target: Reference = "h:1/list".parse().unwrap();
        let said = |list: &[Listed]| check(&target, list).map_err(|e| e.to_string());
        let good = listed("h:1/a", OCI_MANIFEST, "linux/amd64");
        assert_eq!(said(&[good]), Ok(()));
        assert_eq!(
            said(&[listed("h:2/a", OCI_MANIFEST, "linux/amd64")]),
            Err("cannot use source images from a different registry than the target image: h:2 != h:1".to_owned())
        );
        assert_eq!(
            said(&[listed("h:1/a:x", OCI_MANIFEST, "?")]),
            Err(
                "manifest h:1/a:x must have an OS and Architecture to be pushed to a registry"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_configuration_says_what_it_is_for_and_an_artifacts_does_not() {
        let platform = platform_of(br#"{"os":"linux","architecture":"arm","variant":"v7","x":1}"#);
        assert_eq!(platform, "linux/arm/v7".parse().ok());
        for config in [&b"{}"[..], b"", br#"{"os":"linux"}"#, b"[1]"] {
            assert_eq!(platform_of(config), None);
        }
    }

    proptest! {
        #[test]
        fn every_list_reads_back_as_an_index(architectures in prop::collection::vec("[a-z0-9]{1,8}", 1..6), oci: bool) {
            let media_type = if oci { OCI_MANIFEST } else { DOCKER_MANIFEST };
            let list: Vec<Listed> = architectures
                .iter()
                .map(|architecture| Listed {
                    platform: Some(Platform {
                        os: "linux".to_owned(),
                        architecture: architecture.clone(),
                        ..Platform::default()
                    }),
                    ..listed("h/a", media_type, "")
                })
                .collect();
            let (own, bytes) = index(&list).unwrap();
            let Ok(Document::Index(read)) = document::read(&bytes, own) else {
                return Err(TestCaseError::fail("no index"));
            };
            let platforms = read.manifests.iter().map(|m| m.platform.clone());
            prop_assert!(platforms.eq(list.iter().map(|listed| listed.platform.clone())));
        }
    }
}
