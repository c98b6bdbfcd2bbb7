//! Streams: what compresses them, their digests, and a decoder that works ahead on a thread of its own.

use std::io::{self, BufReader, Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use sha2::Digest as _;

use crate::engine::model::{Cancel, Digest};

/// How a blob is compressed, told by its first bytes and never by what a document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Compressions that no layer has (OCI image-spec, layer.md), but archives that people bring along: as `docker load` and
/// `docker import` take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// The .xz file format.
    Xz,
    /// bzip2(1).
    Bzip2,
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        })
    }
}

/// Bytes that [`Compression::sniff`] wants.
pub const MAGIC: usize = 6;

/// Largest zstd window: 32 MiB is what the highest level of the usual tools makes, and bounds the memory of one
/// decoder.
const WINDOW_LOG: u32 = 25;

/// Memory of one xz decoder in KiB: the dictionary of `xz -9`, 64 MiB, and what is needed around it.
const XZ_MEMORY: u32 = (64 << 10) + 512;

/// What a layer may unpack to, whatever it is compressed to, in bytes.
const ALWAYS_ALLOWED: u64 = 1 << 30;
/// Beyond that: how many times its compressed size. Text comes to 20; a file of zeros that gzip compresses to 1,030.
const MAX_RATIO: u64 = 400;
/// Beyond any ratio, in bytes: 1 TiB.
const MAX_LAYER: u64 = 1 << 40;

/// Size of a chunk handed between threads.
pub const CHUNK: usize = 256 << 10;
/// Chunks that are decompressed while one piece of a file goes past the page cache (`sys/direct.rs`).
const AHEAD: usize = 12;

impl Compression {
    /// The compression of a stream that starts so.
    ///
    /// # Errors
    /// A compression that is not a layer's.
    pub fn sniff(start: &[u8]) -> Result<Self, Foreign> {
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or a skippable frame in front of one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Err(Foreign::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Err(Foreign::Bzip2),
            _ => Ok(Self::Plain),
        }
    }

    /// The media type of a layer compressed so (OCI image-spec, layer.md).
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// Reads at most `limit` bytes, fewer only at the end.
///
/// # Errors
/// What the source says.
pub fn read_start(input: &mut dyn Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    input.take(limit).read_to_end(&mut start)?;
    Ok(start)
}

/// The uncompressed form of a layer, in constant memory, as long as it is not a decompression bomb.
///
/// # Errors
/// What the source says, or `Unsupported` naming the compression.
pub fn decode<'a>(input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let stream = Stream::begin(input)?;
    let compression = stream.compression.map_err(|foreign| {
        let text = format!("{foreign} compression is not supported (gzip and zstd are)");
        io::Error::new(io::ErrorKind::Unsupported, text)
    })?;
    stream.decode(compression)
}

/// The uncompressed form of an archive that somebody brings along: xz and bzip2, too.
///
/// # Errors
/// What the source says.
pub fn decode_archive<'a>(input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let stream = Stream::begin(input)?;
    match stream.compression {
        Ok(compression) => stream.decode(compression),
        Err(foreign) => Ok(stream.decode_foreign(foreign)),
    }
}

/// The same stream if a layer may be compressed so, otherwise its uncompressed form.
///
/// # Errors
/// What the source says.
pub fn as_layer<'a>(input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let stream = Stream::begin(input)?;
    match stream.compression {
        Ok(_) => Ok(Box::new(stream.input)),
        Err(foreign) => Ok(stream.decode_foreign(foreign)),
    }
}

/// A stream whose first bytes have been looked at.
struct Stream<R> {
    input: BufReader<Counted<io::Chain<Cursor<Vec<u8>>, R>>>,
    compression: Result<Compression, Foreign>,
    taken: Arc<AtomicU64>,
}

impl<'a, R: Read + Send + 'a> Stream<R> {
    fn begin(mut input: R) -> io::Result<Self> {
        let start = read_start(&mut input, MAGIC)?;
        let compression = Compression::sniff(&start);
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            input: Cursor::new(start).chain(input),
            count: Arc::clone(&taken),
        };
        Ok(Self {
            input: BufReader::with_capacity(CHUNK, counted),
            compression,
            taken,
        })
    }

    fn decode(self, compression: Compression) -> io::Result<Box<dyn Read + Send + 'a>> {
        let input = self.input;
        let output: Box<dyn Read + Send + 'a> = match compression {
            Compression::Plain => return Ok(Box::new(input)),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(WINDOW_LOG)?;
                Box::new(decoder)
            }
        };
        Ok(limited(output, self.taken))
    }

    fn decode_foreign(self, foreign: Foreign) -> Box<dyn Read + Send + 'a> {
        let input = self.input;
        let output: Box<dyn Read + Send + 'a> = match foreign {
            // Both programs write several streams one after another (`xz -T`, pbzip2, `cat`).
            Foreign::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY)),
            Foreign::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        };
        let named = Named {
            output,
            compression: foreign,
        };
        limited(Box::new(named), self.taken)
    }
}

fn limited<'a>(
    output: Box<dyn Read + Send + 'a>,
    taken: Arc<AtomicU64>,
) -> Box<dyn Read + Send + 'a> {
    Box::new(Limited {
        output,
        taken,
        given: 0,
    })
}

/// A SHA-256 in the making.
#[derive(Clone, Debug, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest's 32 bytes.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// The digest.
    #[must_use]
    pub fn digest(self) -> Digest {
        Digest::from_sha256(&self.finish())
    }
}

/// The digest of a document.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.digest()
}

/// Copies a stream into a file and hashes it on the way: digest and length.
///
/// # Errors
/// What source or file say; `Interrupted` is not among them. A cancelled copy ends with [`cancelled`].
pub fn copy_hashed(
    input: &mut dyn Read,
    output: &mut dyn Write,
    cancel: &Cancel,
) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0_u8; CHUNK];
    let mut length = 0_u64;
    loop {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let read = match input.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
            return Ok((hasher.digest(), length));
        };
        hasher.update(chunk);
        output.write_all(chunk)?;
        length = length.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
}

/// What a cancelled stream ends with.
#[must_use]
pub fn cancelled() -> io::Error {
    io::Error::other(Cancelled)
}

/// Marks an `io::Error` as "somebody asked to stop".
#[derive(Debug, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Whether a stream ended because somebody asked.
#[must_use]
pub fn is_cancelled(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Cancelled>())
        .is_some()
}

/// Decompresses and hashes on a thread of its own while the chunks are unpacked on this one.
#[derive(Debug)]
pub struct Ahead<'scope> {
    chunks: Option<Receiver<io::Result<Vec<u8>>>>,
    spent: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    worker: Option<ScopedJoinHandle<'scope, Digest>>,
}

impl<'scope> Ahead<'scope> {
    /// Starts to decode.
    pub fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        blob: impl Read + Send + 'scope,
        stop: impl Fn() -> bool + Send + 'scope,
    ) -> Self {
        let (full, chunks) = sync_channel(AHEAD);
        let (spent, empty) = sync_channel::<Vec<u8>>(2 * AHEAD);
        let worker = scope.spawn(move || {
            let mut hasher = Hasher::default();
            let mut input = match decode(blob) {
                Ok(input) => input,
                Err(error) => {
                    let _ = full.send(Err(error));
                    return hasher.digest();
                }
            };
            loop {
                let mut buffer = empty.try_recv().unwrap_or_default();
                buffer.resize(CHUNK, 0);
                let filled = if stop() {
                    Err(cancelled())
                } else {
                    fill(&mut *input, &mut buffer)
                };
                match filled {
                    Ok(0) => return hasher.digest(),
                    Ok(filled) => {
                        buffer.truncate(filled);
                        hasher.update(&buffer);
                        // The reader has gone: nobody wants the rest or the digest.
                        if full.send(Ok(buffer)).is_err() {
                            return hasher.digest();
                        }
                    }
                    Err(error) => {
                        let _ = full.send(Err(error));
                        return hasher.digest();
                    }
                }
            }
        });
        Self {
            chunks: Some(chunks),
            spent,
            current: Vec::new(),
            position: 0,
            worker: Some(worker),
        }
    }

    /// Reads what is left and says the digest of the whole uncompressed stream.
    ///
    /// # Errors
    /// What the decoder says.
    pub fn finish(mut self) -> io::Result<Digest> {
        while self.refill()? {}
        let digest = self.worker.take().and_then(|worker| worker.join().ok());
        digest.ok_or_else(|| io::Error::other("the decoder's thread ended early"))
    }

    /// Takes the next chunk; `false` at the end.
    fn refill(&mut self) -> io::Result<bool> {
        let Some(chunks) = &self.chunks else {
            return Ok(false);
        };
        match chunks.recv() {
            Ok(Ok(chunk)) => {
                let spent = std::mem::replace(&mut self.current, chunk);
                let _ = self.spent.try_send(spent);
                self.position = 0;
                Ok(true)
            }
            Ok(Err(error)) => {
                self.chunks = None;
                Err(error)
            }
            Err(_closed) => {
                self.chunks = None;
                self.current.clear();
                self.position = 0;
                Ok(false)
            }
        }
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        // Wakes a decoder that waits for room, so that the scope can end.
        self.chunks = None;
    }
}

impl Read for Ahead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut rest = self.current.get(self.position..).unwrap_or(&[]);
            if !rest.is_empty() {
                let read = rest.read(buffer)?;
                self.position += read;
                return Ok(read);
            }
            if !self.refill()? {
                return Ok(0);
            }
        }
    }
}

/// Refuses what unpacks to unreasonably much.
fn check_ratio(taken: u64, given: u64) -> io::Result<()> {
    let allowed = taken
        .saturating_mul(MAX_RATIO)
        .clamp(ALWAYS_ALLOWED, MAX_LAYER);
    if given <= allowed {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("decompression bomb: {taken} bytes unpack to more than {allowed}"),
    ))
}

/// Counts what a decoder takes.
struct Counted<R> {
    input: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.count
            .fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        Ok(read)
    }
}

/// Ends a decoder that gives unreasonably much for what it takes.
struct Limited<R> {
    output: R,
    taken: Arc<AtomicU64>,
    given: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        self.given = self
            .given
            .saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        check_ratio(self.taken.load(Ordering::Relaxed), self.given)?;
        Ok(read)
    }
}

/// Says which compression an error is about: the decoders do not.
struct Named<R> {
    output: R,
    compression: Foreign,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output
            .read(buffer)
            .map_err(|error| match error.kind() {
                _ if error.raw_os_error().is_some() || is_cancelled(&error) => error,
                io::ErrorKind::Interrupted => error,
                io::ErrorKind::OutOfMemory => io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "{}: more memory would be needed than a decoder gets",
                        self.compression
                    ),
                ),
                kind => io::Error::new(kind, format!("{}: {error}", self.compression)),
            })
    }
}

fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        decode(bytes)?.read_to_end(&mut output)?;
        Ok(output)
    }

    #[test]
    fn compression_is_told_by_the_content_alone() {
        let text = b"hello".repeat(1000);
        assert_eq!(decoded(&text).unwrap(), text);
        assert_eq!(decoded(&gzip(&text)).unwrap(), text);
        let twice = [gzip(&text), gzip(&text)].concat();
        assert_eq!(decoded(&twice).unwrap(), text.repeat(2));
        let zstd = zstd::encode_all(&*text, 3).unwrap();
        assert_eq!(decoded(&zstd).unwrap(), text);
        assert_eq!(decoded(b"").unwrap(), b"");
    }

    #[test]
    fn a_cut_stream_or_an_unknown_compression_is_an_error() {
        let text = b"hello".repeat(1000);
        let whole = gzip(&text);
        assert!(decoded(&whole[..whole.len() - 1]).is_err());
        let whole = zstd::encode_all(&*text, 3).unwrap();
        assert!(decoded(&whole[..whole.len() - 1]).is_err());
        let error = decoded(b"\xfd7zXZ\0").unwrap_err();
        assert!(error.to_string().contains("xz"), "{error}");
    }

    /// What a compressing program makes of the bytes.
    fn packed(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || input.write_all(bytes).unwrap());
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{program} {arguments:?}");
            output.stdout
        })
    }

    fn decoded_archive(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        decode_archive(bytes)?.read_to_end(&mut output)?;
        Ok(output)
    }

    #[test]
    fn what_xz_and_bzip2_write_is_read_and_every_cut_is_noticed() {
        let text: Vec<u8> = (0_u32..300_000).flat_map(u32::to_le_bytes).collect();
        for (program, arguments) in [
            ("xz", &["-0"][..]),
            ("xz", &["-9", "--check=sha256"]),
            ("xz", &["--check=crc32", "--block-size=100000", "-T2"]),
            ("xz", &["--check=none", "--delta=dist=4", "--lzma2"]),
            ("xz", &["--x86", "--lzma2=dict=1MiB"]),
            ("bzip2", &["-1"]),
            ("bzip2", &["-9"]),
        ] {
            let whole = packed(program, arguments, &text);
            assert_eq!(decoded_archive(&whole).unwrap(), text, "{arguments:?}");
            let twice = [whole.clone(), whole.clone()].concat();
            assert_eq!(decoded_archive(&twice).unwrap(), text.repeat(2));
            for length in [whole.len() - 1, whole.len() / 2, 20] {
                let error = decoded_archive(&whole[..length]).unwrap_err();
                assert!(error.to_string().starts_with(program), "{error}");
            }
            if !arguments.contains(&"--check=none") {
                let mut damaged = whole.clone();
                damaged[whole.len() / 2] ^= 1;
                assert!(decoded_archive(&damaged).is_err(), "{arguments:?}");
            }
            let mut layer = Vec::new();
            as_layer(&*whole).unwrap().read_to_end(&mut layer).unwrap();
            assert_eq!(layer, text);
            assert!(decoded(&whole).is_err());
        }
        let gzip = gzip(&text);
        let mut layer = Vec::new();
        as_layer(&*gzip).unwrap().read_to_end(&mut layer).unwrap();
        assert_eq!(layer, gzip);
        assert_eq!(decoded_archive(&gzip).unwrap(), text);
    }

    #[test]
    fn an_xz_that_wants_a_gigabyte_of_memory_is_refused() {
        let greedy = packed("xz", &["--lzma2=dict=1GiB"], b"little");
        let error = decoded_archive(&greedy).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(decoded_archive(&packed("xz", &["-9"], b"little")).is_ok());
    }

    #[test]
    fn a_layer_may_be_large_or_well_compressed_but_not_both_without_measure() {
        assert!(check_ratio(1, ALWAYS_ALLOWED).is_ok());
        assert!(check_ratio(1, ALWAYS_ALLOWED + 1).is_err());
        assert!(check_ratio(10 << 20, (10 << 20) * MAX_RATIO).is_ok());
        assert!(check_ratio(10 << 20, (10 << 20) * MAX_RATIO + 1).is_err());
        assert!(check_ratio(1 << 38, MAX_LAYER).is_ok());
        assert!(check_ratio(1 << 38, MAX_LAYER + 1).is_err());
    }

    #[test]
    fn a_bomb_is_given_up_after_its_first_gigabyte() {
        let zeros = vec![0_u8; 64 << 20];
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        for _ in 0..40 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        let error = io::copy(&mut decode(&*bomb).unwrap(), &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("decompression bomb"), "{error}");
        for program in ["xz", "bzip2"] {
            let bomb = packed(program, &["-1"], &zeros).repeat(40);
            let mut output = decode_archive(&*bomb).unwrap();
            let error = io::copy(&mut output, &mut io::sink()).unwrap_err();
            assert!(error.to_string().contains("decompression bomb"), "{error}");
        }
        std::thread::scope(|scope| {
            let ahead = Ahead::start(scope, &*bomb, || false);
            let error = ahead.finish().unwrap_err();
            assert!(error.to_string().contains("decompression bomb"), "{error}");
        });
    }

    #[test]
    fn decoding_ahead_gives_the_same_bytes_and_their_digest() {
        let text: Vec<u8> = (0_u32..400_000).flat_map(u32::to_le_bytes).collect();
        let blob = gzip(&text);
        std::thread::scope(|scope| {
            let mut ahead = Ahead::start(scope, &*blob, || false);
            let mut start = vec![0; 1_000_000];
            ahead.read_exact(&mut start).unwrap();
            assert_eq!(start, text[..1_000_000]);
            assert_eq!(ahead.finish().unwrap(), digest_of(&text));
            drop(Ahead::start(scope, &*blob, || false));
        });
    }
}
