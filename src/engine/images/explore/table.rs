//! Tables of contents: what eStargz and zstd:chunked blobs say of their files at their end. A manifest's annotation has the
//! digest of a table, so it is what whoever pushed the image says; whether the files are so, only all of the blob can tell.
//!
//! Sources: stargz-snapshotter, `docs/estargz.md`; containers/storage, `pkg/chunked/internal/minimal/compression.go`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::paper::{Listed, Paper};
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::images::document::Descriptor;
use crate::engine::images::tarball::{self, Kind};
use crate::engine::images::unpack::{archive_error, stream_error};
use crate::engine::images::{codec, index};
use crate::engine::model::{Digest, Timestamp};

/// Where an eStargz layer's descriptor has the digest of its table, inflated.
const ESTARGZ: &str = "containerd.io/snapshot/stargz/toc.digest";
/// Where a zstd:chunked layer's descriptor has the digest of its table, as it lies in the blob, and its position there:
/// `offset:length:inflated length:1`. Tools before 2022 have names of their own.
const CHUNKED: [(&str, &str); 2] = [
    (
        "io.github.containers.zstd-chunked.manifest-checksum",
        "io.github.containers.zstd-chunked.manifest-position",
    ),
    (
        "io.containers.zstd-chunked.manifest-checksum",
        "io.containers.zstd-chunked.manifest-position",
    ),
];
/// The file that an eStargz blob has its table in, the last of its archive.
const TABLE_FILE: &[u8] = b"stargz.index.json";
/// Bytes at the end of an eStargz blob: an empty gzip member that says where the table begins.
const FOOTER: u64 = 51;
/// So much of an eStargz blob's end is asked for: most tables are in it as a whole.
const TAIL: u64 = 64 << 10;
/// Blobs up to so many bytes are read as a whole: that is as fast, and says more.
const SMALL: u64 = 128 << 10;
/// What a table may have, in the blob and inflated (as containers/storage).
const LIMIT: u64 = 150 << 20;

/// Reads a part of a blob, from one position up to another; `None` if nobody gives parts of it.
pub(super) type ReadPart<'a> = dyn FnMut(u64, u64) -> Result<Option<Vec<u8>>> + 'a;

/// A layer's table of contents, as its descriptor announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// Of its bytes: inflated for eStargz, as they lie in the blob for zstd:chunked.
    pub digest: Digest,
    form: Form,
    /// Bytes of the blob.
    size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    EStargz,
    /// Where it begins and ends.
    Chunked(u64, u64),
}

impl Table {
    /// The table of a layer, if there is one that is worth asking for.
    pub(super) fn of(layer: &Descriptor) -> Option<Self> {
        let size = layer.size;
        if size <= SMALL {
            return None;
        }
        let stated = |name: &str| layer.annotations.get(name);
        let names = CHUNKED.iter();
        let mut chunked = names.filter_map(|(digest, at)| Some((stated(digest)?, stated(at)?)));
        let (digest, form) = match chunked.next() {
            Some((digest, position)) => {
                let (start, end) = chunked_position(position, size)?;
                (digest, Form::Chunked(start, end))
            }
            None => (stated(ESTARGZ)?, Form::EStargz),
        };
        let digest = digest.parse().ok()?;
        Some(Self { digest, form, size })
    }

    /// The list that the table makes; `None` if parts of the blob are not to be had.
    ///
    /// # Errors
    /// What reading says; `InvalidInput` for what is not what was announced, or says what no list can have.
    pub(super) fn list(&self, part: &mut ReadPart<'_>) -> Result<Option<Listed>> {
        match self.form {
            Form::Chunked(start, end) => match part(start, end)? {
                Some(bytes) => self.chunked(&bytes).map(Some),
                None => Ok(None),
            },
            Form::EStargz => match self.member(part)? {
                Some(bytes) => self.estargz(&bytes).map(Some),
                None => Ok(None),
            },
        }
    }

    fn chunked(&self, bytes: &[u8]) -> Result<Listed> {
        self.check(&codec::digest_of(bytes))?;
        let mut paper = Paper::default();
        let input = codec::decode(bytes).map_err(stream_error)?;
        read(input.take(LIMIT), &mut paper)?;
        Ok(paper.finish())
    }

    /// The gzip member with the table, which is the last but the footer.
    fn member(&self, part: &mut ReadPart<'_>) -> Result<Option<Vec<u8>>> {
        let from = self.size.saturating_sub(TAIL);
        let Some(mut tail) = part(from, self.size)? else {
            return Ok(None);
        };
        let end = tail
            .len()
            .saturating_sub(usize::try_from(FOOTER).unwrap_or(0));
        let footer = tail.split_off(end);
        let start = offset_in(&footer).ok_or_else(|| Error::invalid("no footer of eStargz"))?;
        if start >= self.size - FOOTER || self.size - start > LIMIT {
            return Err(Error::invalid("the footer leads to nowhere"));
        }
        if start >= from {
            let skipped = usize::try_from(start - from).unwrap_or(usize::MAX);
            return Ok(Some(tail.split_off(skipped.min(tail.len()))));
        }
        let Some(mut bytes) = part(start, from)? else {
            return Ok(None);
        };
        bytes.append(&mut tail);
        Ok(Some(bytes))
    }

    fn estargz(&self, member: &[u8]) -> Result<Listed> {
        let mut reader = tarball::Reader::new(codec::decode(member).map_err(stream_error)?);
        let entry = reader.next_entry().map_err(archive_error)?;
        let entry = entry.filter(|entry| {
            let plain = entry.kind == Kind::File && entry.sparse.is_none();
            plain && entry.path == TABLE_FILE && entry.size <= LIMIT
        });
        let entry = entry.ok_or_else(|| Error::invalid("the table is not where it should be"))?;
        let mut paper = Paper::default();
        let mut hasher = codec::Hasher::default();
        read(
            Data {
                reader: &mut reader,
                hasher: &mut hasher,
            },
            &mut paper,
        )?;
        let digest = hasher.digest();
        self.check(&digest)?;
        if reader.next_entry().map_err(archive_error)?.is_some() {
            return Err(Error::invalid("something follows the table"));
        }
        // The table does not name itself; whoever unpacks the archive has it as a file.
        paper.add(&entry, &mut |_| Ok(Some(index::digest_bytes(&digest))))?;
        Ok(paper.finish())
    }

    fn check(&self, found: &Digest) -> Result<()> {
        if *found == self.digest {
            return Ok(());
        }
        let stated = &self.digest;
        Err(Error::invalid(format!(
            "{stated} is announced, the table is {found}"
        )))
    }
}

/// The list that a table makes.
///
/// # Errors
/// `InvalidInput` for what no archive can have.
pub(super) fn parse(json: &[u8]) -> Result<Listed> {
    let mut paper = Paper::default();
    read(json, &mut paper)?;
    Ok(paper.finish())
}

fn chunked_position(text: &str, size: u64) -> Option<(u64, u64)> {
    let numbers: Vec<u64> = text
        .split(':')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let [start, length, inflated, 1] = numbers[..] else {
        return None;
    };
    let end = start.checked_add(length)?;
    (length > 0 && length <= LIMIT && inflated <= LIMIT && end <= size).then_some((start, end))
}

/// Where an eStargz footer says that the table begins (estargz.md, "Footer").
fn offset_in(footer: &[u8]) -> Option<u64> {
    let extra = footer.strip_prefix(&[0x1f, 0x8b, 8, 4])?.get(6..)?;
    let field = extra.strip_prefix(&[26, 0, b'S', b'G', 22, 0])?;
    let digits = field.get(..16)?;
    if field.get(16..22)? != b"STARGZ" || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A file of an archive, hashed while it is read.
struct Data<'a, R> {
    reader: &'a mut tarball::Reader<R>,
    hasher: &'a mut codec::Hasher,
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read_data(buffer).map_err(io::Error::other)?;
        self.hasher.update(buffer.get(..read).unwrap_or(&[]));
        Ok(read)
    }
}

/// Reads a table, entry by entry, to its end.
fn read(input: impl Read, paper: &mut Paper) -> Result<()> {
    let what = || "read the table of contents";
    let wrong = |error: serde_json::Error| Error::invalid(what()).caused_by(error);
    let mut input = BufReader::with_capacity(64 << 10, input);
    let mut json = serde_json::Deserializer::from_reader(&mut input);
    Document(paper).deserialize(&mut json).map_err(wrong)?;
    json.end().map_err(wrong)?;
    io::copy(&mut input, &mut io::sink()).attempt(what)?;
    Ok(())
}

/// The whole document.
struct Document<'a>(&'a mut Paper);
/// Its entries.
struct Entries<'a>(&'a mut Paper);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of contents")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut version, mut entries) = (None, false);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "version" => version = Some(map.next_value::<u64>()?),
                "entries" if entries => return Err(A::Error::custom("entries twice")),
                "entries" => {
                    map.next_value_seed(Entries(&mut *self.0))?;
                    entries = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match (version, entries) {
            (Some(1), true) => Ok(()),
            (Some(1), false) => Err(A::Error::missing_field("entries")),
            _ => Err(A::Error::custom("not of version 1")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        while let Some(item) = all.next_element::<Item>()? {
            let content = item.content().map_err(A::Error::custom)?;
            let Some(entry) = item.entry().map_err(A::Error::custom)? else {
                continue;
            };
            self.0
                .add(&entry, &mut |_| Ok(content))
                .map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// An entry of a table: a tar header, or a further piece of the file before.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    modtime: Option<String>,
    #[serde(default)]
    link_name: String,
    #[serde(default)]
    mode: u64,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default)]
    dev_major: u32,
    #[serde(default)]
    dev_minor: u32,
    #[serde(default)]
    xattrs: Option<BTreeMap<String, String>>,
    #[serde(default)]
    digest: String,
}

impl Item {
    /// What the archive's header says; `None` for a piece.
    fn entry(self) -> Result<Option<tarball::Entry>, String> {
        let (path, link) = (bytes_of(self.name)?, bytes_of(self.link_name)?);
        if path.is_empty() {
            return Err("an entry without a name".to_owned());
        }
        let kind = match self.kind.as_str() {
            "chunk" => return Ok(None),
            // As a tar has it (`tarball.rs`).
            "reg" if path.ends_with(b"/") => Kind::Directory,
            "reg" => Kind::File,
            "dir" => Kind::Directory,
            "symlink" => Kind::Symlink,
            "hardlink" => Kind::HardLink,
            "char" => Kind::Char,
            "block" => Kind::Block,
            "fifo" => Kind::Fifo,
            other => return Err(format!("an entry of type {other:?}")),
        };
        if matches!(kind, Kind::HardLink | Kind::Symlink) && link.is_empty() {
            return Err("a link without a target".to_owned());
        }
        if self.size > i64::MAX.unsigned_abs() || self.uid == u32::MAX || self.gid == u32::MAX {
            return Err("a size or an owner that is impossible".to_owned());
        }
        let is_device = matches!(kind, Kind::Char | Kind::Block);
        let xattrs = self.xattrs.unwrap_or_default().into_iter();
        let xattrs = xattrs.map(|(name, value)| {
            let value = BASE64.decode(value).map_err(|error| error.to_string())?;
            Ok((bytes_of(name)?, value))
        });
        Ok(Some(tarball::Entry {
            path,
            link,
            kind,
            mode: u32::try_from(self.mode & 0o7777).unwrap_or(0),
            uid: self.uid,
            gid: self.gid,
            size: if kind == Kind::File { self.size } else { 0 },
            mtime: self.modtime.as_deref().map_or(Ok((0, 0)), time)?,
            device: if is_device {
                (self.dev_major, self.dev_minor)
            } else {
                (0, 0)
            },
            xattrs: xattrs.collect::<Result<_, String>>()?,
            sparse: None,
        }))
    }

    /// Digest of a file, if it is told.
    fn content(&self) -> Result<Option<[u8; 32]>, String> {
        match (self.digest.as_str(), self.size) {
            ("", 0) => Ok(Some(codec::Hasher::default().finish())),
            ("", _) => Ok(None),
            (digest, _) => {
                let digest: Digest = digest.parse().map_err(|error| format!("{error}"))?;
                Ok(Some(index::digest_bytes(&digest)))
            }
        }
    }
}

/// JSON has text only: what was none has replacement characters, and nobody knows for what.
fn bytes_of(text: String) -> Result<Vec<u8>, String> {
    if text.contains(['\u{fffd}', '\0']) {
        return Err(format!("{text:?} is not the name of a file"));
    }
    Ok(text.into_bytes())
}

/// Seconds since 1970 and nanoseconds, as an archive's header has them.
fn time(text: &str) -> Result<(i64, u32), String> {
    let time: Timestamp = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
    let nanoseconds = time.as_nanosecond();
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(0);
    let rest = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0);
    Ok((seconds, rest))
}

#[cfg(test)]
mod tests;
