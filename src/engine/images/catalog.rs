//! `images.json`: which images there are and what they are called. It is read whole and replaced whole, under the
//! store's lock; the content that it names is in `blobs/` and `layers/`.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::error::{Error, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::image::Layer;
use crate::engine::model::{Digest, Reference, Timestamp};

/// Version of the record.
pub const VERSION: u32 = 1;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Catalog {
    /// Schema version, [`VERSION`].
    pub version: u32,
    /// Images by id.
    pub images: BTreeMap<ImageId, Stored>,
    /// Names, with a tag or with a digest, and the image that each means.
    pub names: BTreeMap<Reference, ImageId>,
    /// When an image was last given a name by hand.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged: BTreeMap<ImageId, Timestamp>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stored {
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Layers, bottom first.
    pub layers: Vec<StoredLayer>,
    /// When it came in.
    pub added: Timestamp,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredLayer {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Name of the unpacked directory.
    pub chain_id: Digest,
    /// Digest of the blob.
    pub blob: Digest,
    /// Bytes of the files.
    pub size: u64,
    /// Bytes of the blob.
    pub blob_size: u64,
}

impl StoredLayer {
    /// As inspectors show it.
    #[must_use]
    pub fn layer(&self) -> Layer {
        Layer {
            diff_id: self.diff_id.clone(),
            chain_id: self.chain_id.clone(),
            blob: self.blob.clone(),
            size: self.size,
            blob_size: self.blob_size,
        }
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            version: VERSION,
            images: BTreeMap::new(),
            names: BTreeMap::new(),
            tagged: BTreeMap::new(),
        }
    }
}

impl Catalog {
    /// Names of an image, sorted.
    pub fn names_of<'a>(&'a self, id: &'a ImageId) -> impl Iterator<Item = &'a Reference> {
        let of_it =
            move |(name, named): (&'a Reference, &'a ImageId)| (named == id).then_some(name);
        self.names.iter().filter_map(of_it)
    }

    /// The image that a user's text means: a name (tag `latest` unless given), an id, or the beginning of one.
    ///
    /// # Errors
    /// `NotFound` in Docker's words; `InvalidInput` if the beginning fits several ids or the text can be neither.
    pub fn resolve(&self, text: &str) -> Result<ImageId> {
        let unknown = |shown: &str| Error::not_found(format!("No such image: {shown}"));
        let reference = text.parse::<Reference>();
        if let Some(id) = reference.as_ref().ok().and_then(|name| self.find(name)) {
            return Ok(id);
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let is_prefix = !hex.is_empty()
            && hex.len() <= 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if is_prefix {
            let mut fitting = self.images.keys().filter(|id| id.hex().starts_with(hex));
            match (fitting.next(), fitting.next()) {
                (Some(id), None) => return Ok(id.clone()),
                (Some(_), Some(_)) => {
                    return Err(Error::invalid(format!(
                        "image id prefix {text} fits more than one image"
                    ))
                    .with_hint("give more digits of the id"));
                }
                (None, _) => {}
            }
        }
        match reference {
            Ok(name) => Err(unknown(&name.with_default_tag().familiar())),
            Err(_) if is_prefix => Err(unknown(text)),
            Err(error) => Err(Error::invalid(error.to_string())),
        }
    }

    /// The image of a name.
    #[must_use]
    pub fn find(&self, name: &Reference) -> Option<ImageId> {
        let Some(digest) = name.digest() else {
            return self.names.get(&name.clone().with_default_tag()).cloned();
        };
        if let Some(id) = self.names.get(name) {
            return Some(id.clone());
        }
        // `name@digest` means the manifest of any image of that repository.
        let same = self.names.iter().find(|(known, id)| {
            known.domain() == name.domain()
                && known.path() == name.path()
                && self
                    .images
                    .get(id)
                    .is_some_and(|image| image.manifest == *digest)
        });
        same.map(|(_, id)| id.clone())
    }

    /// Unpacked layers that images need.
    #[must_use]
    pub fn layers(&self) -> BTreeSet<Digest> {
        let layers = self.images.values().flat_map(|image| &image.layers);
        layers.map(|layer| layer.chain_id.clone()).collect()
    }

    /// Blobs that images need.
    #[must_use]
    pub fn blobs(&self) -> BTreeSet<Digest> {
        let mut blobs: BTreeSet<Digest> = self.images.keys().cloned().collect();
        for image in self.images.values() {
            blobs.insert(image.manifest.clone());
            blobs.extend(image.layers.iter().map(|layer| layer.blob.clone()));
        }
        blobs
    }

    /// Whether a blob is known to be the compressed form of a layer.
    #[must_use]
    pub fn knows(&self, blob: &Digest) -> Option<&StoredLayer> {
        let mut layers = self.images.values().flat_map(|image| &image.layers);
        layers.find(|layer| layer.blob == *blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::Kind;

    fn id(start: &str) -> ImageId {
        format!("sha256:{start}{}", "0".repeat(64 - start.len()))
            .parse()
            .unwrap()
    }

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        for (name, start) in [
            ("busybox:latest", "abc1"),
            ("u/app:2", "abc2"),
            ("cafe", "12"),
        ] {
            let image = Stored {
                manifest: id(&format!("9{start}")),
                layers: vec![],
                added: Timestamp::UNIX_EPOCH,
            };
            catalog.images.insert(id(start), image);
            let name: Reference = name.parse().unwrap();
            catalog.names.insert(name.with_default_tag(), id(start));
        }
        catalog
    }

    #[test]
    fn an_image_is_found_by_name_digest_id_and_prefix() {
        let catalog = catalog();
        for (text, start) in [
            ("busybox", "abc1"),
            ("docker.io/library/busybox:latest", "abc1"),
            ("u/app:2", "abc2"),
            ("abc1", "abc1"),
            ("sha256:abc2", "abc2"),
            (id("abc2").as_str(), "abc2"),
            (id("abc2").hex(), "abc2"),
            // A name wins over a prefix.
            ("cafe", "12"),
            (&format!("u/app@{}", id("9abc2")), "abc2"),
        ] {
            assert_eq!(catalog.resolve(text).unwrap(), id(start), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_one_image_says_so_in_dockers_words() {
        let catalog = catalog();
        for (text, kind, message) in [
            ("nosuch", Kind::NotFound, "No such image: nosuch:latest"),
            ("u/app", Kind::NotFound, "No such image: u/app:latest"),
            ("dead", Kind::NotFound, "No such image: dead:latest"),
            (
                "abc",
                Kind::InvalidInput,
                "image id prefix abc fits more than one image",
            ),
            (
                "A b",
                Kind::InvalidInput,
                "invalid reference format: repository name (A b) must be lowercase",
            ),
        ] {
            let error = catalog.resolve(text).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string()),
                (kind, message.to_owned())
            );
        }
    }
}
