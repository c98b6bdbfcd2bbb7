//! Pushes: from an image of the store to a name in a registry. Blobs and manifest go exactly as they are stored (layers of
//! images that came without a manifest are compressed in the store first), so that digests are the same there; the manifest goes last, and names nothing that is not there.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::catalog::Catalog;
use super::document::{self, Descriptor, Document, Manifest};
use super::origins::{self, Known};
use super::registry::{Access, Client, Content, Repository, Which};
use super::{Images, block_on, stored};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::progress::Report;
use crate::engine::model::registry::{Pushed, Referrer, Turn};
use crate::engine::model::{Auth, Cancel, Digest, Platform, Progress, Reference, request};

/// How soon a push notices that it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// One image on its way, with its files open: it may be removed meanwhile.
#[derive(Debug, Clone)]
struct Outgoing {
    name: Reference,
    id: ImageId,
    digest: Digest,
    media_type: String,
    manifest: Vec<u8>,
    config: Blob,
    /// Bottom first, each once.
    layers: Vec<Blob>,
    /// Its layers are to be compressed first.
    is_plain: bool,
}

#[derive(Debug, Clone)]
struct Blob {
    digest: Digest,
    content: Arc<Opened>,
}

impl Images {
    /// Sends images to a registry. `in_use` are the layers that containers need.
    ///
    /// # Errors
    /// As `Engine::push`. What was sent stays there, and the next push does not send it again; a name in the registry
    /// means what it meant before.
    pub fn push(
        &self,
        client: &Client,
        request: &request::Push,
        in_use: &dyn Fn() -> Result<BTreeSet<Digest>>,
        tell: &dyn Fn(Turn<'_, Pushed>),
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Pushed>> {
        let name = &request.reference;
        if name.digest().is_some() {
            return Err(Error::invalid("cannot push a digest reference"));
        }
        let outgoing = self.all_outgoing(request)?;
        let repository = client.repository(name, &request.auth, Access::Push);
        let sending = Sending {
            repository: &repository,
            known: Known::read(&self.roots),
            side_by_side: client.settings().side_by_side.max(1),
            report,
        };
        // One runtime for all: connections live as long as it does.
        block_on(async {
            let mut pushed = Vec::new();
            for image in &outgoing {
                tell(Turn::Begun(&image.name));
                if image.is_plain {
                    // A registry that does not answer, or lets nobody in, is not worth the compressing.
                    unless(cancel, repository.find_blob(&image.config.digest))
                        .await
                        .attempt(|| pushing(&image.name))?;
                }
                let image = &self
                    .compressed(image, in_use, report, cancel)
                    .attempt(|| pushing(&image.name))?;
                let sent = unless(cancel, sending.image(image)).await;
                sent.and_then(|()| self.remember(image))
                    .attempt(|| pushing(&image.name))?;
                let done = Pushed {
                    reference: image.name.clone(),
                    digest: image.digest.clone(),
                    size: length(&image.manifest),
                };
                tell(Turn::Done(&done));
                pushed.push(done);
            }
            Ok(pushed)
        })
    }

    fn all_outgoing(&self, request: &request::Push) -> Result<Vec<Outgoing>> {
        let _held = self.hold()?;
        let catalog = self.catalog()?;
        choose(&catalog, request)?
            .into_iter()
            .map(|(name, id)| {
                let what = pushing(&name);
                self.outgoing(&catalog, name, id, request.platform.as_ref())
                    .attempt(|| what)
            })
            .collect()
    }

    /// The image as it is pushed: with compressed layers.
    fn compressed<'a>(
        &self,
        image: &'a Outgoing,
        in_use: &dyn Fn() -> Result<BTreeSet<Digest>>,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Cow<'a, Outgoing>> {
        if !image.is_plain {
            return Ok(Cow::Borrowed(image));
        }
        // It may be there under several names.
        if self.is_uncompressed(&image.id)? {
            self.compress(&image.id, report, cancel)?;
            self.collect(in_use)?;
        }
        let _held = self.hold()?;
        let (name, id) = (image.name.clone(), image.id.clone());
        self.outgoing(&self.catalog()?, name, id, None)
            .map(Cow::Owned)
    }

    /// What refers to an image in its registry.
    ///
    /// # Errors
    /// As `Engine::referrers`.
    pub fn referrers(
        &self,
        client: &Client,
        reference: &Reference,
        auth: &Auth,
    ) -> Result<Vec<Referrer>> {
        let reference = reference.clone().with_default_tag();
        let repository = client.repository(&reference, auth, Access::Pull);
        let found = block_on(async {
            let digest = match (reference.digest(), reference.tag()) {
                (Some(digest), _) => digest.clone(),
                (None, tag) => {
                    let tag = Which::Tag(tag.unwrap_or_default().to_owned());
                    let found = repository.find_manifest(&tag).await?;
                    let missing = || Error::not_found("manifest unknown");
                    found.ok_or_else(missing)?.digest
                }
            };
            repository.referrers(&digest).await
        })
        .attempt(|| format!("list referrers of {}", reference.familiar()))?;
        Ok(found
            .into_iter()
            .map(|found| Referrer {
                digest: found.digest,
                size: found.size,
                media_type: found.media_type,
                artifact_type: found.artifact_type,
                annotations: found.annotations,
            })
            .collect())
    }

    /// Reads the manifest of an image and opens all that it names.
    fn outgoing(
        &self,
        catalog: &Catalog,
        name: Reference,
        id: ImageId,
        wanted: Option<&Platform>,
    ) -> Result<Outgoing> {
        let stored = stored(catalog, &id)?;
        if let Some(wanted) = wanted {
            let own = self.read_config(&id, stored)?.platform();
            if !is_for(wanted, &own) {
                return Err(Error::not_found(format!(
                    "image with reference {} was found but does not provide the specified platform ({wanted})",
                    name.familiar()
                ))
                .with_hint(format!("it is for {own}")));
            }
        }
        let manifest = self.read_document(&stored.manifest)?;
        let damaged = || {
            Error::new(
                Kind::Internal,
                format!("manifest {} is damaged", stored.manifest),
            )
            .with_hint("remove the image and load it again")
        };
        let Document::Manifest(document) = document::read(&manifest, "")? else {
            return Err(damaged());
        };
        let mut layers: Vec<Blob> = Vec::new();
        for layer in &document.layers {
            if layers.iter().all(|known| known.digest != layer.digest) {
                layers.push(self.open_blob(layer)?);
            }
        }
        Ok(Outgoing {
            is_plain: self.is_uncompressed(&id)?,
            name,
            id,
            digest: stored.manifest.clone(),
            media_type: media_type(&document),
            config: self.open_blob(&document.config)?,
            manifest,
            layers,
        })
    }

    fn open_blob(&self, described: &Descriptor) -> Result<Blob> {
        let digest = &described.digest;
        let file = self.blobs_dir().open_file(digest.hex().as_bytes())?;
        let size = file
            .metadata()
            .attempt(|| format!("examine blob {digest}"))?
            .len();
        if size != described.size {
            return Err(Error::new(
                Kind::Internal,
                format!(
                    "blob {digest} is damaged: it has {size} bytes instead of {}",
                    described.size
                ),
            )
            .with_hint("'wharf system check' repairs what can be repaired"));
        }
        Ok(Blob {
            digest: digest.clone(),
            content: Arc::new(Opened {
                file: Arc::new(file),
                size,
            }),
        })
    }

    /// The image is known by its digest there from now on, and its blobs to be there.
    fn remember(&self, image: &Outgoing) -> Result<()> {
        let mut digests: Vec<Digest> = image.layers.iter().map(|l| l.digest.clone()).collect();
        digests.push(image.config.digest.clone());
        origins::note(&self.roots, &image.name, &digests)?;
        let name = image.name.repository().with_digest(image.digest.clone());
        let lock = self.lock()?;
        let mut catalog = self.catalog()?;
        let is_there = catalog.images.contains_key(&image.id);
        if !is_there || catalog.names.get(&name) == Some(&image.id) {
            return Ok(());
        }
        catalog.names.insert(name, image.id.clone());
        self.save_catalog(&catalog, &lock)
    }
}

/// Of many tags an error names the one at fault.
fn pushing(name: &Reference) -> String {
    format!("push {}", name.familiar())
}

/// The images that are meant, by the names under which they go.
fn choose(catalog: &Catalog, request: &request::Push) -> Result<Vec<(Reference, ImageId)>> {
    let name = &request.reference;
    let mut chosen = Vec::new();
    if request.all_tags {
        let of_repository = catalog.names.iter().filter(|(known, _)| {
            known.tag().is_some()
                && known.digest().is_none()
                && known.domain() == name.domain()
                && known.path() == name.path()
        });
        chosen.extend(of_repository.map(|(known, id)| (known.clone(), id.clone())));
    } else {
        let name = name.clone().with_default_tag();
        chosen.extend(catalog.find(&name).map(|id| (name, id)));
    }
    if chosen.is_empty() {
        return Err(Error::not_found(format!(
            "An image does not exist locally with the tag: {}",
            name.familiar_name()
        )));
    }
    Ok(chosen)
}

/// A platform that was asked for leaves out what does not matter.
fn is_for(wanted: &Platform, own: &Platform) -> bool {
    wanted.os == own.os
        && wanted.architecture == own.architecture
        && (wanted.variant.is_none() || wanted.variant == own.variant)
}

/// What the manifest says that it is; OCI's need not say it.
fn media_type(manifest: &Manifest) -> String {
    if manifest.media_type.is_empty() {
        document::OCI_MANIFEST.to_owned()
    } else {
        manifest.media_type.clone()
    }
}

/// What a push needs to know.
struct Sending<'a> {
    repository: &'a Repository,
    known: Known,
    side_by_side: usize,
    report: Report<'a>,
}

impl Sending<'_> {
    async fn image(&self, image: &Outgoing) -> Result<()> {
        for layer in &image.layers {
            self.tell(layer, "Preparing", 0);
        }
        for layer in image.layers.iter().skip(self.side_by_side) {
            self.tell(layer, "Waiting", 0);
        }
        stream::iter(&image.layers)
            .map(|layer| self.layer(layer))
            .buffer_unordered(self.side_by_side)
            .try_collect::<()>()
            .await?;
        let config = &image.config;
        let is_there = self.repository.find_blob(&config.digest).await?.is_some();
        if !is_there && self.mount(config).await.is_none() {
            self.send(config, &|_sent| ()).await?;
        }
        let tag = Which::Tag(image.name.tag().unwrap_or_default().to_owned());
        let digest = self
            .repository
            .put_manifest(&tag, &image.media_type, &image.manifest)
            .await?;
        if digest == image.digest {
            return Ok(());
        }
        Err(Error::new(
            Kind::Unavailable,
            format!(
                "the registry stored manifest {} as {digest}: it changes what it is given",
                image.digest
            ),
        ))
    }

    async fn layer(&self, layer: &Blob) -> Result<()> {
        let size = layer.content.size;
        if self.repository.find_blob(&layer.digest).await?.is_some() {
            self.tell(layer, "Layer already exists", size);
            return Ok(());
        }
        if let Some(from) = self.mount(layer).await {
            self.tell(layer, format!("Mounted from {from}"), size);
            return Ok(());
        }
        self.tell(layer, "Pushing", 0);
        self.send(layer, &|sent| self.tell(layer, "Pushing", sent))
            .await?;
        self.tell(layer, "Pushed", size);
        Ok(())
    }

    /// Takes a blob over from a repository that has it, if the registry lets us: from which.
    async fn mount(&self, blob: &Blob) -> Option<String> {
        for from in self.known.of(&blob.digest, self.repository.name()) {
            match self.repository.mount_blob(&blob.digest, &from).await {
                Ok(true) => return Some(from.path().to_owned()),
                Ok(false) => {}
                // Sending it is always possible, and says what is wrong if it is not.
                Err(error) => tracing::debug!(%error, %from, "a blob was not mounted"),
            }
        }
        None
    }

    async fn send(&self, blob: &Blob, sent: &(dyn Fn(u64) + Send + Sync)) -> Result<()> {
        let content: Arc<dyn Content> = blob.content.clone();
        self.repository
            .upload_blob(&blob.digest, content, sent)
            .await
            .attempt(|| format!("blob {}", blob.digest.short()))
    }

    fn tell(&self, blob: &Blob, phase: impl Into<Cow<'static, str>>, done: u64) {
        (self.report)(Progress {
            part: blob.digest.short().to_owned(),
            phase: phase.into(),
            done,
            total: Some(blob.content.size),
        });
    }
}

/// Does something until it is done or nobody wants it any more.
async fn unless<T>(cancel: &Cancel, work: impl Future<Output = Result<T>>) -> Result<T> {
    let cancelled = async {
        let mut look = tokio::time::interval(LOOK);
        while !cancel.is_cancelled() {
            look.tick().await;
        }
    };
    tokio::select! {
        biased;
        () = cancelled => Err(Error::new(Kind::Cancelled, "cancelled")),
        done = work => done,
    }
}

/// An open blob, read by any number of readers at any position.
#[derive(Debug)]
struct Opened {
    file: Arc<File>,
    size: u64,
}

impl Content for Opened {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self, start: u64) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Reading {
            file: Arc::clone(&self.file),
            at: start,
        }))
    }
}

struct Reading {
    file: Arc<File>,
    at: u64,
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::images::catalog::Stored;
    use crate::engine::model::Timestamp;

    fn id(n: u8) -> Digest {
        Digest::from_sha256(&[n; 32])
    }

    fn push(name: &str, all_tags: bool) -> request::Push {
        request::Push {
            reference: name.parse().unwrap(),
            all_tags,
            platform: None,
            auth: Auth::Anonymous,
        }
    }

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let stored = Stored {
            manifest: id(9),
            layers: vec![],
            added: Timestamp::UNIX_EPOCH,
        };
        catalog.images = BTreeMap::from([(id(1), stored.clone()), (id(2), stored)]);
        for (name, n) in [
            ("h:1/a:latest", 1),
            ("h:1/a:old", 2),
            ("h:1/ab:latest", 2),
            (&format!("h:1/a@{}", id(9)), 1),
        ] {
            catalog.names.insert(name.parse().unwrap(), id(n));
        }
        catalog
    }

    #[test]
    fn a_name_means_one_tag_or_all_of_its_repository() {
        let chosen = |name: &str, all| {
            let chosen = choose(&catalog(), &push(name, all)).map_err(|e| e.to_string())?;
            let names = chosen.iter().map(|(name, _)| name.familiar());
            Ok::<_, String>(names.collect::<Vec<_>>())
        };
        assert_eq!(chosen("h:1/a", false).unwrap(), ["h:1/a:latest"]);
        assert_eq!(chosen("h:1/a:old", false).unwrap(), ["h:1/a:old"]);
        assert_eq!(
            chosen("h:1/a", true).unwrap(),
            ["h:1/a:latest", "h:1/a:old"]
        );
        for (name, all) in [("h:1/a:new", false), ("h:1/b", true)] {
            let why = chosen(name, all).unwrap_err();
            assert!(why.starts_with("An image does not exist locally with the tag: h:1/"));
        }
    }

    #[test]
    fn an_image_of_another_platform_is_not_the_one_asked_for() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for (wanted, own, fits) in [
            ("linux/arm64", "linux/arm64", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/amd64", "linux/arm64", false),
        ] {
            assert_eq!(is_for(&platform(wanted), &platform(own)), fits, "{wanted}");
        }
    }

    #[test]
    fn a_blob_is_read_from_any_position_by_several_at_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b"), "0123456789").unwrap();
        let opened = Opened {
            file: Arc::new(File::open(dir.path().join("b")).unwrap()),
            size: 10,
        };
        let (mut one, mut two) = (opened.open(0).unwrap(), opened.open(7).unwrap());
        let (mut first, mut second) = ([0; 3], String::new());
        one.read_exact(&mut first).unwrap();
        two.read_to_string(&mut second).unwrap();
        assert_eq!((&first, second.as_str()), (b"012", "789"));
        one.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"345");
    }

    #[test]
    fn what_is_cancelled_ends_at_once() {
        let cancel = Cancel::new();
        cancel.cancel();
        let forever = std::future::pending::<Result<()>>();
        let error = block_on(unless(&cancel, forever)).unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled);
    }
}
