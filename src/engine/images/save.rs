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
use crate::engine::model::{Cancel, Digest, Reference};

/// Everything that will be written, with its files open: an image that is removed meanwhile is saved all the same.
struct Archive {
    documents: Vec<(&'static str, Vec<u8>)>,
    blobs: Vec<(Digest, File)>,
}

/// Writes images.
///
/// # Errors
/// `NotFound` for an unknown name, before anything is written; what reading and writing say.
pub(super) fn save(
    images: &Images,
    names: &[String],
    out: &mut dyn Write,
    cancel: &Cancel,
) -> Result<()> {
    let archive = {
        let _lock = images.hold()?;
        gather(images, names)?
    };
    for dir in ["blobs/", "blobs/sha256/"] {
        let header = header(tar::EntryType::Directory, 0o755, 0, dir)?;
        out.write_all(header.as_bytes()).attempt(|| WRITE)?;
    }
    for (name, document) in archive.documents {
        let size = u64::try_from(document.len()).unwrap_or(u64::MAX);
        append(out, name, 0o644, size, &mut document.as_slice(), cancel)?;
    }
    for (digest, mut file) in archive.blobs {
        let size = file
            .metadata()
            .attempt(|| format!("examine blob {digest}"))?
            .len();
        let path = format!("blobs/sha256/{}", digest.hex());
        append(out, &path, 0o444, size, &mut file, cancel)?;
    }
    // Two empty blocks are the end (tar(5)).
    out.write_all(&[0; 2 * BLOCK]).attempt(|| WRITE)?;
    out.flush().attempt(|| WRITE)
}

const WRITE: &str = "write archive";
const BLOCK: usize = 512;
/// Large, so that a writer's own buffer is passed by and the system is asked rarely.
const BUFFER: usize = 1 << 20;

/// One file of the archive.
fn append(
    out: &mut dyn Write,
    path: &str,
    mode: u32,
    size: u64,
    content: &mut dyn Read,
    cancel: &Cancel,
) -> Result<()> {
    let header = header(tar::EntryType::Regular, mode, size, path)?;
    out.write_all(header.as_bytes()).attempt(|| WRITE)?;
    let mut buffer = vec![0_u8; BUFFER.min(usize::try_from(size).unwrap_or(BUFFER))];
    let mut left = size;
    while left > 0 {
        if cancel.is_cancelled() {
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
        out.write_all(space.get(..read).unwrap_or_default())
            .attempt(|| WRITE)?;
        left = left.saturating_sub(u64::try_from(read).unwrap_or(0));
    }
    let over = usize::try_from(size % 512).unwrap_or(0);
    let padding = [0; BLOCK];
    let padding = padding.get(over..).filter(|_| over > 0).unwrap_or_default();
    out.write_all(padding).attempt(|| WRITE)
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
    for (id, names) in &chosen {
        let image = stored(&catalog, id)?;
        needed.insert(id.clone());
        needed.insert(image.manifest.clone());
        needed.extend(image.layers.iter().map(|layer| layer.blob.clone()));
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
    for digest in needed {
        let file = images.blobs_dir().open_file(digest.hex().as_bytes())?;
        blobs.push((digest, file));
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
