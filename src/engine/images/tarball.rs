//! A strict streaming tar reader: ustar, GNU and PAX headers become [`Entry`] values, one at a time, in constant memory.
//! What two tar programs could read differently is refused rather than guessed. Where entries go is for `unpack.rs`.
//!
//! Formats: POSIX.1-2024 `pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format",
//! "Storing Sparse Files".

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Largest extended header or long name: as Go's archive/tar, which Docker reads with.
const SPECIAL_LIMIT: u64 = 1 << 20;
/// Largest number of pieces of one sparse file: 64 Ki pieces are 1 MiB of map.
const SPARSE_LIMIT: usize = 1 << 16;

/// Pieces of a sparse file: offset and length.
pub type Pieces = Vec<(u64, u64)>;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    File,
    /// Another name of an earlier file.
    HardLink,
    /// Symbolic link.
    Symlink,
    /// Character device.
    Char,
    /// Block device.
    Block,
    /// Directory.
    Directory,
    /// Named pipe.
    Fifo,
}

/// One entry; its content is read from the [`Reader`] until the next one is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name as the archive has it, never empty, without NUL.
    pub path: Vec<u8>,
    /// Target of a hard or symbolic link.
    pub link: Vec<u8>,
    /// What it makes.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of the file once unpacked, holes included.
    pub size: u64,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes (`SCHILY.xattr.`).
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Pieces with data, as offset and length, of a sparse file.
    pub sparse: Option<Pieces>,
}

/// Why an archive cannot be read. Positions are bytes from its (uncompressed) start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ends in the middle.
    #[error("the archive is cut short at byte {0}")]
    Cut(u64),
    /// It ends before its first header does.
    #[error("no tar archive: it has {0} bytes, a header has {BLOCK}")]
    Short(usize),
    /// Not a header.
    #[error("{}not a tar header at byte {at}: {why}", if *at == 0 { "no tar archive: " } else { "" })]
    Header {
        /// Where.
        at: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// A malformed extended header.
    #[error("malformed PAX header at byte {at}: {why}")]
    Pax {
        /// Where.
        at: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// A malformed or too large sparse map.
    #[error("malformed sparse map at byte {at}: {why}")]
    Sparse {
        /// Where.
        at: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// A type that has no meaning in an image.
    #[error("entry type {kind:?} at byte {at} is not supported")]
    Type {
        /// Where.
        at: u64,
        /// The type flag.
        kind: char,
    },
}

impl Error {
    /// The same of an archive whose first bytes another reader has read.
    #[must_use]
    pub fn behind(self, offset: u64) -> Self {
        match self {
            Self::Short(length) if offset > 0 => Self::Cut(offset + length as u64),
            Self::Cut(at) => Self::Cut(at + offset),
            Self::Header { at, why } => Self::Header {
                at: at + offset,
                why,
            },
            Self::Pax { at, why } => Self::Pax {
                at: at + offset,
                why,
            },
            Self::Sparse { at, why } => Self::Sparse {
                at: at + offset,
                why,
            },
            Self::Type { at, kind } => Self::Type {
                at: at + offset,
                kind,
            },
            Self::Io(_) | Self::Short(_) => self,
        }
    }
}

/// The result of reading.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Reads entries one after another.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    position: u64,
    /// Stored bytes of the current entry that were not read yet.
    remaining: u64,
    /// Padding behind them.
    padding: u64,
    ended: bool,
    /// Neither padding nor an end marker was missing so far.
    complete: bool,
}

impl<R: Read> Reader<R> {
    /// A reader at the start of an archive.
    pub fn new(input: R) -> Self {
        Self {
            input,
            position: 0,
            remaining: 0,
            padding: 0,
            ended: false,
            complete: true,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The end was reached without its marker, or in a file's padding: more may have followed.
    pub fn ends_early(&self) -> bool {
        !self.complete
    }

    /// The source, behind the end of the archive if that was reached.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The next entry; `None` at the end of the archive. What was not read of the current one is skipped.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing can be read afterwards.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_rest()?;
        let mut extended: Option<Extended> = None;
        let mut long_name: Option<Vec<u8>> = None;
        let mut long_link: Option<Vec<u8>> = None;
        loop {
            let at = self.position;
            let Some(block) = self.read_header()? else {
                self.ended = true;
                if extended.is_some() || long_name.is_some() || long_link.is_some() {
                    return Err(Error::Cut(at));
                }
                return Ok(None);
            };
            let header = Header { block: &block, at };
            match header.type_flag() {
                b'x' => {
                    let records = self.read_special(&header)?;
                    if extended.is_some() {
                        return Err(Error::Pax {
                            at,
                            why: "two extended headers for one entry",
                        });
                    }
                    extended = Some(Extended::parse(&records, at)?);
                }
                b'g' => {
                    let records = self.read_special(&header)?;
                    // Docker does not apply global records, GNU tar does: those that decide where data is or what
                    // it is called are refused, the rest (a comment, usually) is nothing to us.
                    if Extended::parse(&records, at)?.decides_layout() {
                        return Err(Error::Pax {
                            at,
                            why: "a global header must not set names or sizes",
                        });
                    }
                }
                b'L' => set_once(&mut long_name, self.read_long(&header)?, at)?,
                b'K' => set_once(&mut long_link, self.read_long(&header)?, at)?,
                // A volume label: no entry, no data.
                b'V' => {}
                _ => {
                    let extended = extended.unwrap_or_default();
                    return self
                        .entry(&header, extended, long_name, long_link)
                        .map(Some);
                }
            }
        }
    }

    /// Stored bytes of the current entry that are still to be read.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Reads stored bytes of the current entry; 0 at its end.
    ///
    /// # Errors
    /// [`Error::Cut`] if the archive ends before the entry does.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = usize::try_from(self.remaining)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|b| !b.is_empty()) else {
            return Ok(0);
        };
        let read = read_some(&mut self.input, buffer)?;
        if read == 0 {
            return Err(Error::Cut(self.position));
        }
        let count = u64::try_from(read).unwrap_or(u64::MAX);
        self.position += count;
        self.remaining = self.remaining.saturating_sub(count);
        Ok(read)
    }

    fn skip_rest(&mut self) -> Result<()> {
        let mut scratch = [0_u8; 8192];
        while self.read_data(&mut scratch)? > 0 {}
        while self.padding > 0 {
            let wanted = usize::try_from(self.padding).unwrap_or(BLOCK).min(BLOCK);
            let read = match scratch.get_mut(..wanted) {
                Some(buffer) => read_some(&mut self.input, buffer)?,
                None => 0,
            };
            if read == 0 {
                // The last file's padding may be missing with all that follows, as where umoci inserts a file with an opaque
                // directory; Go's archive/tar, and with it Docker, reads on.
                self.padding = 0;
                self.complete = false;
                break;
            }
            let count = u64::try_from(read).unwrap_or(u64::MAX);
            self.position += count;
            self.padding = self.padding.saturating_sub(count);
        }
        Ok(())
    }

    /// One header block with a valid checksum; `None` at the end: a zero block followed by another one, or the end
    /// of the source between two entries.
    fn read_header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let at = self.position;
        let Some(block) = self.read_block()? else {
            self.complete = false;
            return Ok(None);
        };
        if block.iter().any(|b| *b != 0) {
            Header { block: &block, at }.check_sum()?;
            return Ok(Some(block));
        }
        match self.read_block()? {
            Some(next) if next.iter().any(|b| *b != 0) => Err(Error::Header {
                at,
                why: "a block of zeros between entries",
            }),
            _ => Ok(None),
        }
    }

    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0_u8; BLOCK];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = read_some(&mut self.input, rest)?;
            if read == 0 {
                break;
            }
            filled += read;
            self.position += u64::try_from(read).unwrap_or(u64::MAX);
        }
        match filled {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ if self.position < BLOCK as u64 => Err(Error::Short(filled)),
            _ => Err(Error::Cut(self.position)),
        }
    }

    fn begin_data(&mut self, stored: u64, at: u64) -> Result<()> {
        if stored > i64::MAX.unsigned_abs() {
            return Err(Error::Header {
                at,
                why: "the size is impossible",
            });
        }
        self.remaining = stored;
        self.padding = stored.next_multiple_of(BLOCK as u64) - stored;
        Ok(())
    }

    fn read_special(&mut self, header: &Header<'_>) -> Result<Vec<u8>> {
        let size = header.size()?;
        if size > SPECIAL_LIMIT {
            return Err(Error::Header {
                at: header.at,
                why: "an extended header or long name is larger than 1 MiB",
            });
        }
        self.begin_data(size, header.at)?;
        let mut content = Vec::new();
        let mut buffer = [0_u8; 4096];
        loop {
            let read = self.read_data(&mut buffer)?;
            if read == 0 {
                break;
            }
            content.extend_from_slice(buffer.get(..read).unwrap_or(&[]));
        }
        self.skip_rest()?;
        Ok(content)
    }

    fn read_long(&mut self, header: &Header<'_>) -> Result<Vec<u8>> {
        let content = self.read_special(header)?;
        let name = until_nul(&content).to_vec();
        if name.is_empty() {
            return Err(Error::Header {
                at: header.at,
                why: "a long name is empty",
            });
        }
        Ok(name)
    }

    fn entry(
        &mut self,
        header: &Header<'_>,
        extended: Extended,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry> {
        let at = header.at;
        let wrong = |why| Error::Header { at, why };
        if long_name.is_some() && extended.path.is_some()
            || long_link.is_some() && extended.link.is_some()
        {
            return Err(Error::Pax {
                at,
                why: "the name is given twice, by GNU and by PAX",
            });
        }
        let path = extended
            .sparse
            .name
            .clone()
            .or(extended.path)
            .or(long_name)
            .unwrap_or_else(|| header.path());
        if path.is_empty() {
            return Err(wrong("the name is empty"));
        }
        let link = extended
            .link
            .or(long_link)
            .unwrap_or_else(|| until_nul(header.field(157, 100)).to_vec());
        let flag = header.type_flag();
        let kind = match flag {
            // Version 7 tar marks a directory by its name alone.
            0 | b'0' if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Char,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return Err(Error::Type {
                    at,
                    kind: char::from(other),
                });
            }
        };
        // PAX size beats the header's, whatever the header says: reading them differently is how entries are
        // smuggled (CVE-2025-62518).
        let stated = match extended.size {
            Some(size) => size,
            None => header.size()?,
        };
        // Only files have content; the field is not a length for the other types (POSIX: "ignored").
        let stored = if kind == Kind::File { stated } else { 0 };
        if matches!(kind, Kind::HardLink | Kind::Symlink) && link.is_empty() {
            return Err(wrong("a link without a target"));
        }
        let id = |extended: Option<u32>, offset, why| match extended {
            Some(id) => Ok(id),
            None => u32::try_from(header.number(offset, 8)?)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or(wrong(why)),
        };
        let device = if matches!(kind, Kind::Char | Kind::Block) {
            let number = |offset| {
                u32::try_from(header.number(offset, 8)?)
                    .or(Err(wrong("the device number is impossible")))
            };
            (number(329)?, number(337)?)
        } else {
            (0, 0)
        };
        let mode = header.number(100, 8)?;
        let mode = u32::try_from(mode & 0o7777).or(Err(wrong("the mode is impossible")))?;
        let mtime = match extended.mtime {
            Some(mtime) => mtime,
            None => (header.number(136, 12)?, 0),
        };
        let uid = id(extended.uid, 108, "the owner is impossible")?;
        let gid = id(extended.gid, 116, "the group is impossible")?;
        self.begin_data(stored, at)?;
        let (size, sparse) = if kind == Kind::File {
            self.sparse_map(header, extended.sparse, stored)?
        } else {
            (0, None)
        };
        let mut xattrs = extended.xattrs;
        // Each writer has an order of its own.
        xattrs.sort_unstable();
        Ok(Entry {
            path,
            link,
            kind,
            mode,
            uid,
            gid,
            size,
            mtime,
            device,
            xattrs,
            sparse,
        })
    }

    fn sparse_map(
        &mut self,
        header: &Header<'_>,
        records: SparseRecords,
        stored: u64,
    ) -> Result<(u64, Option<Pieces>)> {
        let at = header.at;
        let wrong = |why| Error::Sparse { at, why };
        let (size, map) = if header.type_flag() == b'S' {
            self.old_gnu_map(header)?
        } else if records.major == Some(1) {
            if records.minor.unwrap_or(0) != 0 {
                return Err(wrong("an unknown version"));
            }
            let size = records.real_size.ok_or(wrong("no real size"))?;
            (size, self.pax_1_map(at)?)
        } else if records.major.unwrap_or(0) > 1 {
            return Err(wrong("an unknown version"));
        } else if let Some(size) = records.real_size {
            if records.pending_offset.is_some() {
                return Err(wrong("an offset without a length"));
            }
            (size, records.map)
        } else {
            return Ok((stored, None));
        };
        let mut end = 0;
        let mut sum = 0_u64;
        for (offset, length) in &map {
            if *offset < end {
                return Err(wrong("pieces overlap or are out of order"));
            }
            end = offset
                .checked_add(*length)
                .filter(|end| *end <= size)
                .ok_or(wrong("a piece is behind the end of the file"))?;
            sum = sum.saturating_add(*length);
        }
        if sum != self.remaining {
            return Err(wrong("the pieces do not add up to the stored size"));
        }
        if size > i64::MAX.unsigned_abs() {
            return Err(wrong("the size is impossible"));
        }
        Ok((size, Some(map)))
    }

    /// Type `S`: four pieces in the header, 21 in each block that follows it.
    fn old_gnu_map(&mut self, header: &Header<'_>) -> Result<(u64, Pieces)> {
        let at = header.at;
        let mut map = Vec::new();
        let mut full = gnu_pieces(header.field(386, 96), at, &mut map)?;
        let mut more = header.field(482, 1) == [1];
        let size = unsigned(number(header.field(483, 12), at)?, at)?;
        while more {
            let block = self.read_block()?.ok_or(Error::Cut(self.position))?;
            let follow = Header { block: &block, at };
            if full {
                full = gnu_pieces(follow.field(0, 504), at, &mut map)?;
            }
            more = follow.field(504, 1) == [1];
            if map.len() > SPARSE_LIMIT {
                return Err(Error::Sparse {
                    at,
                    why: "more pieces than are supported",
                });
            }
        }
        Ok((size, map))
    }

    /// Version 1.0: decimal numbers, one per line, at the start of the data, padded to a block.
    fn pax_1_map(&mut self, at: u64) -> Result<Vec<(u64, u64)>> {
        let wrong = |why| Error::Sparse { at, why };
        let mut numbers: Vec<u64> = Vec::new();
        let mut wanted: Option<usize> = None;
        let mut digits = 0;
        let mut current = 0_u64;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0_u8; BLOCK];
            let mut filled = 0;
            while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                let read = self.read_data(rest)?;
                if read == 0 {
                    return Err(wrong("it ends early"));
                }
                filled += read;
            }
            for byte in block {
                if wanted.is_some_and(|wanted| numbers.len() >= wanted) {
                    break;
                }
                match byte {
                    b'0'..=b'9' if digits < 20 => {
                        digits += 1;
                        current = current
                            .checked_mul(10)
                            .and_then(|c| c.checked_add(u64::from(byte - b'0')))
                            .ok_or(wrong("a number is too large"))?;
                    }
                    b'\n' if digits > 0 => {
                        if wanted.is_none() {
                            let count = usize::try_from(current)
                                .ok()
                                .filter(|count| *count <= SPARSE_LIMIT)
                                .ok_or(wrong("more pieces than are supported"))?;
                            wanted = Some(count * 2);
                        } else {
                            numbers.push(current);
                        }
                        (digits, current) = (0, 0);
                    }
                    _ => return Err(wrong("not a decimal number")),
                }
            }
        }
        Ok(numbers
            .chunks_exact(2)
            .filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
            .collect())
    }
}

fn set_once(place: &mut Option<Vec<u8>>, value: Vec<u8>, at: u64) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::Header {
            at,
            why: "two long names for one entry",
        }),
    }
}

fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or(bytes)
}

/// Appends the pieces of one table of 24-byte rows; `false` once an empty row was met.
fn gnu_pieces(table: &[u8], at: u64, map: &mut Vec<(u64, u64)>) -> Result<bool> {
    for row in table.chunks_exact(24) {
        let (offset, length) = row.split_at(12);
        if offset.first() == Some(&0) || length.first() == Some(&0) {
            return Ok(false);
        }
        let piece = |field| unsigned(number(field, at)?, at);
        map.push((piece(offset)?, piece(length)?));
    }
    Ok(true)
}

fn unsigned(value: i64, at: u64) -> Result<u64> {
    u64::try_from(value).or(Err(Error::Header {
        at,
        why: "a negative size",
    }))
}

/// Octal digits with spaces in front and a space or NUL behind, or GNU's base-256: the first byte is 0x80 (positive)
/// or 0xff (negative), the rest a big-endian number.
fn number(field: &[u8], at: u64) -> Result<i64> {
    let wrong = || Error::Header {
        at,
        why: "a field is not a number",
    };
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            let negative = first & 0x40 != 0;
            let mut value: i128 = if negative { -1 } else { 0 };
            for (position, byte) in field.iter().enumerate() {
                let byte = if position == 0 && !negative {
                    byte & 0x7f
                } else {
                    *byte
                };
                value = value
                    .checked_mul(256)
                    .map(|v| v | i128::from(byte))
                    .ok_or_else(wrong)?;
            }
            i64::try_from(value).or(Err(wrong()))
        }
        _ => {
            let text = field.trim_ascii_start();
            let end = text
                .iter()
                .position(|b| !b.is_ascii_digit())
                .unwrap_or(text.len());
            let (digits, rest) = text.split_at(end);
            if !rest.iter().all(|b| matches!(b, 0 | b' ')) {
                return Err(wrong());
            }
            digits.iter().try_fold(0_i64, |value, digit| match digit {
                b'0'..=b'7' => value
                    .checked_mul(8)
                    .and_then(|v| v.checked_add(i64::from(digit - b'0')))
                    .ok_or_else(wrong),
                _ => Err(wrong()),
            })
        }
    }
}

struct Header<'a> {
    block: &'a [u8; BLOCK],
    at: u64,
}

impl Header<'_> {
    fn field(&self, offset: usize, length: usize) -> &[u8] {
        self.block.get(offset..offset + length).unwrap_or(&[])
    }

    fn number(&self, offset: usize, length: usize) -> Result<i64> {
        number(self.field(offset, length), self.at)
    }

    fn type_flag(&self) -> u8 {
        self.block.get(156).copied().unwrap_or(0)
    }

    fn size(&self) -> Result<u64> {
        unsigned(self.number(124, 12)?, self.at)
    }

    /// The name; with POSIX's prefix, which GNU's magic does not have.
    fn path(&self) -> Vec<u8> {
        let name = until_nul(self.field(0, 100));
        let prefix = until_nul(self.field(345, 155));
        if self.field(257, 6) != b"ustar\0" || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    /// The sum of all bytes, with the field itself as spaces; some old programs summed signed bytes.
    fn check_sum(&self) -> Result<()> {
        let wrong = |why| Error::Header { at: self.at, why };
        let stated = self
            .number(148, 8)
            .or(Err(wrong("the checksum is not a number")))?;
        let mut unsigned = 0_i64;
        let mut signed = 0_i64;
        for (offset, byte) in self.block.iter().enumerate() {
            let byte = if (148..156).contains(&offset) {
                b' '
            } else {
                *byte
            };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if stated == unsigned || stated == signed {
            Ok(())
        } else {
            Err(wrong("the checksum is wrong"))
        }
    }
}

/// Records of a PAX extended header that mean something to us.
#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: SparseRecords,
}

#[derive(Debug, Default)]
struct SparseRecords {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    real_size: Option<u64>,
    map: Vec<(u64, u64)>,
    pending_offset: Option<u64>,
}

impl Extended {
    fn decides_layout(&self) -> bool {
        self.path.is_some()
            || self.link.is_some()
            || self.size.is_some()
            || self.sparse.major.is_some()
            || self.sparse.name.is_some()
            || self.sparse.real_size.is_some()
            || !self.sparse.map.is_empty()
    }

    /// `LENGTH KEY=VALUE\n`, LENGTH being the decimal length of the whole record. Anything else is refused: skipping a
    /// malformed record is how programs come to disagree on an archive (CVE-2026-32766).
    fn parse(mut records: &[u8], at: u64) -> Result<Self> {
        let wrong = |why| Error::Pax { at, why };
        let mut extended = Self::default();
        while !records.is_empty() {
            let space = records
                .iter()
                .position(|b| *b == b' ')
                .filter(|space| (1..=7).contains(space))
                .ok_or(wrong("a record has no length"))?;
            let length = decimal(records.get(..space).unwrap_or(&[]))
                .and_then(|length| usize::try_from(length).ok())
                .ok_or(wrong("a record's length is not a number"))?;
            let body = records
                .get(space + 1..length)
                .ok_or(wrong("a record's length is wrong"))?;
            let body = body
                .strip_suffix(b"\n")
                .ok_or(wrong("a record does not end with a newline"))?;
            let equals = body
                .iter()
                .position(|b| *b == b'=')
                .filter(|equals| *equals > 0)
                .ok_or(wrong("a record has no key"))?;
            let (key, value) = body.split_at(equals);
            let value = value.get(1..).unwrap_or(&[]);
            extended.record(key, value).map_err(wrong)?;
            records = records.get(length..).unwrap_or(&[]);
        }
        Ok(extended)
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let not_decimal = "a value is not a decimal number";
        if key.contains(&0) {
            return Err("a key holds a NUL");
        }
        let text = || {
            if value.contains(&0) {
                Err("a name holds a NUL")
            } else {
                // An empty value takes the record back (POSIX).
                Ok(Some(value.to_vec()).filter(|value| !value.is_empty()))
            }
        };
        let count = || {
            if value.is_empty() {
                return Ok(None);
            }
            decimal(value).map(Some).ok_or(not_decimal)
        };
        let id = || match count()? {
            None => Ok(None),
            Some(id) => u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .map(Some)
                .ok_or("an owner does not fit 32 bits"),
        };
        match key {
            b"path" => self.path = text()?,
            b"linkpath" => self.link = text()?,
            b"size" => self.size = count()?,
            b"uid" => self.uid = id()?,
            b"gid" => self.gid = id()?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value).ok_or("a time is not a decimal number")?),
            b"GNU.sparse.major" => self.sparse.major = count()?,
            b"GNU.sparse.minor" => self.sparse.minor = count()?,
            b"GNU.sparse.name" => self.sparse.name = text()?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = count()?,
            b"GNU.sparse.offset" => {
                if self.sparse.pending_offset.is_some() {
                    return Err("a sparse offset without a length");
                }
                self.sparse.pending_offset = count()?;
            }
            b"GNU.sparse.numbytes" => {
                let offset = self.sparse.pending_offset.take();
                let offset = offset.ok_or("a sparse length without an offset")?;
                let length = count()?.ok_or(not_decimal)?;
                self.sparse.map.push((offset, length));
            }
            b"GNU.sparse.map" => {
                let numbers: Option<Vec<u64>> = value.split(|b| *b == b',').map(decimal).collect();
                let numbers = numbers.ok_or(not_decimal)?;
                if numbers.len() % 2 != 0 {
                    return Err("a sparse map of odd length");
                }
                self.sparse.map = numbers
                    .chunks_exact(2)
                    .filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
                    .collect();
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if name.is_empty() {
                        return Err("an attribute without a name");
                    }
                    self.xattrs.retain(|(known, _)| known != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    text.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// `[-]SECONDS[.FRACTION]` as seconds (rounded down) and nanoseconds.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut nanoseconds = 0_u32;
    if let Some(fraction) = parts.next() {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
        for digit in digits {
            nanoseconds = nanoseconds * 10 + u32::from(digit - b'0');
        }
    }
    Some(match (negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

/// A file with its padding, as an archive has it.
#[cfg(test)]
pub(super) fn sample(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = [0; BLOCK];
    header[..name.len()].copy_from_slice(name);
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut file = [header.as_slice(), data].concat();
    file.resize(file.len().next_multiple_of(BLOCK), 0);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header block made by hand, so that the tests do not trust the code that they test.
    fn block(name: &str, flag: u8, size: u64) -> Vec<u8> {
        let mut block = vec![0_u8; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0000644");
        block[108..115].copy_from_slice(b"0001750");
        block[116..123].copy_from_slice(b"0001751");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(b"00000000007");
        block[156] = flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut block);
        block
    }

    fn seal(block: &mut [u8]) {
        block[148..156].fill(b' ');
        let sum: u64 = block[..BLOCK].iter().map(|b| u64::from(*b)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }

    fn padded(content: &[u8]) -> Vec<u8> {
        let mut content = content.to_vec();
        content.resize(content.len().next_multiple_of(BLOCK), 0);
        content
    }

    fn pax(records: &[u8]) -> Vec<u8> {
        let size = u64::try_from(records.len()).unwrap();
        [block("pax", b'x', size), padded(records)].concat()
    }

    fn record(key: &str, value: &str) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length = body + length.to_string().len();
        }
        format!("{length} {key}={value}\n").into_bytes()
    }

    fn read_all(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
        let mut reader = Reader::new(archive);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let mut data = Vec::new();
            let mut buffer = [0; 100];
            loop {
                let read = reader.read_data(&mut buffer)?;
                if read == 0 {
                    break;
                }
                data.extend_from_slice(&buffer[..read]);
            }
            entries.push((entry, data));
        }
        Ok(entries)
    }

    fn names(archive: &[u8]) -> Vec<String> {
        read_all(archive)
            .unwrap()
            .into_iter()
            .map(|(entry, _)| String::from_utf8(entry.path).unwrap())
            .collect()
    }

    fn error(archive: &[u8]) -> String {
        read_all(archive).unwrap_err().to_string()
    }

    #[test]
    fn a_plain_entry_has_its_fields_and_data() {
        let archive = [block("a", b'0', 3), padded(b"abc"), vec![0; 1024]].concat();
        let entries = read_all(&archive).unwrap();
        let (entry, data) = &entries[0];
        assert_eq!((entry.mode, entry.uid, entry.gid), (0o644, 1000, 1001));
        assert_eq!((entry.size, entry.mtime), (3, (7, 0)));
        assert_eq!(data, b"abc");
    }

    // CVE-2025-62518: a reader that advances by the header's size finds the smuggled entry.
    #[test]
    fn cve_2025_62518_pax_size_desync_does_not_smuggle_an_entry() {
        let inner = [block("smuggled", b'0', 0), vec![0; 1024]].concat();
        let size = inner.len().to_string();
        let archive = [
            pax(&record("size", &size)),
            block("outer", b'0', 0),
            inner,
            block("last", b'0', 0),
            vec![0; 1024],
        ]
        .concat();
        assert_eq!(names(&archive), ["outer", "last"]);
    }

    // CVE-2026-32766: malformed records were skipped, so that two readers saw different names.
    #[test]
    fn cve_2026_32766_a_malformed_pax_record_is_refused() {
        for records in [
            b"12 path=evil".as_slice(),
            b"99 path=evil\n",
            b"012345678 path=evil\n",
            b"0 path=evil\n",
            b"5 a\n",
            b"4 =\n",
            b"x path=evil\n",
            b"13 path=evil\n\n",
            b"\0\0\0\0",
            b"13 size=-1234\n",
            b"12 size=12x\n",
            b"13 path=e\0il\n",
            b" 13 path=abc\n",
            b"19 uid=99999999999\n",
        ] {
            let archive = [pax(records), block("a", b'0', 0), vec![0; 1024]].concat();
            let message = error(&archive);
            assert!(message.contains("malformed PAX"), "{records:?}: {message}");
        }
    }

    #[test]
    fn pax_records_replace_the_headers_fields() {
        let records = [
            record("path", "long/name"),
            record("mtime", "-1.25"),
            record("uid", "4294967294"),
            record("SCHILY.xattr.security.capability", "\u{1}\0"),
        ]
        .concat();
        let archive = [pax(&records), block("a", b'0', 0), vec![0; 1024]].concat();
        let (entry, _) = read_all(&archive).unwrap().remove(0);
        assert_eq!(entry.path, b"long/name");
        assert_eq!(entry.mtime, (-2, 750_000_000));
        assert_eq!(entry.uid, u32::MAX - 1);
        assert_eq!(
            entry.xattrs,
            [(b"security.capability".to_vec(), vec![1, 0])]
        );
    }

    #[test]
    fn a_global_header_may_comment_but_not_rename() {
        let global = |records: &[u8]| {
            let size = u64::try_from(records.len()).unwrap();
            let header = block("g", b'g', size);
            [header, padded(records), block("a", b'0', 0), vec![0; 1024]].concat()
        };
        assert_eq!(names(&global(&record("comment", "x"))), ["a"]);
        assert!(error(&global(&record("path", "x"))).contains("global"));
        assert!(error(&global(&record("size", "512"))).contains("global"));
    }

    #[test]
    fn every_cut_is_noticed_or_falls_behind_the_content_of_an_entry() {
        let archive = [
            pax(&record("path", "b")),
            block("a", b'0', 600),
            padded(&[7; 600]),
        ]
        .concat();
        let padding = 1024 - 600;
        for length in 1..archive.len() {
            let cut = read_all(&archive[..length]);
            let is_whole = length >= archive.len() - padding;
            assert_eq!(cut.is_ok(), is_whole, "cut at {length}: {cut:?}");
        }
    }

    #[test]
    fn what_ends_without_padding_or_end_marker_says_so() {
        let archive = [block("a", b'0', 600), padded(&[7; 600]), vec![0; 1024]].concat();
        for (length, early) in [
            (512 + 600, true),
            (512 + 700, true),
            (512 + 1024, true),
            (512 + 1024 + 512, false),
            (archive.len(), false),
        ] {
            let mut reader = Reader::new(&archive[..length]);
            while reader.next_entry().unwrap().is_some() {}
            assert_eq!(reader.ends_early(), early, "cut at {length}");
        }
    }

    #[test]
    fn a_wrong_checksum_a_lone_zero_block_and_foreign_types_are_refused() {
        let mut damaged = block("a", b'0', 0);
        damaged[0] = b'b';
        assert!(error(&damaged).contains("checksum"));
        let lone = [vec![0; 512], block("a", b'0', 0)].concat();
        assert!(error(&lone).contains("zeros"));
        assert!(error(&block("a", b'M', 0)).contains("not supported"));
        assert!(error(b"#!/bin/sh\n").contains("no tar archive: it has 10 bytes"));
        assert!(error(&[b'x'; 600]).contains("no tar archive: not a tar header at byte 0"));
    }

    #[test]
    fn base_256_numbers_are_read_and_negative_sizes_refused() {
        let mut header = block("a", b'0', 0);
        header[136] = 0xff;
        header[137..148].fill(0xff);
        seal(&mut header);
        let (entry, _) = read_all(&header).unwrap().remove(0);
        assert_eq!(entry.mtime, (-1, 0));
        let mut header = block("a", b'0', 0);
        header[124..136].fill(0xff);
        seal(&mut header);
        assert!(error(&header).contains("negative size"));
        let mut header = block("a", b'0', 0);
        header[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
        seal(&mut header);
        assert!(error(&header).contains("cut short"));
    }

    #[test]
    fn gnu_long_names_and_links_replace_the_short_ones() {
        let long = "d/".repeat(100) + "x";
        let size = u64::try_from(long.len() + 1).unwrap();
        let name = padded(format!("{long}\0").as_bytes());
        let archive = [
            block("././@LongLink", b'L', size),
            name.clone(),
            block("././@LongLink", b'K', size),
            name,
            block("short", b'2', 0),
            vec![0; 1024],
        ]
        .concat();
        let (entry, _) = read_all(&archive).unwrap().remove(0);
        assert_eq!(entry.path, long.as_bytes());
        assert_eq!(entry.link, long.as_bytes());
    }

    #[test]
    fn sparse_maps_that_lie_are_refused() {
        let sparse = |map: &str, size: &str, stored: u64| {
            let records = [
                record("GNU.sparse.map", map),
                record("GNU.sparse.size", size),
            ]
            .concat();
            let data = padded(&vec![1; usize::try_from(stored).unwrap()]);
            [pax(&records), block("a", b'0', stored), data, vec![0; 1024]].concat()
        };
        let (entry, data) = read_all(&sparse("5,3,100,2", "200", 5)).unwrap().remove(0);
        assert_eq!(entry.sparse, Some(vec![(5, 3), (100, 2)]));
        assert_eq!((entry.size, data.len()), (200, 5));
        assert!(error(&sparse("5,3,6,2", "200", 5)).contains("overlap"));
        assert!(error(&sparse("5,3", "7", 3)).contains("behind the end"));
        assert!(error(&sparse("5,3", "9", 4)).contains("add up"));
        assert!(error(&sparse("5,3,1", "9", 3)).contains("odd"));
        let huge = "18446744073709551615";
        assert!(error(&sparse("0,1", huge, 1)).contains("impossible"));
    }

    proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            let _ = read_all(&bytes);
            for start in (0..bytes.len() / BLOCK).map(|n| n * BLOCK) {
                seal(&mut bytes[start..start + BLOCK]);
            }
            let _ = read_all(&bytes);
        }

        #[test]
        fn no_extended_header_makes_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = Extended::parse(&bytes, 0);
        }
    }
}
