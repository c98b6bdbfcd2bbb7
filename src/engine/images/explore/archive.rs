//! An image's archive as it lies there: its documents, and where its layers are. Nothing is unpacked or copied, but for what
//! cannot be gone back in: standard input, and an archive that is compressed as a whole.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::cache::Cache;
use super::remote::{Export, Remote};
use super::spool::{self, Watch};
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::images::codec::{self, Compression};
use crate::engine::images::commit::{document_error, parse_config};
use crate::engine::images::document::{self, ArchivedImage, Config, Descriptor, Document};
use crate::engine::images::registry::Client;
use crate::engine::images::tarball::{self, Kind};
use crate::engine::images::unpack::{archive_error, clean, join, shown, split};
use crate::engine::images::{load, platform};
use crate::engine::model::{Cancel, Digest, Platform, request};
use crate::engine::sys::at::Dir;

/// Files in an image archive, and links from one to the next.
const MAX_FILES: usize = 100_000;
const MAX_LINKS: usize = 8;
/// Seconds after which a file that was written to counts as one that rests.
const RESTS: i64 = 2;
/// Layers of fewer bytes are read faster than looked for.
const WORTH_KEEPING: u64 = 256 << 10;

/// Where an archive's files are.
pub(super) struct Archive {
    place: Place,
    /// Lists of layers that were read before.
    cache: Option<Cache>,
}

enum Place {
    /// An OCI layout.
    Directory(Dir),
    /// A tar: offset and length of each file, and links.
    Tar {
        file: File,
        files: HashMap<Vec<u8>, (u64, u64)>,
        links: HashMap<Vec<u8>, Vec<u8>>,
        /// Where it ends before its end marker: files may be missing.
        cut: Option<u64>,
    },
    /// A registry.
    Remote(Box<Remote>),
    /// One layer and no documents.
    Layer(File),
}

/// An image in an archive.
#[derive(Debug)]
pub(super) struct Picked {
    /// Its configuration, as it is and as it is understood.
    pub id: Digest,
    /// The same, read.
    pub config: Config,
    /// Names that the archive gives it.
    pub names: Vec<String>,
    /// The same as an OCI layout has them, which may be less than a name (`latest`).
    tags: Vec<String>,
    /// Its layers, the lowest first.
    pub layers: Vec<PickedLayer>,
}

/// A layer in an archive.
#[derive(Debug, Clone)]
pub(super) struct PickedLayer {
    /// Its file in the archive.
    pub name: Vec<u8>,
    /// What the manifest states, if there is one.
    pub stated: Option<Descriptor>,
    /// What the configuration states.
    pub diff_id: Digest,
}

impl Archive {
    /// Opens a directory, an archive, or standard input (`-`).
    ///
    /// # Errors
    /// What the file system says; `InvalidInput` for what is no archive; `Cancelled`.
    pub(super) fn open(
        path: &Path,
        cache: Option<&Path>,
        watch: &mut Watch<'_>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut opened = Self::open_place(path, watch, cancel)?;
        opened.cache = cache.map(Cache::at);
        Ok(opened)
    }

    fn open_place(path: &Path, watch: &mut Watch<'_>, cancel: &Cancel) -> Result<Self> {
        if path == Path::new("-") {
            return Self::of_stream(io::stdin(), watch, cancel);
        }
        let what = || format!("open {}", path.display());
        let file = File::open(path).attempt(what)?;
        let metadata = file.metadata().attempt(what)?;
        if metadata.is_dir() {
            let real = path.canonicalize().attempt(what)?;
            return Ok(Self {
                place: Place::Directory(Dir::open(&real)?),
                cache: None,
            });
        }
        let mut start = [0; 16];
        let is_whole = metadata.is_file() && {
            let read = file.read_at(&mut start, 0).attempt(what)?;
            matches!(
                Compression::sniff(start.get(..read).unwrap_or(&[])),
                Ok(Compression::Plain)
            )
        };
        let opened = if is_whole {
            Self::of_file(file)
        } else {
            Self::of_stream(file, watch, cancel)
        };
        opened.attempt(|| format!("read {}", path.display()))
    }

    /// An archive that is itself a layer; `-` is standard input.
    ///
    /// # Errors
    /// What the file system says; `Cancelled`.
    pub(super) fn of_layer(path: &Path, watch: &mut Watch<'_>, cancel: &Cancel) -> Result<Self> {
        let what = || format!("read {}", path.display());
        let file = if path == Path::new("-") {
            spool::as_it_is(&mut io::stdin(), watch, cancel)?
        } else {
            let mut file = File::open(path).attempt(what)?;
            if file.metadata().attempt(what)?.is_file() {
                file
            } else {
                spool::as_it_is(&mut file, watch, cancel).attempt(what)?
            }
        };
        Ok(Self {
            place: Place::Layer(file),
            cache: None,
        })
    }

    /// An image of a registry: its layers come when they are read.
    ///
    /// # Errors
    /// What the registry says.
    pub(super) fn of_registry(
        client: &Client,
        wanted: &request::Pull,
        cache: Option<&Path>,
    ) -> Result<Self> {
        let remote = Box::new(Remote::open(client, wanted)?);
        Ok(Self {
            place: Place::Remote(remote),
            cache: cache.map(Cache::at),
        })
    }

    /// Where lists of its layers are kept.
    pub(super) fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Stands for the very bytes that a layer has in a file of this host: as long as nobody writes to that, it is the same.
    /// `None` where nothing says so: a file that was just written could be written again within the clock's step.
    pub(super) fn identity(&self, layer: &PickedLayer) -> Option<Digest> {
        let (metadata, start, length) = match &self.place {
            Place::Remote(_) | Place::Layer(_) => return None,
            Place::Directory(dir) => {
                let metadata = dir.open_file(&layer.name).ok()?.metadata().ok()?;
                let length = metadata.len();
                (metadata, 0, length)
            }
            Place::Tar { file, .. } => {
                let (start, length) = self.locate(&layer.name)?;
                (file.metadata().ok()?, start, length)
            }
        };
        let (seconds, nanoseconds) = (metadata.ctime(), metadata.ctime_nsec());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let rests = i64::try_from(now.as_secs()).ok()?.saturating_sub(seconds) > RESTS;
        // What has no name (standard input) is gone the next time.
        if !rests || metadata.nlink() == 0 || length < WORTH_KEEPING {
            return None;
        }
        let facts = [
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            metadata.mtime().cast_unsigned(),
            metadata.mtime_nsec().cast_unsigned(),
            seconds.cast_unsigned(),
            nanoseconds.cast_unsigned(),
            start,
            length,
        ];
        let bytes: Vec<u8> = facts.iter().flat_map(|fact| fact.to_le_bytes()).collect();
        Some(codec::digest_of(&bytes))
    }

    /// It is elsewhere: what is not read need not come.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.place, Place::Remote(..))
    }

    /// Bytes of a layer's blob, as the manifest or the file system says.
    pub(super) fn length(&self, layer: &PickedLayer) -> Option<u64> {
        match &self.place {
            Place::Remote(_) => Some(layer.stated.as_ref()?.size),
            Place::Directory(dir) => Some(dir.open_file(&layer.name).ok()?.metadata().ok()?.len()),
            Place::Tar { .. } => Some(self.locate(&layer.name)?.1),
            Place::Layer(file) => Some(file.metadata().ok()?.len()),
        }
    }

    /// A part of a layer's blob; `None` if it is to be had as a whole alone.
    ///
    /// # Errors
    /// As [`Remote::part`].
    pub(super) fn part(&self, layer: &Descriptor, start: u64, end: u64) -> Result<Option<Vec<u8>>> {
        match &self.place {
            Place::Remote(remote) => remote.part(layer, start, end),
            Place::Directory(_) | Place::Tar { .. } | Place::Layer(_) => Ok(None),
        }
    }

    /// The archive that another engine of this host writes of an image.
    ///
    /// # Errors
    /// What the engine says; `Cancelled`.
    pub(super) fn of_engine(
        socket: &Path,
        image: &str,
        watch: &mut Watch<'_>,
        cancel: &Cancel,
    ) -> Result<Self> {
        Self::of_stream(Export::open(socket, image)?, watch, cancel)
    }

    fn of_stream(stream: impl Read + Send, watch: &mut Watch<'_>, cancel: &Cancel) -> Result<Self> {
        Self::of_file(spool::uncompressed(stream, watch, cancel)?)
    }

    fn of_file(file: File) -> Result<Self> {
        let (mut files, mut links) = (HashMap::new(), HashMap::new());
        let length = file.metadata().attempt(|| "examine the archive")?.len();
        let mut offset = 0;
        let cut = loop {
            // Each entry is read from where it begins: what is in it is passed by.
            let section = Section {
                file: &file,
                position: offset,
                end: length,
            };
            let mut reader = tarball::Reader::new(BufReader::with_capacity(4096, section));
            let entry = reader.next_entry();
            let entry = entry.map_err(|error| archive_error(error.behind(offset)))?;
            let Some(entry) = entry else {
                break reader.ends_early().then_some(length);
            };
            let name = clean(&entry.path).ok_or_else(|| {
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
            let start = offset + reader.position();
            let stored = reader.remaining();
            match entry.kind {
                Kind::File if entry.sparse.is_some() => {
                    let what = format!(
                        "entry {}: a sparse file in an image archive",
                        shown(&entry.path)
                    );
                    return Err(Error::unsupported(what));
                }
                Kind::File => {
                    links.remove(&name);
                    files.insert(name, (start, stored));
                }
                Kind::Symlink | Kind::HardLink => {
                    let (parent, _) = split(&name);
                    let relative = entry.kind == Kind::Symlink && !entry.link.starts_with(b"/");
                    let target = if relative {
                        clean(&join(parent, &entry.link))
                    } else {
                        clean(&entry.link)
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
                Kind::Directory | Kind::Char | Kind::Block | Kind::Fifo => {}
            }
            if start + stored > length {
                return Err(Error::invalid(format!(
                    "entry {}: the archive is cut short at byte {length}",
                    shown(&entry.path)
                )));
            }
            offset = start + stored.div_ceil(512) * 512;
        };
        if length == 0 {
            return Err(Error::invalid("not an image archive: it is empty"));
        }
        Ok(Self {
            place: Place::Tar {
                file,
                files,
                links,
                cut,
            },
            cache: None,
        })
    }

    /// Where a tar ends too early.
    fn cut(&self) -> Option<u64> {
        match &self.place {
            Place::Tar { cut, .. } => *cut,
            Place::Directory(_) | Place::Remote(_) | Place::Layer(_) => None,
        }
    }

    /// Whether there is such a file.
    fn has(&self, name: &[u8]) -> Result<bool> {
        match &self.place {
            Place::Tar { .. } => Ok(self.locate(name).is_some()),
            Place::Remote(..) | Place::Layer(_) => Ok(false),
            Place::Directory(dir) => {
                let (parent, base) = split(name);
                let parent = dir.find_dir(parent)?;
                Ok(parent
                    .map(|parent| parent.stat(base))
                    .transpose()?
                    .flatten()
                    .is_some())
            }
        }
    }

    fn locate(&self, name: &[u8]) -> Option<(u64, u64)> {
        let Place::Tar { files, links, .. } = &self.place else {
            return None;
        };
        let mut name = name;
        for _ in 0..MAX_LINKS {
            match links.get(name) {
                Some(target) => name = target,
                None => break,
            }
        }
        files.get(name).copied()
    }

    /// Opens a layer: what it holds, and its length in bytes. Many may be open at once.
    ///
    /// # Errors
    /// `InvalidInput` if it is not there; what the file system says.
    pub(super) fn read(&self, layer: &PickedLayer) -> Result<(Box<dyn Read + Send + '_>, u64)> {
        match (&self.place, &layer.stated) {
            (Place::Remote(remote), Some(descriptor)) => {
                Ok((Box::new(remote.read(descriptor)?), descriptor.size))
            }
            (Place::Layer(file), _) => {
                let end = file.metadata().attempt(|| "examine the archive")?.len();
                let position = 0;
                let section = Section {
                    file,
                    position,
                    end,
                };
                Ok((Box::new(section), end))
            }
            _ => self.read_file(&layer.name),
        }
    }

    fn read_file(&self, name: &[u8]) -> Result<(Box<dyn Read + Send + '_>, u64)> {
        let missing = || load::missing(self.cut(), name);
        match &self.place {
            Place::Directory(dir) => {
                if !self.has(name)? {
                    return Err(missing());
                }
                let file = dir.open_file(name)?;
                let length = file
                    .metadata()
                    .attempt(|| format!("examine {}", shown(name)))?
                    .len();
                Ok((Box::new(file), length))
            }
            Place::Tar { file, .. } => {
                let (start, length) = self.locate(name).ok_or_else(missing)?;
                let section = Section {
                    file,
                    position: start,
                    end: start + length,
                };
                Ok((Box::new(section), length))
            }
            Place::Remote(..) | Place::Layer(_) => Err(missing()),
        }
    }

    /// A document, of limited length.
    fn document(&self, name: &[u8]) -> Result<Vec<u8>> {
        let what = || format!("read {}", shown(name));
        let (input, length) = self.read_file(name)?;
        let limit = u64::try_from(document::LIMIT).unwrap_or(u64::MAX);
        if length > limit {
            return Err(Error::invalid(format!(
                "{}: {length} bytes are more than the {limit} of a document",
                what()
            )));
        }
        let mut bytes = Vec::new();
        input.take(limit).read_to_end(&mut bytes).attempt(what)?;
        Ok(bytes)
    }

    /// A document named after its digest.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if let Place::Remote(remote) = &self.place {
            return remote.document(descriptor);
        }
        let name = blob_name(&descriptor.digest);
        let bytes = self.document(&name)?;
        let found = codec::digest_of(&bytes);
        if found == descriptor.digest {
            return Ok(bytes);
        }
        Err(Error::invalid(format!(
            "blob {} has the wrong digest: its content is {found}",
            descriptor.digest
        )))
    }

    /// Chooses an image: by name if one is given, for a platform if one is asked for, else the host's.
    ///
    /// # Errors
    /// `NotFound` if there is none such; `InvalidInput` if several fit, or for what is malformed.
    pub(super) fn pick(&self, name: Option<&str>, asked: Option<&Platform>) -> Result<Picked> {
        let mut all = if let Place::Remote(remote) = &self.place {
            let host = asked.cloned().unwrap_or_else(Platform::host);
            vec![self.image(&remote.top, &host, 0)?]
        } else if self.has(b"index.json")? {
            self.layout(asked)?
        } else if self.has(b"manifest.json")? {
            self.docker_archive()?
        } else {
            return Err(load::no_archive(self.cut()).with_hint("a root file system is rootfs:PATH"));
        };
        if let Some(asked) = asked {
            let offered: Vec<String> = all
                .iter()
                .map(|picked| picked.config.platform().to_string())
                .collect();
            all.retain(|picked| asked.rank(&picked.config.platform()).is_some());
            if all.is_empty() {
                return Err(load::no_image_for(asked, &offered.join(", ")));
            }
        }
        if let Some(name) = name {
            let wanted = load::parse_name(name).map(|wanted| wanted.to_string());
            let offered = names_of(&all);
            let is_wanted = |one: &Picked| {
                let is_named = wanted
                    .as_ref()
                    .is_ok_and(|wanted| one.names.contains(wanted));
                is_named || one.tags.iter().any(|tag| tag == name)
            };
            all.retain(is_wanted);
            if all.is_empty() {
                let missing = Error::not_found(format!("the archive has no image {name}"));
                return Err(match offered.as_str() {
                    "" => missing,
                    names => missing.with_hint(format!("it has {names}")),
                });
            }
        }
        match (all.len(), all.pop()) {
            (1, Some(picked)) => Ok(picked),
            (0, _) | (_, None) => Err(Error::invalid("the archive holds no image")),
            (count, Some(last)) => {
                all.push(last);
                Err(Error::invalid(format!(
                    "the archive holds {count} images: {}",
                    names_of(&all)
                ))
                .with_hint("name one: ARCHIVE:NAME[:TAG]"))
            }
        }
    }

    fn layout(&self, asked: Option<&Platform>) -> Result<Vec<Picked>> {
        let bytes = self.document(b"index.json")?;
        let parsed = document::read(&bytes, "")
            .map_err(document_error)
            .attempt(|| "index.json")?;
        let Document::Index(index) = parsed else {
            return Err(Error::invalid("index.json is not an index"));
        };
        let host = asked.cloned().unwrap_or_else(Platform::host);
        let images: Vec<&Descriptor> = index
            .manifests
            .iter()
            .filter(|d| !d.is_no_image())
            .collect();
        let mut all: Vec<Picked> = Vec::new();
        for descriptor in &images {
            let name = load::name_of(descriptor)?;
            let same_name =
                |other: &&&Descriptor| load::name_of(other).is_ok_and(|other| other == name);
            let foreign = descriptor
                .platform
                .as_ref()
                .is_some_and(|platform| host.rank(platform).is_none());
            if foreign && images.iter().filter(same_name).count() > 1 {
                continue;
            }
            let mut picked = self.image(descriptor, &host, 0)?;
            picked.names.extend(name.map(|name| name.to_string()));
            picked
                .tags
                .extend(descriptor.annotations.get(document::REF_NAME).cloned());
            match all.iter_mut().find(|known| known.id == picked.id) {
                Some(known) => {
                    known.names.append(&mut picked.names);
                    known.tags.append(&mut picked.tags);
                }
                None => all.push(picked),
            }
        }
        Ok(all)
    }

    fn image(&self, descriptor: &Descriptor, host: &Platform, depth: usize) -> Result<Picked> {
        let what = || format!("manifest {}", descriptor.digest.short());
        let bytes = self.blob(descriptor)?;
        let parsed = document::read(&bytes, &descriptor.media_type)
            .map_err(document_error)
            .attempt(what)?;
        let manifest = match parsed {
            Document::Index(_) if depth >= 4 => {
                return Err(Error::invalid("indexes are nested too deeply"));
            }
            Document::Index(index) => {
                let chosen = platform::choose(&index.manifests, host).ok_or_else(|| {
                    load::no_image_for(host, &platform::offered(&index.manifests))
                })?;
                return self.image(chosen, host, depth + 1);
            }
            Document::Manifest(manifest) => manifest,
        };
        let config = parse_config(&self.blob(&manifest.config)?, manifest.layers.len())?;
        let layers = config
            .rootfs
            .diff_ids
            .iter()
            .zip(&manifest.layers)
            .map(|(diff_id, layer)| PickedLayer {
                name: blob_name(&layer.digest),
                stated: Some(layer.clone()),
                diff_id: diff_id.clone(),
            })
            .collect();
        Ok(Picked {
            id: manifest.config.digest,
            config,
            names: Vec::new(),
            tags: Vec::new(),
            layers,
        })
    }

    fn docker_archive(&self) -> Result<Vec<Picked>> {
        let bytes = self.document(b"manifest.json")?;
        let images = document::read_archive_manifest(&bytes)
            .map_err(document_error)
            .attempt(|| "manifest.json")?;
        images.iter().map(|image| self.archived(image)).collect()
    }

    fn archived(&self, image: &ArchivedImage) -> Result<Picked> {
        let bytes = self.document(&load::archived_name(&image.config)?)?;
        let id = codec::digest_of(&bytes);
        let config = parse_config(&bytes, image.layers.len())?;
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
            layers.push(PickedLayer {
                name: load::archived_name(name)?,
                stated: None,
                diff_id: diff_id.clone(),
            });
        }
        let names = image
            .repo_tags
            .iter()
            .map(|tag| Ok(load::parse_name(tag)?.to_string()));
        Ok(Picked {
            id,
            config,
            tags: Vec::new(),
            names: names.collect::<Result<_>>()?,
            layers,
        })
    }
}

/// What images are called, for whoever must choose.
fn names_of(all: &[Picked]) -> String {
    let names = all.iter().flat_map(|one| match one.names.as_slice() {
        [] => one.tags.as_slice(),
        names => names,
    });
    let mut names: Vec<&str> = names.map(String::as_str).collect();
    names.sort_unstable();
    names.join(", ")
}

fn blob_name(digest: &Digest) -> Vec<u8> {
    format!("blobs/sha256/{}", digest.hex()).into_bytes()
}

/// A part of a file, read without moving anybody's position.
struct Section<'a> {
    file: &'a File,
    position: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self
            .file
            .read_at(buffer.get_mut(..wanted).unwrap_or(&mut []), self.position)?;
        self.position += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::images::tarball::sample;

    fn told(bytes: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        std::fs::write(&path, bytes).unwrap();
        let opened = Archive::open(&path, None, &mut |_| (), &Cancel::new());
        let picked = opened.and_then(|archive| archive.pick(None, None));
        let text = picked.expect_err("it is no image").to_string();
        text.replace(&format!("read {}: ", path.display()), "")
    }

    #[test]
    fn an_archive_that_was_cut_anywhere_says_so() {
        let archive = [
            sample(b"one", &[1; 600]),
            sample(b"two", &[2; 100]),
            vec![0; 1024],
        ]
        .concat();
        let none = "not an image archive: it has neither index.json nor manifest.json";
        for (length, expected) in [
            (0, "not an image archive: it is empty".to_owned()),
            (
                10,
                "no tar archive: it has 10 bytes, a header has 512".to_owned(),
            ),
            (
                512,
                "entry \"one\": the archive is cut short at byte 512".to_owned(),
            ),
            (
                1000,
                "entry \"one\": the archive is cut short at byte 1000".to_owned(),
            ),
            // In the padding, between two entries, in a header, in the last padding.
            (
                1200,
                format!("the archive is cut short at byte 1200: {none}"),
            ),
            (
                1536,
                format!("the archive is cut short at byte 1536: {none}"),
            ),
            (1600, "the archive is cut short at byte 1600".to_owned()),
            (
                2100,
                "entry \"two\": the archive is cut short at byte 2100".to_owned(),
            ),
            (
                2200,
                format!("the archive is cut short at byte 2200: {none}"),
            ),
            (
                2560,
                format!("the archive is cut short at byte 2560: {none}"),
            ),
            (archive.len(), none.to_owned()),
        ] {
            assert_eq!(told(&archive[..length]), expected, "cut at {length}");
        }
        let mut damaged = archive;
        damaged[1536] = 9;
        assert!(told(&damaged).starts_with("not a tar header at byte 1536: "));
    }
}
