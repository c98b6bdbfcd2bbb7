//! Reads archives: docker-archive in all its forms, OCI layouts as tar or directory. The stream is read once, from front
//! to back; what may be a layer is unpacked on other threads while it comes in.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::codec;
use super::commit::{Plan, document_error, parse_config, plan_without_manifest};
use super::document::{self, Descriptor, Document, IMAGE_NAME, REF_NAME};
use super::layers::Pool;
use super::legacy;
use super::platform;
use super::tarball::{self, Kind as EntryKind};
use super::unpack::{self, archive_error, shown, stream_error};
use super::workspace::{Spooled, Workspace};
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::model::{Cancel, Digest, Platform, Reference};
use crate::engine::sys::at::Dir;

/// Most files of one archive. An image of 127 layers has about 400.
const MAX_FILES: usize = 50_000;
/// Links followed from one name to its content.
const MAX_LINKS: usize = 10;
/// Read behind the archive's end, so that a sender's last blocks do not meet a closed pipe.
const MAX_TRAILER: u64 = 1 << 20;

/// Where an archive comes from.
pub enum Source {
    /// A file, or the directory of an OCI layout.
    Path(PathBuf),
    /// A stream, such as standard input.
    Stream(Box<dyn Read + Send>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// Files of an archive by name.
pub(super) enum Contents<'a> {
    Spooled {
        files: HashMap<Vec<u8>, Spooled>,
        links: HashMap<Vec<u8>, Vec<u8>>,
        /// Where it ended before its end marker: files may be missing.
        cut: Option<u64>,
    },
    Directory {
        dir: Dir,
        files: HashMap<Vec<u8>, Spooled>,
        cancel: &'a Cancel,
    },
}

/// Reads a source into the workspace and says which images are in it: of several platforms the one that is asked for, or
/// else the host's.
///
/// # Errors
/// `InvalidInput` for what is malformed or missing; what reading and writing say.
pub(super) fn read(
    source: Source,
    work: &Workspace,
    pool: &Pool<'_>,
    wanted: &dyn Fn(&Digest) -> bool,
    asked: Option<&Platform>,
    cancel: &Cancel,
) -> Result<Vec<Plan>> {
    let mut contents = match source {
        Source::Stream(stream) => read_archive(stream, work, pool, wanted, cancel)?,
        Source::Path(path) => open_path(&path, work, pool, wanted, cancel)?,
    };
    let mut plans = if let Some(index) = contents.find(work, b"index.json")? {
        read_layout(&mut contents, work, &index, asked)?
    } else if let Some(list) = contents.find(work, b"manifest.json")? {
        read_docker_archive(&mut contents, work, &list, cancel)?
    } else if let Some(plans) = legacy::read(&mut contents, work, pool, cancel)? {
        plans
    } else {
        return Err(no_archive(contents.cut())
            .with_hint("a root file system is brought in with `wharf import`"));
    };
    if plans.is_empty() {
        return Err(Error::invalid("the archive holds no image"));
    }
    if let Some(asked) = asked {
        let mut others = Vec::new();
        let mut fitting = Vec::new();
        for plan in plans {
            let platform = parse_config(&plan.config, plan.layers.len())?.platform();
            if asked.rank(&platform).is_some() {
                fitting.push(plan);
            } else {
                others.push(platform.to_string());
            }
        }
        if fitting.is_empty() {
            others.dedup();
            return Err(no_image_for(asked, &others.join(", ")));
        }
        plans = fitting;
    }
    Ok(plans)
}

/// A file that should be there and is not, in an archive that may end too early.
pub(super) fn missing(cut: Option<u64>, name: &[u8]) -> Error {
    let what = format!("the archive has no file {}", shown(name));
    cut_short(cut, &what)
}

/// No file says what is in it.
pub(super) fn no_archive(cut: Option<u64>) -> Error {
    let what = "not an image archive: it has neither index.json nor manifest.json";
    cut_short(cut, what)
}

fn cut_short(cut: Option<u64>, what: &str) -> Error {
    Error::invalid(match cut {
        Some(at) => format!("the archive is cut short at byte {at}: {what}"),
        None => what.to_owned(),
    })
}

pub(super) fn no_image_for(platform: &Platform, offered: &str) -> Error {
    Error::not_found(format!(
        "the archive has no image for {platform}, only for {offered}"
    ))
}

fn open_path<'a>(
    path: &Path,
    work: &Workspace,
    pool: &Pool<'_>,
    wanted: &dyn Fn(&Digest) -> bool,
    cancel: &'a Cancel,
) -> Result<Contents<'a>> {
    let file = File::open(path).attempt(|| format!("open {}", path.display()))?;
    let metadata = file
        .metadata()
        .attempt(|| format!("examine {}", path.display()))?;
    if !metadata.is_dir() {
        return read_archive(Box::new(file), work, pool, wanted, cancel);
    }
    let real = path
        .canonicalize()
        .attempt(|| format!("open {}", path.display()))?;
    Ok(Contents::Directory {
        dir: Dir::open(&real)?,
        files: HashMap::new(),
        cancel,
    })
}

fn read_archive<'a>(
    stream: Box<dyn Read + Send>,
    work: &Workspace,
    pool: &Pool<'_>,
    wanted: &dyn Fn(&Digest) -> bool,
    cancel: &'a Cancel,
) -> Result<Contents<'a>> {
    let decoded = codec::decode_archive(stream).map_err(stream_error)?;
    let mut reader = tarball::Reader::new(decoded);
    let mut files = HashMap::new();
    let mut links = HashMap::new();
    while let Some(entry) = reader.next_entry().map_err(archive_error)? {
        let name = unpack::clean(&entry.path).ok_or_else(|| {
            Error::invalid(format!(
                "entry {}: the path leaves the archive",
                shown(&entry.path)
            ))
        })?;
        if files.len() + links.len() >= MAX_FILES {
            return Err(Error::invalid(format!(
                "the archive has more than {MAX_FILES} files"
            )));
        }
        match entry.kind {
            EntryKind::File if entry.sparse.is_some() => {
                return Err(Error::unsupported(format!(
                    "entry {}: a sparse file in an image archive",
                    shown(&entry.path)
                )));
            }
            EntryKind::File => {
                let blob = work
                    .spool(&mut EntryData(&mut reader), cancel)
                    .attempt(|| format!("entry {}", shown(&entry.path)))?;
                check_name(&name, &blob)?;
                if blob.looks_like_layer() && wanted(&blob.digest) {
                    pool.ask(&blob);
                }
                links.remove(&name);
                files.insert(name, blob);
            }
            EntryKind::Symlink | EntryKind::HardLink => {
                let (parent, _) = unpack::split(&name);
                let target = if entry.kind == EntryKind::Symlink && !entry.link.starts_with(b"/") {
                    unpack::clean(&unpack::join(parent, &entry.link))
                } else {
                    unpack::clean(&entry.link)
                };
                let target = target.ok_or_else(|| {
                    Error::invalid(format!(
                        "entry {}: the link leaves the archive",
                        shown(&entry.path)
                    ))
                })?;
                files.remove(&name);
                links.insert(name, target);
            }
            // Directories mean nothing, other types are nothing of an image's.
            EntryKind::Directory | EntryKind::Char | EntryKind::Block | EntryKind::Fifo => {}
        }
    }
    let cut = reader.ends_early().then(|| reader.position());
    let _ = std::io::copy(
        &mut reader.into_inner().take(MAX_TRAILER),
        &mut std::io::sink(),
    );
    if cut == Some(0) {
        return Err(Error::invalid("not an image archive: it is empty"));
    }
    Ok(Contents::Spooled { files, links, cut })
}

struct EntryData<'a, R>(&'a mut tarball::Reader<R>);

impl<R: Read> Read for EntryData<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_data(buffer).map_err(|error| match error {
            tarball::Error::Io(error) => error,
            other => std::io::Error::new(std::io::ErrorKind::InvalidData, other),
        })
    }
}

/// A file that is named after its digest must be what its name says.
fn check_name(name: &[u8], blob: &Spooled) -> Result<()> {
    let Some(hex) = name.strip_prefix(b"blobs/sha256/") else {
        return Ok(());
    };
    if hex == blob.digest.hex().as_bytes() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "blob sha256:{} has the wrong digest: its content is {}",
        String::from_utf8_lossy(hex).escape_debug(),
        blob.digest
    )))
}

impl Contents<'_> {
    /// Names of the files as far as they have been read: of a directory none is, until it is asked for.
    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Spooled { files, links, .. } => {
                files.keys().chain(links.keys()).cloned().collect()
            }
            Self::Directory { files, .. } => files.keys().cloned().collect(),
        }
    }

    /// A file by its name in the archive, by way of links.
    pub(super) fn find(&mut self, work: &Workspace, name: &[u8]) -> Result<Option<Spooled>> {
        match self {
            Self::Spooled { files, links, .. } => {
                let mut name = name;
                for _ in 0..MAX_LINKS {
                    match links.get(name) {
                        Some(target) => name = target,
                        None => break,
                    }
                }
                Ok(files.get(name).cloned())
            }
            Self::Directory { dir, files, cancel } => {
                if let Some(known) = files.get(name) {
                    return Ok(Some(known.clone()));
                }
                let (parent, base) = unpack::split(name);
                let found = match dir.find_dir(parent)? {
                    Some(parent) => parent.stat(base)?,
                    None => None,
                };
                if found.is_none() {
                    return Ok(None);
                }
                let mut file = dir.open_file(name)?;
                let blob = work.spool(&mut file, cancel)?;
                check_name(name, &blob)?;
                files.insert(name.to_vec(), blob.clone());
                Ok(Some(blob))
            }
        }
    }

    /// The same for a file that must be there.
    pub(super) fn need(&mut self, work: &Workspace, name: &[u8]) -> Result<Spooled> {
        let cut = self.cut();
        self.find(work, name)?.ok_or_else(|| missing(cut, name))
    }

    /// Where a stream ended too early.
    fn cut(&self) -> Option<u64> {
        match self {
            Self::Spooled { cut, .. } => *cut,
            Self::Directory { .. } => None,
        }
    }

    /// The blob of a descriptor, of the size that it states.
    fn blob(&mut self, work: &Workspace, descriptor: &Descriptor) -> Result<Spooled> {
        let name = format!("blobs/sha256/{}", descriptor.digest.hex());
        let blob = self.need(work, name.as_bytes())?;
        if blob.size == descriptor.size {
            return Ok(blob);
        }
        Err(Error::invalid(format!(
            "blob {} has {} bytes, its descriptor says {}",
            descriptor.digest, blob.size, descriptor.size
        )))
    }
}

fn read_layout(
    contents: &mut Contents<'_>,
    work: &Workspace,
    index: &Spooled,
    asked: Option<&Platform>,
) -> Result<Vec<Plan>> {
    let bytes = work.read(index, document::LIMIT).attempt(|| "index.json")?;
    let parsed = document::read(&bytes, "")
        .map_err(document_error)
        .attempt(|| "index.json")?;
    let Document::Index(index) = parsed else {
        return Err(Error::invalid("index.json is not an index"));
    };
    let host = asked.cloned().unwrap_or_else(Platform::host);
    let mut plans: Vec<Plan> = Vec::new();
    let images: Vec<&Descriptor> = index
        .manifests
        .iter()
        .filter(|d| !d.is_no_image())
        .collect();
    for descriptor in &images {
        let name = name_of(descriptor)?;
        // Several platforms of one image side by side: only the host's is wanted.
        let same_name = |other: &&&Descriptor| name_of(other).is_ok_and(|other| other == name);
        let for_others = descriptor
            .platform
            .as_ref()
            .is_some_and(|platform| host.rank(platform).is_none());
        if for_others && images.iter().filter(same_name).count() > 1 {
            continue;
        }
        let mut plan = read_image(contents, work, descriptor, &host, 0)?;
        plan.names.extend(name);
        // One image under several names has one descriptor for each.
        match plans
            .iter_mut()
            .find(|known| known.manifest == plan.manifest)
        {
            Some(known) => known.names.append(&mut plan.names),
            None => plans.push(plan),
        }
    }
    Ok(plans)
}

fn read_image(
    contents: &mut Contents<'_>,
    work: &Workspace,
    descriptor: &Descriptor,
    host: &Platform,
    depth: usize,
) -> Result<Plan> {
    if !descriptor.is_index() && !descriptor.is_manifest() {
        return Err(Error::invalid(format!(
            "index.json: media type {:?} is neither an image nor an index",
            descriptor.media_type
        )));
    }
    let what = || format!("manifest {}", descriptor.digest.short());
    let blob = contents.blob(work, descriptor)?;
    let bytes = work.read(&blob, document::LIMIT).attempt(what)?;
    let parsed = document::read(&bytes, &descriptor.media_type)
        .map_err(document_error)
        .attempt(what)?;
    let manifest = match parsed {
        Document::Index(_) if depth >= 4 => {
            return Err(Error::invalid("indexes are nested too deeply"));
        }
        Document::Index(index) => {
            let picked = platform::choose(&index.manifests, host)
                .ok_or_else(|| no_image_for(host, &platform::offered(&index.manifests)))?;
            return read_image(contents, work, picked, host, depth + 1);
        }
        Document::Manifest(manifest) => manifest,
    };
    let config = contents.blob(work, &manifest.config)?;
    let config = work
        .read(&config, document::LIMIT)
        .attempt(|| "image configuration")?;
    let parsed = parse_config(&config, manifest.layers.len())?;
    let mut layers = Vec::new();
    for (diff_id, layer) in parsed.rootfs.diff_ids.into_iter().zip(&manifest.layers) {
        let blob = contents.blob(work, layer)?;
        blob.compression()?;
        layers.push((diff_id, blob));
    }
    Ok(Plan {
        config,
        manifest: bytes,
        layers,
        names: Vec::new(),
        binding: false,
    })
}

/// The name that an index gives to an image. A bare tag, as OCI layouts have it, is no name.
pub(super) fn name_of(descriptor: &Descriptor) -> Result<Option<Reference>> {
    let annotations = &descriptor.annotations;
    let text = match (annotations.get(IMAGE_NAME), annotations.get(REF_NAME)) {
        (Some(name), _) => name,
        (None, Some(name)) if name.contains([':', '/']) => name,
        (None, _) => return Ok(None),
    };
    parse_name(text).map(Some)
}

pub(super) fn parse_name(text: &str) -> Result<Reference> {
    text.parse::<Reference>()
        .map(Reference::with_default_tag)
        .map_err(|error| Error::invalid(format!("image name {text:?}")).caused_by(error))
}

fn read_docker_archive(
    contents: &mut Contents<'_>,
    work: &Workspace,
    list: &Spooled,
    cancel: &Cancel,
) -> Result<Vec<Plan>> {
    let bytes = work
        .read(list, document::LIMIT)
        .attempt(|| "manifest.json")?;
    let images = document::read_archive_manifest(&bytes)
        .map_err(document_error)
        .attempt(|| "manifest.json")?;
    let mut plans = Vec::new();
    for image in images {
        let name = archived_name(&image.config)?;
        let config = contents.need(work, &name)?;
        // `<digest>.json` is a promise, too.
        if let Some(hex) = image.config.strip_suffix(".json")
            && let Ok(stated) = format!("sha256:{hex}").parse::<Digest>()
            && stated != config.digest
        {
            return Err(Error::invalid(format!(
                "configuration {stated} has the wrong digest: its content is {}",
                config.digest
            )));
        }
        let config = work
            .read(&config, document::LIMIT)
            .attempt(|| "image configuration")?;
        parse_config(&config, image.layers.len())?;
        let mut blobs = Vec::new();
        for layer in &image.layers {
            let blob = contents.need(work, &archived_name(layer)?)?;
            blobs.push(work.as_layer(blob, cancel)?);
        }
        let mut names = Vec::new();
        for tag in &image.repo_tags {
            names.push(parse_name(tag)?);
        }
        plans.push(plan_without_manifest(config, blobs, names)?);
    }
    Ok(plans)
}

pub(super) fn archived_name(name: &str) -> Result<Vec<u8>> {
    unpack::clean(name.as_bytes())
        .filter(|clean| !clean.is_empty())
        .ok_or_else(|| {
            Error::invalid(format!(
                "manifest.json: the path {name:?} leaves the archive"
            ))
        })
}
