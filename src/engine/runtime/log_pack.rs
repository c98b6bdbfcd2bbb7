//! Compresses a log file that was rotated out. That is done by a process of its own: a monitor's memory stays what it is, and
//! it goes on serving.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::UNIX_EPOCH;

use flate2::{Compression, GzBuilder, read::GzDecoder};

use crate::engine::error::{Attempt, Result};

/// `argv[0]` of that process.
pub const NAME: &str = "wharf-compress";

/// Which file a log's file is, also when it has become another one by being compressed: device, number and time of birth.
/// The number alone may be given to the next file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity([u64; 3]);

/// Bytes of an identity in a gzip header.
const IDENTITY: usize = 24;

impl Identity {
    /// Of a file as it is.
    ///
    /// # Errors
    /// What statx(2) says.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::read(&file.metadata()?))
    }

    /// From what is known of a file.
    #[must_use]
    pub fn read(metadata: &fs::Metadata) -> Self {
        let born = metadata.created().ok();
        let born = born.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let born = born.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0));
        Self([metadata.dev(), metadata.ino(), born])
    }

    fn bytes(self) -> Vec<u8> {
        self.0.iter().flat_map(|part| part.to_le_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let parts: &[u8; IDENTITY] = bytes.try_into().ok()?;
        let mut parts = parts.chunks_exact(8).map(|part| part.try_into().ok());
        let mut next = || parts.next().flatten().map(u64::from_le_bytes);
        Some(Self([next()?, next()?, next()?]))
    }
}

/// The process at work.
#[derive(Debug)]
pub(super) struct Packer(Child);

impl Packer {
    /// Starts it for a file. Where that cannot be the file stays as it is.
    pub(super) fn start(path: &Path) -> Option<Self> {
        let child = Command::new("/proc/self/exe")
            .arg0(NAME)
            .arg(path)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        child.ok().map(Self)
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) {
        let _ = self.0.wait();
    }
}

/// The whole life of that process; its exit code.
#[must_use]
pub fn main(path: &Path) -> u8 {
    u8::from(pack(path).is_err())
}

/// Puts `<path>.gz` in the place of a file. Whoever has the file open still reads it to its end.
///
/// # Errors
/// What the file system says; the file is then as it was.
pub fn pack(path: &Path) -> Result<()> {
    let what = || format!("compress {}", path.display());
    let name = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let mut file = File::open(path).attempt(what)?;
    let identity = Identity::of(&file).attempt(what)?;
    let unfinished = name(".gz.tmp");
    let out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .attempt(what)?;
    let mut out = GzBuilder::new()
        .extra(identity.bytes())
        .write(out, Compression::fast());
    let written = io::copy(&mut file, &mut out)
        .and_then(|_| out.finish())
        .and_then(|mut out| out.flush())
        .and_then(|()| fs::rename(&unfinished, name(".gz")));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written.and_then(|()| fs::remove_file(path)).attempt(what)
}

/// Which file a compressed one was.
///
/// # Errors
/// What reading says. One that is not ours is itself.
pub fn packed_identity(file: &File) -> io::Result<Identity> {
    let mut decoder = GzDecoder::new(file);
    // The header comes with the first bytes.
    let _ = decoder.read(&mut [0])?;
    let extra = decoder.header().and_then(|header| header.extra());
    match extra.and_then(Identity::from_bytes) {
        Some(identity) => Ok(identity),
        None => Identity::of(file),
    }
}

/// Writes what a compressed file was into another one.
///
/// # Errors
/// What reading and writing say; damage.
pub fn unpack(file: &File, out: &mut File) -> io::Result<u64> {
    io::copy(&mut GzDecoder::new(file), out)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};

    use super::*;

    #[test]
    fn a_packed_file_is_the_same_with_the_same_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.1");
        let text = "line\n".repeat(10_000);
        fs::write(&path, &text).unwrap();
        let before = Identity::of(&File::open(&path).unwrap()).unwrap();
        pack(&path).unwrap();
        assert!(!path.exists());
        let mut file = File::open(dir.path().join("log.1.gz")).unwrap();
        assert!(file.metadata().unwrap().len() < 1000);
        assert_eq!(packed_identity(&file).unwrap(), before);
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut out = tempfile::tempfile().unwrap();
        unpack(&file, &mut out).unwrap();
        out.seek(SeekFrom::Start(0)).unwrap();
        let mut read = String::new();
        out.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
