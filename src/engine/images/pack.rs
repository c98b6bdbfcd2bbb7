//! Writes tar archives: the other half of `tarball.rs`. An entry is an ustar header, with a PAX header before it for what
//! does not fit (POSIX.1-2024 `pax`, "ustar Interchange Format", "pax Extended Header").
//!
//! [`Packer`] walks a directory by descriptor: whoever changes the tree meanwhile cannot lead it out.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};

use super::tarball::{Entry, Kind};
use crate::engine::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::engine::model::Cancel;
use crate::engine::sys::at::{self, Dir, Stat, Xattrs};

const BLOCK: usize = 512;
const BUFFER: usize = 256 << 10;
/// Largest numbers of the header's octal fields of 8 and 12 bytes.
const MAX_SHORT: u64 = 0o7_777_777;
const MAX_LONG: u64 = 0o77_777_777_777;
const WRITE: &str = "write archive";

/// An archive as far as it is written.
pub struct Writer<'a> {
    out: &'a mut dyn Write,
    cancel: &'a Cancel,
    buffer: Vec<u8>,
    entries: u64,
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl<'a> Writer<'a> {
    /// An archive without entries.
    pub fn new(out: &'a mut dyn Write, cancel: &'a Cancel) -> Self {
        Self {
            out,
            cancel,
            buffer: vec![0; BUFFER],
            entries: 0,
        }
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The head of an entry; of a file its content must follow. Names of directories get their slash here.
    ///
    /// # Errors
    /// What writing says; [`ErrorKind::Cancelled`].
    pub fn head(&mut self, entry: &Entry) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
        self.entries += 1;
        let mut path = entry.path.clone();
        if entry.kind == Kind::Directory && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let records = records(entry, &path);
        if !records.is_empty() {
            let size = u64::try_from(records.len()).unwrap_or(u64::MAX);
            let name = [b"PaxHeaders/", path.as_slice()].concat();
            self.write(&block(b'x', &name, b"", size, &Owner::default()))?;
            self.write(&records)?;
            self.pad(size)?;
        }
        let flag = match entry.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::Char => b'3',
            Kind::Block => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        };
        let size = match (entry.kind, &entry.sparse) {
            (Kind::File, Some(pieces)) => stored_size(entry.size, pieces),
            (Kind::File, None) => entry.size,
            _ => 0,
        };
        let path = if entry.sparse.is_some() {
            sparse_name(&path)
        } else {
            path
        };
        self.write(&block(flag, &path, &entry.link, size, &Owner::of(entry)))
    }

    /// The content of a sparse file behind its head: a map, and `content`, which is its pieces with data one behind the
    /// other (GNU tar, "Storing Sparse Files", version 1.0).
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn sparse_content(
        &mut self,
        size: u64,
        pieces: &[(u64, u64)],
        content: &mut dyn Read,
        name: &[u8],
    ) -> Result<()> {
        self.write(&sparse_map(size, pieces))?;
        // The map is whole blocks.
        self.content(pieces.iter().map(|(_, length)| length).sum(), content, name)
    }

    /// The content of a file: exactly `size` bytes. One that is shorter by now is filled up with zeros, as with tar.
    ///
    /// # Errors
    /// What reading and writing say; [`ErrorKind::Cancelled`].
    pub fn content(&mut self, size: u64, content: &mut dyn Read, name: &[u8]) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let copied = self.copy(size, content, name, &mut buffer);
        self.buffer = buffer;
        copied?;
        self.pad(size)
    }

    fn copy(
        &mut self,
        size: u64,
        content: &mut dyn Read,
        name: &[u8],
        buffer: &mut [u8],
    ) -> Result<()> {
        let mut left = size;
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
            let most = usize::try_from(left).unwrap_or(BUFFER).min(buffer.len());
            let space = buffer.get_mut(..most).unwrap_or_default();
            let mut read = match content.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.attempt(|| format!("read {}", String::from_utf8_lossy(name)))?,
            };
            if read == 0 {
                space.fill(0);
                read = most;
            }
            self.write(space.get(..read).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(read).unwrap_or(left));
        }
        Ok(())
    }

    /// Two empty blocks are the end.
    ///
    /// # Errors
    /// What writing says.
    pub fn finish(mut self) -> Result<()> {
        self.write(&[0; 2 * BLOCK])?;
        self.out.flush().attempt(|| WRITE)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let over = usize::try_from(size % 512).unwrap_or(0);
        let padding = [0; BLOCK];
        let padding = padding.get(over..).filter(|_| over > 0).unwrap_or_default();
        self.write(padding)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).attempt(|| WRITE)
    }
}

/// The numbers of a header.
#[derive(Default)]
struct Owner {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: i64,
    device: (u32, u32),
}

impl Owner {
    fn of(entry: &Entry) -> Self {
        Self {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime.0,
            device: entry.device,
        }
    }
}

/// One header block; what does not fit is cut, and stands in the PAX header.
fn block(flag: u8, path: &[u8], link: &[u8], size: u64, owner: &Owner) -> [u8; BLOCK] {
    let mut block = [0_u8; BLOCK];
    let mut put = |at: usize, length: usize, bytes: &[u8]| {
        let bytes = bytes.get(..length).unwrap_or(bytes);
        if let Some(field) = block.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    };
    let short = |number: u32| format!("{:07o}\0", u64::from(number).min(MAX_SHORT));
    let time = u64::try_from(owner.mtime).unwrap_or(0).min(MAX_LONG);
    put(0, 100, path);
    put(100, 8, short(owner.mode).as_bytes());
    put(108, 8, short(owner.uid).as_bytes());
    put(116, 8, short(owner.gid).as_bytes());
    put(124, 12, format!("{:011o}\0", size.min(MAX_LONG)).as_bytes());
    put(136, 12, format!("{time:011o}\0").as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[flag]);
    put(157, 100, link);
    put(257, 8, b"ustar\x0000");
    put(329, 8, short(owner.device.0).as_bytes());
    put(337, 8, short(owner.device.1).as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let text = format!("{sum:06o}\0 ");
    if let Some(field) = block.get_mut(148..156) {
        field.copy_from_slice(text.as_bytes());
    }
    block
}

/// What the header has no room for.
fn records(entry: &Entry, path: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| record(&mut records, key, value);
    if let Some(pieces) = &entry.sparse {
        let (size, stored) = (entry.size, stored_size(entry.size, pieces));
        add(b"GNU.sparse.major", b"1");
        add(b"GNU.sparse.minor", b"0");
        add(b"GNU.sparse.name", path);
        add(b"GNU.sparse.realsize", size.to_string().as_bytes());
        if stored > MAX_LONG {
            add(b"size", stored.to_string().as_bytes());
        }
    } else if path.len() > 100 || !path.is_ascii() {
        add(b"path", path);
    }
    if entry.link.len() > 100 || !entry.link.is_ascii() {
        add(b"linkpath", &entry.link);
    }
    if entry.kind == Kind::File && entry.sparse.is_none() && entry.size > MAX_LONG {
        add(b"size", entry.size.to_string().as_bytes());
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if u64::from(id) > MAX_SHORT {
            add(key.as_bytes(), id.to_string().as_bytes());
        }
    }
    let fits = u64::try_from(entry.mtime.0).is_ok_and(|time| time <= MAX_LONG);
    if !fits || entry.mtime.1 > 0 {
        add(b"mtime", time(entry.mtime).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// Seconds as a decimal number; nanoseconds count upwards, also before 1970.
fn time((seconds, nanoseconds): (i64, u32)) -> String {
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    let text = if seconds < 0 {
        format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds)
    } else {
        format!("{seconds}.{nanoseconds:09}")
    };
    text.trim_end_matches('0').to_owned()
}

/// What a tar that knows no sparse files would call such a file: nobody takes it for the file itself.
fn sparse_name(path: &[u8]) -> Vec<u8> {
    let base = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
    let parent = path.get(..path.len() - base.len()).unwrap_or_default();
    [parent, b"GNUSparseFile.0/", base].concat()
}

/// How many pieces there are and where, a number on each line, filled up to a block. What ends with a hole has an empty
/// piece there, as GNU tar writes it.
fn sparse_map(size: u64, pieces: &[(u64, u64)]) -> Vec<u8> {
    use std::fmt::Write as _;
    let end = pieces.last().map_or(0, |(offset, length)| offset + length);
    let last = (end < size).then_some((size, 0));
    let mut text = format!("{}\n", pieces.len() + usize::from(last.is_some()));
    for (offset, length) in pieces.iter().copied().chain(last) {
        let _ = write!(text, "{offset}\n{length}\n");
    }
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().div_ceil(BLOCK) * BLOCK, 0);
    bytes
}

/// Bytes that a sparse file has in the archive.
fn stored_size(size: u64, pieces: &[(u64, u64)]) -> u64 {
    let map = u64::try_from(sparse_map(size, pieces).len()).unwrap_or(u64::MAX);
    pieces
        .iter()
        .fold(map, |sum, (_, length)| sum.saturating_add(*length))
}

/// `27 key=value\n`: the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Packs what directories hold.
#[derive(Debug)]
pub struct Packer<'a, 'b> {
    writer: &'b mut Writer<'a>,
    /// Files with several names by device and inode, and the first of them.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a, 'b> Packer<'a, 'b> {
    /// Packs into an archive.
    pub fn new(writer: &'b mut Writer<'a>) -> Self {
        Self {
            writer,
            linked: HashMap::new(),
        }
    }

    /// The archive, for entries of the caller's own.
    pub fn writer(&mut self) -> &mut Writer<'a> {
        self.writer
    }

    /// Everything in a directory and below it, parents first, names sorted; `called` stands in front of each name, and the
    /// directory itself is packed if that is not empty. Sockets are left out, and what goes away meanwhile;
    /// of procfs and its like that are mounted below there is the mount point alone.
    ///
    /// # Errors
    /// What reading and writing say.
    pub fn tree(&mut self, root: &Dir, called: &[u8]) -> Result<()> {
        if !called.is_empty() {
            self.directory(root, called)?;
        }
        let mut todo = vec![Vec::new()];
        while let Some(path) = todo.pop() {
            let Some(dir) = root.find_dir(&path)? else {
                continue;
            };
            let mut below = Vec::new();
            for name in dir.names()? {
                let inner = join(&path, &name);
                if self.entry(&dir, &name, &join(called, &inner))? && !begins_made_up(&dir, &name)?
                {
                    below.push(inner);
                }
            }
            // The first of them next.
            todo.extend(below.into_iter().rev());
        }
        Ok(())
    }

    /// One entry of a directory, called something in the archive; whether it is a directory, whose content is the caller's
    /// business.
    ///
    /// # Errors
    /// As [`Self::tree`].
    pub fn entry(&mut self, dir: &Dir, name: &[u8], called: &[u8]) -> Result<bool> {
        let Some(stat) = dir.stat(name)? else {
            return Ok(false);
        };
        match stat.kind {
            at::Kind::Directory => {
                let Some(inner) = dir.find_dir(name)? else {
                    return Ok(false);
                };
                self.directory(&inner, called)?;
                Ok(true)
            }
            at::Kind::File => {
                let file = match dir.open_looked_at(name) {
                    // It is something else by now, or gone.
                    Err(error) if is_passing(&error) => return Ok(false),
                    other => other?,
                };
                self.file(file, called).map(|()| false)
            }
            at::Kind::Symlink => {
                let link = match dir.read_link(name) {
                    Err(error) if is_passing(&error) => return Ok(false),
                    other => other?,
                };
                let entry = Entry {
                    link,
                    ..head(called, Kind::Symlink, &stat, Vec::new())
                };
                self.writer.head(&entry).map(|()| false)
            }
            at::Kind::Char => self.node(called, Kind::Char, &stat),
            at::Kind::Block => self.node(called, Kind::Block, &stat),
            at::Kind::Fifo => self.node(called, Kind::Fifo, &stat),
            at::Kind::Socket => Ok(false),
        }
    }

    /// The directory itself.
    ///
    /// # Errors
    /// As [`Self::tree`].
    pub fn directory(&mut self, dir: &Dir, called: &[u8]) -> Result<()> {
        let (stat, xattrs) = (dir.stat_self()?, dir.own_xattrs()?);
        self.writer
            .head(&head(called, Kind::Directory, &stat, xattrs))
    }

    /// A regular file that is open.
    ///
    /// # Errors
    /// As [`Self::tree`].
    pub fn file(&mut self, mut file: File, called: &[u8]) -> Result<()> {
        let what = || format!("examine {}", String::from_utf8_lossy(called));
        let stat = at::file_stat(&file).attempt(what)?;
        let first = (stat.links > 1)
            .then(|| self.linked.get(&(stat.device, stat.inode)).cloned())
            .flatten();
        if let Some(link) = first {
            let entry = Entry {
                link,
                ..head(called, Kind::HardLink, &stat, Vec::new())
            };
            return self.writer.head(&entry);
        }
        let xattrs = at::file_xattrs(&file).attempt(what)?;
        let entry = head(called, Kind::File, &stat, xattrs);
        self.writer.head(&entry)?;
        self.writer.content(entry.size, &mut file, called)?;
        if stat.links > 1 {
            self.linked
                .insert((stat.device, stat.inode), called.to_vec());
        }
        Ok(())
    }

    fn node(&mut self, called: &[u8], kind: Kind, stat: &Stat) -> Result<bool> {
        let entry = head(called, kind, stat, Vec::new());
        self.writer.head(&entry).map(|()| false)
    }
}

/// Whether a file system that the kernel makes up is mounted there.
fn begins_made_up(dir: &Dir, name: &[u8]) -> Result<bool> {
    let Some(inner) = dir.find_dir(name)? else {
        return Ok(false);
    };
    Ok(inner.is_made_up()? && !dir.is_made_up()?)
}

/// Somebody changed the tree between two looks at it.
fn is_passing(error: &Error) -> bool {
    const ELOOP: i32 = 40;
    let changed = error.raw_os_error() == Some(ELOOP);
    changed || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput)
}

fn head(called: &[u8], kind: Kind, stat: &Stat, xattrs: Xattrs) -> Entry {
    Entry {
        path: called.to_vec(),
        link: Vec::new(),
        kind,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        size: if kind == Kind::File { stat.size } else { 0 },
        // Whole seconds, as Docker's archives have them: they need no PAX header.
        mtime: (stat.mtime.0, 0),
        device: match kind {
            Kind::Char | Kind::Block => stat.rdev,
            _ => (0, 0),
        },
        xattrs: xattrs
            .into_iter()
            .filter(|(name, _)| is_portable(name))
            .collect(),
        sparse: None,
    }
}

/// Attributes that mean something elsewhere: not those of the overlay, nor this host's labels and checksums.
fn is_portable(name: &[u8]) -> bool {
    let local: [&[u8]; 5] = [
        b"trusted.overlay.",
        b"user.overlay.",
        b"security.selinux",
        b"security.ima",
        b"security.evm",
    ];
    !local.iter().any(|prefix| name.starts_with(prefix))
}

/// Two parts of a path; an empty one adds no slash.
pub(super) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match (parent, name) {
        (b"", name) => name.to_vec(),
        (parent, b"") => parent.to_vec(),
        (parent, name) if parent.ends_with(b"/") => [parent, name].concat(),
        (parent, name) => [parent, b"/", name].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::images::tarball::Reader;
    use std::os::unix::fs::PermissionsExt;

    fn read_all(bytes: &[u8]) -> Vec<(Entry, Vec<u8>)> {
        let mut reader = Reader::new(bytes);
        let mut all = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let mut content = Vec::new();
            let mut buffer = [0; 100];
            loop {
                match reader.read_data(&mut buffer).unwrap() {
                    0 => break,
                    n => content.extend_from_slice(&buffer[..n]),
                }
            }
            all.push((entry, content));
        }
        all
    }

    fn packed(root: &std::path::Path, called: &[u8]) -> Vec<u8> {
        let (mut bytes, cancel) = (Vec::new(), Cancel::new());
        let mut writer = Writer::new(&mut bytes, &cancel);
        let dir = Dir::open(root).unwrap();
        Packer::new(&mut writer).tree(&dir, called).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn what_is_packed_reads_back() {
        let root = tempfile::tempdir().unwrap();
        let long = "n".repeat(120);
        std::fs::create_dir(root.path().join("d")).unwrap();
        std::fs::write(root.path().join("d").join(&long), b"long name").unwrap();
        std::fs::write(root.path().join("a"), vec![7; 1000]).unwrap();
        std::fs::hard_link(root.path().join("a"), root.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/etc/\u{e4}", root.path().join("s")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o4711);
        std::fs::set_permissions(root.path().join("a"), mode).unwrap();
        let bytes = packed(root.path(), b"top");
        assert_eq!(bytes.len() % BLOCK, 0);
        let all = read_all(&bytes);
        let names: Vec<String> = all
            .iter()
            .map(|(entry, _)| String::from_utf8_lossy(&entry.path).into_owned())
            .collect();
        assert_eq!(
            names,
            [
                "top/",
                "top/a",
                "top/b",
                "top/d/",
                "top/s",
                &format!("top/d/{long}")
            ]
        );
        assert_eq!(all[1].0.mode, 0o4711);
        assert_eq!(all[1].1, vec![7; 1000]);
        assert_eq!(
            (all[2].0.kind, all[2].0.link.as_slice()),
            (Kind::HardLink, &b"top/a"[..])
        );
        assert_eq!(all[4].0.link, "/etc/\u{e4}".as_bytes());
        assert_eq!(all[5].1, b"long name");
    }

    #[test]
    fn numbers_that_do_not_fit_go_into_the_pax_header() {
        let entry = Entry {
            path: b"f".to_vec(),
            link: Vec::new(),
            kind: Kind::Directory,
            mode: 0o755,
            uid: 4_000_000_000,
            gid: 3_000_000,
            size: 0,
            mtime: (-5, 0),
            device: (0, 0),
            xattrs: vec![(b"user.x".to_vec(), b"a\n\0b".to_vec())],
            sparse: None,
        };
        let (mut bytes, cancel) = (Vec::new(), Cancel::new());
        let mut writer = Writer::new(&mut bytes, &cancel);
        writer.head(&entry).unwrap();
        writer.finish().unwrap();
        let all = read_all(&bytes);
        let read = &all[0].0;
        assert_eq!(
            (read.uid, read.gid, read.mtime.0),
            (entry.uid, entry.gid, -5)
        );
        assert_eq!(read.xattrs, entry.xattrs);
    }

    fn plain(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: path.to_vec(),
            link: Vec::new(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: (0, 0),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    #[test]
    fn a_sparse_file_reads_back_with_its_holes() {
        let long = [b"d/", "n".repeat(120).as_bytes()].concat();
        let data = |offset: u64| vec![u8::try_from(offset / 4096).unwrap() + 1; 4096];
        for (path, size, pieces) in [
            (&b"a"[..], 1 << 40, vec![(0, 4096), (40_960, 4096)]),
            (long.as_slice(), 45_056, vec![(40_960, 4096)]),
            (b"d/none", 5000, vec![]),
        ] {
            let entry = Entry {
                size,
                sparse: Some(pieces.clone()),
                ..plain(path, Kind::File)
            };
            let (mut bytes, cancel) = (Vec::new(), Cancel::new());
            let mut writer = Writer::new(&mut bytes, &cancel);
            writer.head(&entry).unwrap();
            let stored: Vec<u8> = pieces
                .iter()
                .flat_map(|(offset, _)| data(*offset))
                .collect();
            writer
                .sparse_content(size, &pieces, &mut stored.as_slice(), path)
                .unwrap();
            writer.head(&plain(b"after", Kind::Fifo)).unwrap();
            writer.finish().unwrap();
            let all = read_all(&bytes);
            let (read, content) = &all[0];
            assert_eq!((read.path.as_slice(), read.size), (path, size));
            let map = read.sparse.clone().unwrap();
            let with_data: Vec<_> = map.into_iter().filter(|(_, length)| *length > 0).collect();
            assert_eq!(with_data, pieces);
            assert_eq!(*content, stored);
            assert_eq!(all[1].0.path, b"after");
        }
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        for mtime in [
            (7, 0),
            (7, 1),
            (7, 500_000_000),
            (-1, 750_000_000),
            (-2, 0),
            (-2, 1),
        ] {
            let entry = Entry {
                mtime,
                ..plain(b"f", Kind::Fifo)
            };
            let (mut bytes, cancel) = (Vec::new(), Cancel::new());
            let mut writer = Writer::new(&mut bytes, &cancel);
            writer.head(&entry).unwrap();
            writer.finish().unwrap();
            assert_eq!(read_all(&bytes)[0].0.mtime, mtime);
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for (value, expect) in [("x", "8 ab=x\n".len() + 1), ("123456789", 16)] {
            let mut records = Vec::new();
            record(&mut records, b"ab", value.as_bytes());
            let text = String::from_utf8(records).unwrap();
            let length: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(length, text.len());
            assert!(text.len() <= expect);
        }
    }

    #[test]
    fn a_file_that_shrinks_is_filled_up() {
        let (mut bytes, cancel) = (Vec::new(), Cancel::new());
        let mut writer = Writer::new(&mut bytes, &cancel);
        writer.content(600, &mut &b"abc"[..], b"f").unwrap();
        writer.finish().unwrap();
        assert_eq!(bytes.len(), 1024 + 1024);
        assert_eq!(&bytes[..4], b"abc\0");
    }
}
