//! The file index of an unpacked layer: one compact binary file, written while the layer is unpacked, that says
//! everything about its entries without reading them. The layer explorer reads nothing else.
//!
//! ```text
//! magic "wharfidx", version u32, number of entries u32, sum of the files' bytes u64, length of the body u64,
//! diff id 32 bytes, chain id 32 bytes          (all numbers little-endian)
//! body: entries sorted by path, each
//!   shared   varint: leading bytes of the previous path that this one repeats
//!   rest     varint length, bytes
//!   kind     byte; flags byte (1 digest, 2 opaque directory, 4 attributes, 8 made up, not in the archive)
//!   mode uid gid size   varints
//!   seconds  zigzag varint; nanoseconds varint
//!   file:    32 bytes content digest, if flag 1
//!   links:   varint length, target
//!   devices: major, minor varints
//!   if flag 4: varint count, then name and value, each with varint length
//! version 3, behind the entries: varint count of paths that the archive has more than once, sorted; each
//!   path     varint length, bytes
//!   bytes    varint, of the files that went
//! ```
//! What has no such paths is of version 2.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use crate::engine::model::Digest;

/// Version of the format.
pub const VERSION: u32 = 3;
/// The same without paths that are there more than once.
const PLAIN_VERSION: u32 = 2;
/// Name of the file, next to the layer's `fs`.
pub const FILE: &str = "index";

const MAGIC: &[u8; 8] = b"wharfidx";
const HEADER: usize = 8 + 4 + 4 + 8 + 8 + 32 + 32;
const HAS_DIGEST: u8 = 1;
const OPAQUE: u8 = 2;
const HAS_XATTRS: u8 = 4;
const IMPLIED: u8 = 8;

pub use crate::engine::model::layers::{Entry, Kind, Repeated};

/// What the head of the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Number of entries.
    pub entries: u32,
    /// Sum of the regular files' bytes.
    pub size: u64,
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Digest of the layer on top of those below it.
    pub chain_id: Digest,
    /// What the archive had more than once, if the whole file was read.
    pub repeated: Vec<Repeated>,
    version: u32,
    body: u64,
}

/// Why an index cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something else, or damaged.
    #[error("not a layer index, or damaged, at byte {0}")]
    Damaged(usize),
    /// Written by another version of wharf.
    #[error("layer index version {0} is not known to this version of wharf")]
    Version(u32),
}

/// Collects entries in the order in which they come; later ones replace earlier ones of the same path.
///
/// Entries are kept encoded, back to back: a layer of a million files costs about a hundred bytes for each.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
    /// Start of each entry, oldest first.
    starts: Vec<usize>,
    /// Subtrees removed: path, and number of entries at that time.
    removed: HashMap<Vec<u8>, usize>,
}

impl Builder {
    /// Adds an entry.
    pub fn add(&mut self, entry: &Entry) {
        self.starts.push(self.bytes.len());
        put_number(&mut self.bytes, 0);
        put_bytes(&mut self.bytes, &entry.path);
        put_entry(&mut self.bytes, entry);
    }

    /// Forgets a path and all below it.
    pub fn remove(&mut self, path: &[u8]) {
        self.removed.insert(path.to_vec(), self.starts.len());
    }

    fn path_at(&self, start: usize) -> &[u8] {
        let mut input = Input {
            bytes: &self.bytes,
            position: start,
        };
        let _shared = input.number();
        input.bytes().unwrap_or(&[])
    }

    /// The path whose removal took an entry away, the topmost if there are several.
    fn removed_with<'a>(&self, number: usize, path: &'a [u8]) -> Option<&'a [u8]> {
        let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
        let mut above = slashes
            .map(|(position, _)| position)
            .chain([path.len()])
            .filter_map(|end| path.get(..end));
        above.find(|above| self.removed.get(*above).is_some_and(|when| number < *when))
    }

    /// Files that a later entry took the place of, or that went with a directory, by the path that was written again.
    pub fn repeated(&self) -> Vec<Repeated> {
        let mut places: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        if self.removed.is_empty() {
            return Vec::new();
        }
        for (number, start) in self.starts.iter().enumerate() {
            let path = self.path_at(*start);
            let Some(place) = self.removed_with(number, path) else {
                continue;
            };
            let mut input = Input {
                bytes: &self.bytes,
                position: *start,
            };
            let bytes = input.entry(&[]).map_or(0, |entry| entry.size);
            if bytes > 0 {
                let known = places.entry(place.to_vec()).or_default();
                *known = known.saturating_add(bytes);
            }
        }
        let each = |(path, bytes)| Repeated { path, bytes };
        places.into_iter().map(each).collect()
    }

    /// The entries as they are in the end, sorted by path.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let mut order: Vec<(usize, usize)> = self.starts.iter().copied().enumerate().collect();
        // The newest of each path comes first.
        order.sort_unstable_by(|(a, a_start), (b, b_start)| {
            let paths = self.path_at(*a_start).cmp(self.path_at(*b_start));
            paths.then(b.cmp(a))
        });
        order.dedup_by(|(_, later), (_, first)| self.path_at(*later) == self.path_at(*first));
        order.into_iter().filter_map(move |(number, start)| {
            if !self.removed.is_empty() && self.removed_with(number, self.path_at(start)).is_some()
            {
                return None;
            }
            let mut input = Input {
                bytes: &self.bytes,
                position: start,
            };
            input.entry(&[])
        })
    }
}

/// The file of sorted entries.
#[must_use]
pub fn encode(
    entries: impl Iterator<Item = Entry>,
    repeated: &[Repeated],
    diff_id: &Digest,
    chain_id: &Digest,
) -> Vec<u8> {
    let mut output = vec![0_u8; HEADER];
    let mut previous: Vec<u8> = Vec::new();
    let mut count = 0_u32;
    let mut size = 0_u64;
    for entry in entries {
        let shared = previous
            .iter()
            .zip(&entry.path)
            .take_while(|(a, b)| a == b)
            .count();
        put_number(&mut output, u64::try_from(shared).unwrap_or(0));
        put_bytes(&mut output, entry.path.get(shared..).unwrap_or(&[]));
        put_entry(&mut output, &entry);
        count = count.saturating_add(1);
        size = size.saturating_add(entry.size);
        previous = entry.path;
    }
    let version = if repeated.is_empty() {
        PLAIN_VERSION
    } else {
        put_number(&mut output, u64::try_from(repeated.len()).unwrap_or(0));
        for one in repeated {
            put_bytes(&mut output, &one.path);
            put_number(&mut output, one.bytes);
        }
        VERSION
    };
    let body = u64::try_from(output.len() - HEADER).unwrap_or(u64::MAX);
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&version.to_le_bytes());
    header.extend_from_slice(&count.to_le_bytes());
    header.extend_from_slice(&size.to_le_bytes());
    header.extend_from_slice(&body.to_le_bytes());
    header.extend_from_slice(&digest_bytes(diff_id));
    header.extend_from_slice(&digest_bytes(chain_id));
    if let Some(start) = output.get_mut(..HEADER) {
        start.copy_from_slice(&header);
    }
    output
}

/// Reads the head alone.
///
/// # Errors
/// [`Error`].
pub fn read_summary(file: &mut dyn Read) -> Result<Summary, Error> {
    let mut header = [0_u8; HEADER];
    file.read_exact(&mut header)?;
    summary(&header)
}

/// Reads a whole index.
///
/// # Errors
/// [`Error`]; no input makes it panic or take more memory than a few times its own size.
pub fn read(bytes: &[u8]) -> Result<(Summary, Vec<Entry>), Error> {
    let mut summary = summary(bytes)?;
    let mut input = Input {
        bytes,
        position: HEADER,
    };
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..summary.entries {
        let previous = entries.last().map_or(&[][..], |entry| &entry.path);
        let position = input.position;
        let entry = input.entry(previous).ok_or(Error::Damaged(position))?;
        let in_order = entries.last().is_none_or(|last| last.path < entry.path);
        if !in_order {
            return Err(Error::Damaged(position));
        }
        entries.push(entry);
    }
    if summary.version == VERSION {
        let position = input.position;
        summary.repeated = input.repeated().ok_or(Error::Damaged(position))?;
    }
    let whole = input.position == bytes.len() && summary.body == (bytes.len() - HEADER) as u64;
    if whole {
        Ok((summary, entries))
    } else {
        Err(Error::Damaged(input.position))
    }
}

fn summary(bytes: &[u8]) -> Result<Summary, Error> {
    fn field<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Error> {
        bytes
            .get(offset..offset + N)
            .and_then(|slice| slice.try_into().ok())
            .ok_or(Error::Damaged(offset))
    }
    if &field::<8>(bytes, 0)? != MAGIC {
        return Err(Error::Damaged(0));
    }
    let version = u32::from_le_bytes(field(bytes, 8)?);
    if !matches!(version, PLAIN_VERSION | VERSION) {
        return Err(Error::Version(version));
    }
    Ok(Summary {
        entries: u32::from_le_bytes(field(bytes, 12)?),
        size: u64::from_le_bytes(field(bytes, 16)?),
        body: u64::from_le_bytes(field(bytes, 24)?),
        diff_id: Digest::from_sha256(&field(bytes, 32)?),
        chain_id: Digest::from_sha256(&field(bytes, 64)?),
        repeated: Vec::new(),
        version,
    })
}

/// The 32 bytes of a digest.
#[must_use]
pub fn digest_bytes(digest: &Digest) -> [u8; 32] {
    let mut bytes = [0_u8; 32];
    let digits = digest.hex().as_bytes().chunks_exact(2);
    for (byte, pair) in bytes.iter_mut().zip(digits) {
        let text = std::str::from_utf8(pair).unwrap_or("00");
        *byte = u8::from_str_radix(text, 16).unwrap_or(0);
    }
    bytes
}

fn put_number(output: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            output.push(low);
            return;
        }
        output.push(low | 0x80);
    }
}

fn put_bytes(output: &mut Vec<u8>, bytes: &[u8]) {
    put_number(output, u64::try_from(bytes.len()).unwrap_or(0));
    output.extend_from_slice(bytes);
}

fn put_entry(output: &mut Vec<u8>, entry: &Entry) {
    let (kind, mut flags) = match &entry.kind {
        Kind::File { content } => (0, if content.is_some() { HAS_DIGEST } else { 0 }),
        Kind::Directory { opaque, implied } => {
            let opaque = if *opaque { OPAQUE } else { 0 };
            (1, opaque | if *implied { IMPLIED } else { 0 })
        }
        Kind::Symlink { .. } => (2, 0),
        Kind::HardLink { .. } => (3, 0),
        Kind::Char { .. } => (4, 0),
        Kind::Block { .. } => (5, 0),
        Kind::Fifo => (6, 0),
        Kind::Whiteout => (7, 0),
    };
    if !entry.xattrs.is_empty() {
        flags |= HAS_XATTRS;
    }
    output.extend_from_slice(&[kind, flags]);
    let (seconds, nanoseconds) = entry.mtime;
    let zigzag = ((seconds << 1) ^ (seconds >> 63)).cast_unsigned();
    for number in [
        u64::from(entry.mode),
        u64::from(entry.uid),
        u64::from(entry.gid),
        entry.size,
        zigzag,
        u64::from(nanoseconds),
    ] {
        put_number(output, number);
    }
    match &entry.kind {
        Kind::File { content } => output.extend_from_slice(content.as_ref().map_or(&[], |c| c)),
        Kind::Symlink { target } | Kind::HardLink { target } => put_bytes(output, target),
        Kind::Char { device } | Kind::Block { device } => {
            put_number(output, device.0.into());
            put_number(output, device.1.into());
        }
        Kind::Directory { .. } | Kind::Fifo | Kind::Whiteout => {}
    }
    if !entry.xattrs.is_empty() {
        put_number(output, u64::try_from(entry.xattrs.len()).unwrap_or(0));
        for (name, value) in &entry.xattrs {
            put_bytes(output, name);
            put_bytes(output, value);
        }
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.position.checked_add(count)?;
        let taken = self.bytes.get(self.position..end)?;
        self.position = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return None;
            }
            number |= low << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    fn repeated(&mut self) -> Option<Vec<Repeated>> {
        let mut all: Vec<Repeated> = Vec::new();
        for _ in 0..self.number()? {
            let path = self.bytes()?.to_vec();
            let bytes = self.number()?;
            if all.last().is_some_and(|last| last.path >= path) {
                return None;
            }
            all.push(Repeated { path, bytes });
        }
        Some(all)
    }

    fn entry(&mut self, previous: &[u8]) -> Option<Entry> {
        let shared = usize::try_from(self.number()?).ok()?;
        let rest = self.bytes()?;
        let mut path = previous.get(..shared)?.to_vec();
        path.extend_from_slice(rest);
        // PATH_MAX bounds what front coding can blow up.
        if path.len() > 1 << 16 {
            return None;
        }
        let kind = self.byte()?;
        let flags = self.byte()?;
        let (mode, uid, gid) = (self.small()?, self.small()?, self.small()?);
        let size = self.number()?;
        let zigzag = self.number()?;
        let seconds = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
        let mtime = (seconds, self.small()?);
        let kind = match kind {
            0 if flags & HAS_DIGEST != 0 => Kind::File {
                content: Some(self.take(32)?.try_into().ok()?),
            },
            0 => Kind::File { content: None },
            1 => Kind::Directory {
                opaque: flags & OPAQUE != 0,
                implied: flags & IMPLIED != 0,
            },
            2 | 3 => {
                let target = self.bytes()?.to_vec();
                if kind == 2 {
                    Kind::Symlink { target }
                } else {
                    Kind::HardLink { target }
                }
            }
            4 | 5 => {
                let device = (self.small()?, self.small()?);
                if kind == 4 {
                    Kind::Char { device }
                } else {
                    Kind::Block { device }
                }
            }
            6 => Kind::Fifo,
            7 => Kind::Whiteout,
            _ => return None,
        };
        let mut xattrs = Vec::new();
        if flags & HAS_XATTRS != 0 {
            for _ in 0..self.number()? {
                xattrs.push((self.bytes()?.to_vec(), self.bytes()?.to_vec()));
            }
        }
        Some(Entry {
            path,
            kind,
            mode,
            uid,
            gid,
            size,
            mtime,
            xattrs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: 0o755,
            uid: 1,
            gid: u32::MAX - 1,
            size: 0,
            mtime: (-5, 999_999_999),
            xattrs: vec![],
        }
    }

    fn directory() -> Kind {
        Kind::Directory {
            opaque: false,
            implied: false,
        }
    }

    fn ids() -> (Digest, Digest) {
        (
            Digest::from_sha256(&[0x0f; 32]),
            Digest::from_sha256(&[0xf0; 32]),
        )
    }

    fn paths(builder: &Builder) -> Vec<String> {
        builder
            .entries()
            .map(|entry| String::from_utf8(entry.path).unwrap())
            .collect()
    }

    #[test]
    fn a_later_entry_replaces_an_earlier_one_and_a_removed_tree_is_gone() {
        let mut builder = Builder::default();
        for path in ["b", "a", "a/x", "a.y"] {
            builder.add(&entry(path, directory()));
        }
        builder.remove(b"a");
        builder.add(&entry("a", Kind::Fifo));
        builder.add(&entry("b", Kind::Whiteout));
        assert_eq!(paths(&builder), ["a", "a.y", "b"]);
        let kinds: Vec<Kind> = builder.entries().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [Kind::Fifo, directory(), Kind::Whiteout]);
    }

    #[test]
    fn what_went_counts_at_the_path_that_was_written_again() {
        let mut builder = Builder::default();
        let file = |path, size| Entry {
            size,
            ..entry(path, Kind::File { content: None })
        };
        builder.add(&file("a/x", 5));
        builder.remove(b"a/x");
        builder.add(&file("a/x", 7));
        builder.add(&file("b", 11));
        builder.remove(b"b");
        builder.add(&file("b", 13));
        let told = |builder: &Builder| -> Vec<(String, u64)> {
            let text = |path| String::from_utf8(path).unwrap();
            let all = builder.repeated().into_iter();
            all.map(|one| (text(one.path), one.bytes)).collect()
        };
        assert_eq!(
            told(&builder),
            [("a/x".to_owned(), 5), ("b".to_owned(), 11)]
        );
        builder.remove(b"a");
        builder.add(&entry("a", Kind::Fifo));
        assert_eq!(told(&builder), [("a".to_owned(), 12), ("b".to_owned(), 11)]);
    }

    #[test]
    fn an_index_of_another_version_is_named_as_such() {
        let (diff_id, chain_id) = ids();
        let mut bytes = encode(std::iter::empty(), &[], &diff_id, &chain_id);
        bytes[8] = 9;
        assert!(matches!(read(&bytes), Err(Error::Version(9))));
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let kind = prop_oneof![
            any::<Option<[u8; 32]>>().prop_map(|content| Kind::File { content }),
            any::<(bool, bool)>().prop_map(|(opaque, implied)| Kind::Directory { opaque, implied }),
            bytes().prop_map(|target| Kind::Symlink { target }),
            bytes().prop_map(|target| Kind::HardLink { target }),
            any::<(u32, u32)>().prop_map(|device| Kind::Char { device }),
            any::<(u32, u32)>().prop_map(|device| Kind::Block { device }),
            Just(Kind::Fifo),
            Just(Kind::Whiteout),
        ];
        let xattrs = prop::collection::vec((bytes(), bytes()), 0..3);
        let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), 0..u64::MAX >> 8);
        let mtime = (any::<i64>(), any::<u32>());
        (bytes(), kind, numbers, mtime, xattrs).prop_map(|(path, kind, numbers, mtime, xattrs)| {
            Entry {
                path,
                kind,
                mode: numbers.0,
                uid: numbers.1,
                gid: numbers.2,
                size: numbers.3,
                mtime,
                xattrs,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            entries in prop::collection::vec(any_entry(), 0..20),
            repeated in prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..9), any::<u64>(), 0..4),
        ) {
            let each = |(path, bytes)| Repeated { path, bytes };
            let repeated: Vec<Repeated> = repeated.into_iter().map(each).collect();
            let mut builder = Builder::default();
            let mut newest = BTreeMap::new();
            for entry in entries {
                builder.add(&entry);
                newest.insert(entry.path.clone(), entry);
            }
            let (diff_id, chain_id) = ids();
            let bytes = encode(builder.entries(), &repeated, &diff_id, &chain_id);
            let (summary, read) = read(&bytes).unwrap();
            let expected: Vec<Entry> = newest.into_values().collect();
            prop_assert_eq!(&read, &expected);
            prop_assert_eq!(&summary.repeated, &repeated);
            prop_assert_eq!(summary.size, expected.iter().map(|e| e.size).sum::<u64>());
            prop_assert_eq!((summary.diff_id, summary.chain_id), (diff_id, chain_id));
            for length in 0..bytes.len() {
                prop_assert!(super::read(&bytes[..length]).is_err());
            }
        }

        #[test]
        fn no_input_makes_the_reader_panic(count in any::<u32>(), body in prop::collection::vec(any::<u8>(), 0..300)) {
            let (diff_id, chain_id) = ids();
            let mut bytes = encode(std::iter::empty(), &[], &diff_id, &chain_id);
            bytes[12..16].copy_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&body);
            let _ = read(&bytes);
        }
    }
}
