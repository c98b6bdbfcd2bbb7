//! Writes images as one archive that has both forms: docker-archive (`manifest.json`) and OCI layout (`index.json`).
//! The documents come first, so that a reader knows what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};

use super::catalog::{Catalog, Stored};
use super::commit::encode;
use super::document::{ArchivedImage, Descriptor, IMAGE_NAME, Index, OCI_INDEX, REF_NAME};
use super::{Images, stored};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::progress::Report;
use crate::engine::model::{Cancel, Digest, Progress, Reference};
use crate::engine::sys::passage::Passage;

/// Everything that will be written, with its files open: an image that is removed meanwhile is saved all the same.
struct Archive {
    documents: Vec<(&'static str, Vec<u8>)>,
    blobs: Vec<Blob>,
}

struct Blob {
    digest: Digest,
    size: u64,
    file: File,
    /// Layers are told of; the documents beside them are nothing to wait for.
    is_layer: bool,
}

/// Writes images: how many bytes the archive has.
///
/// # Errors
/// `NotFound` for an unknown name, before anything is written; what reading and writing say.
pub(super) fn save(
    images: &Images,
    names: &[String],
    out: &mut dyn Write,
    report: Report<'_>,
    cancel: &Cancel,
) -> Result<u64> {
    let archive = {
        let _lock = images.hold()?;
        gather(images, names)?
    };
    for blob in &archive.blobs {
        blob.tell(report, "Preparing", 0);
    }
    let mut tar = Tar {
        out,
        written: 0,
        cancel,
    };
    for dir in ["blobs/", "blobs/sha256/"] {
        let header = header(tar::EntryType::Directory, 0o755, 0, dir)?;
        tar.write(header.as_bytes())?;
    }
    for (name, document) in archive.documents {
        let size = u64::try_from(document.len()).unwrap_or(u64::MAX);
        tar.append(name, 0o644, size, &mut document.as_slice(), &|_| ())?;
    }
    for blob in archive.blobs {
        let path = format!("blobs/sha256/{}", blob.digest.hex());
        let tell = blob.teller(report);
        let mut content = Passage::new(&blob.file);
        tar.append(&path, 0o444, blob.size, &mut content, &tell)?;
        blob.tell(report, "Saved", blob.size);
    }
    // Two empty blocks are the end (tar(5)).
    tar.write(&[0; 2 * BLOCK])?;
    tar.out.flush().attempt(|| WRITE)?;
    Ok(tar.written)
}

const WRITE: &str = "write archive";
const BLOCK: usize = 512;
/// Large, so that a writer's own buffer is passed by and the system is asked rarely.
const BUFFER: usize = 1 << 20;

impl Blob {
    fn tell(&self, report: Report<'_>, phase: &'static str, done: u64) {
        if self.is_layer {
            report(Progress {
                part: self.digest.short().to_owned(),
                phase: phase.into(),
                done,
                total: Some(self.size),
            });
        }
    }

    /// Tells of the bytes that are written.
    fn teller<'a>(&self, report: Report<'a>) -> impl Fn(u64) + use<'a> {
        let (part, total, is_layer) = (self.digest.short().to_owned(), self.size, self.is_layer);
        move |done| {
            if is_layer {
                report(Progress {
                    part: part.clone(),
                    phase: "Saving".into(),
                    done,
                    total: Some(total),
                });
            }
        }
    }
}

/// The archive as far as it is written.
struct Tar<'a> {
    out: &'a mut dyn Write,
    written: u64,
    cancel: &'a Cancel,
}

impl Tar<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).attempt(|| WRITE)?;
        self.written += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// One file; `tell` is told how many bytes of it are written.
    fn append(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        content: &mut dyn Read,
        tell: &dyn Fn(u64),
    ) -> Result<()> {
        let header = header(tar::EntryType::Regular, mode, size, path)?;
        self.write(header.as_bytes())?;
        let mut buffer = vec![0_u8; BUFFER.min(usize::try_from(size).unwrap_or(BUFFER))];
        let mut left = size;
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(Error::new(Kind::Cancelled, "cancelled"));
            }
            let most = usize::try_from(left).unwrap_or(BUFFER).min(buffer.len());
            let space = buffer.get_mut(..most).unwrap_or_default();
            let read = match content.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.attempt(|| format!("read {path}"))?,
            };
            if read == 0 {
                return Err(Error::new(Kind::Internal, format!("{path} is cut short"))
                    .with_hint("wharf system check tells more"));
            }
            self.write(space.get(..read).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(read).unwrap_or(0));
            tell(size - left);
        }
        let over = usize::try_from(size % 512).unwrap_or(0);
        let padding = [0; BLOCK];
        let padding = padding.get(over..).filter(|_| over > 0).unwrap_or_default();
        self.write(padding)
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64, path: &str) -> Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    // No owner and no time: one image makes one archive.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_path(path).attempt(|| WRITE)?;
    header.set_cksum();
    Ok(header)
}

/// Images in the order asked for, each with the names asked for.
fn choose(catalog: &Catalog, names: &[String]) -> Result<Vec<(ImageId, Vec<Reference>)>> {
    let mut chosen: Vec<(ImageId, Vec<Reference>)> = Vec::new();
    for text in names {
        let mut found: Vec<(ImageId, Option<Reference>)> = Vec::new();
        if let Ok(name) = text.parse::<Reference>() {
            let bare = name.tag().is_none() && name.digest().is_none();
            if bare {
                // A repository means all its tags.
                let of_repository = catalog.names.iter().filter(|(known, _)| {
                    known.domain() == name.domain()
                        && known.path() == name.path()
                        && known.tag().is_some()
                });
                found.extend(of_repository.map(|(known, id)| (id.clone(), Some(known.clone()))));
            } else if let Some(id) = catalog.find(&name) {
                let tagged = Some(name).filter(|name| name.digest().is_none());
                found.push((id, tagged));
            }
        }
        if found.is_empty() {
            found.push((catalog.resolve(text)?, None));
        }
        for (id, name) in found {
            if !chosen.iter().any(|(known, _)| *known == id) {
                chosen.push((id.clone(), Vec::new()));
            }
            if let Some((_, names)) = chosen.iter_mut().find(|(known, _)| *known == id) {
                names.extend(name.filter(|name| !names.contains(name)));
            }
        }
    }
    Ok(chosen)
}

fn gather(images: &Images, names: &[String]) -> Result<Archive> {
    let catalog = images.catalog()?;
    let chosen = choose(&catalog, names)?;
    let mut index = Index {
        schema_version: 2,
        media_type: OCI_INDEX.to_owned(),
        ..Index::default()
    };
    let mut list = Vec::new();
    let mut needed = BTreeSet::new();
    let mut layers = BTreeSet::new();
    for (id, names) in &chosen {
        let image = stored(&catalog, id)?;
        needed.insert(id.clone());
        needed.insert(image.manifest.clone());
        layers.extend(image.layers.iter().map(|layer| layer.blob.clone()));
        list.push(archived(id, image, names));
        let platform = images.read_config(id, image)?.platform();
        let (media_type, size) = images.describe_manifest(&image.manifest)?;
        let describe = |annotations| Descriptor {
            annotations,
            platform: Some(platform.clone()),
            ..Descriptor::new(&media_type, image.manifest.clone(), size)
        };
        if names.is_empty() {
            index.manifests.push(describe(BTreeMap::new()));
        }
        for name in names {
            let tag = name.tag().unwrap_or_default();
            index.manifests.push(describe(BTreeMap::from([
                (IMAGE_NAME.to_owned(), name.to_string()),
                (REF_NAME.to_owned(), tag.to_owned()),
            ])));
        }
    }
    let mut blobs = Vec::new();
    for digest in &needed | &layers {
        let file = images.blobs_dir().open_file(digest.hex().as_bytes())?;
        let size = file
            .metadata()
            .attempt(|| format!("examine blob {digest}"))?
            .len();
        blobs.push(Blob {
            is_layer: layers.contains(&digest),
            digest,
            size,
            file,
        });
    }
    Ok(Archive {
        documents: vec![
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json", encode(&index)?),
            ("manifest.json", encode(&list)?),
        ],
        blobs,
    })
}

fn archived(id: &ImageId, image: &Stored, names: &[Reference]) -> ArchivedImage {
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    ArchivedImage {
        config: path(id),
        repo_tags: names.iter().map(Reference::familiar).collect(),
        layers: image.layers.iter().map(|layer| path(&layer.blob)).collect(),
    }
}
