//! What can be read once only, in a file without a name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use crate::engine::error::Result;
use crate::engine::images::codec;
use crate::engine::images::unpack::stream_error;
use crate::engine::model::Cancel;
use crate::engine::model::layers::Step;
use crate::engine::sys::file;

/// Between two reports.
const PACE: Duration = Duration::from_millis(100);

/// Is told what becomes known of an image.
pub(super) type Watch<'a> = dyn FnMut(Step<'_>) + 'a;

/// The uncompressed form of a stream, whole. How much of it has come is told.
///
/// # Errors
/// What the stream and the file system say; `Cancelled` at the next piece. Nothing is left then.
pub(super) fn uncompressed(
    stream: impl Read + Send,
    watch: &mut Watch<'_>,
    cancel: &Cancel,
) -> Result<File> {
    let mut decoded = codec::decode_archive(stream).map_err(stream_error)?;
    as_it_is(&mut decoded, watch, cancel)
}

/// A stream as it comes, whole.
///
/// # Errors
/// As [`uncompressed`].
pub(super) fn as_it_is(
    stream: &mut dyn Read,
    watch: &mut Watch<'_>,
    cancel: &Cancel,
) -> Result<File> {
    let mut spool = Spool {
        file: file::unnamed()?,
        done: 0,
        due: Instant::now(),
        watch,
        cancel,
    };
    io::copy(stream, &mut spool).map_err(stream_error)?;
    (spool.watch)(Step::Read(spool.done, None));
    Ok(spool.file)
}

struct Spool<'a, 'b> {
    file: File,
    done: u64,
    due: Instant,
    watch: &'a mut Watch<'b>,
    cancel: &'a Cancel,
}

impl Write for Spool<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(codec::cancelled());
        }
        let written = self.file.write(bytes)?;
        self.done += u64::try_from(written).unwrap_or(0);
        let now = Instant::now();
        if now >= self.due {
            self.due = now + PACE;
            (self.watch)(Step::Read(self.done, None));
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_comes_is_told_and_kept_until_it_is_enough() {
        let (cancel, mut told) = (Cancel::new(), Vec::new());
        let mut watch = |step: Step<'_>| match step {
            Step::Read(bytes, _) => told.push(bytes),
            Step::Outline(..) | Step::Layer(_) => {}
        };
        let file = uncompressed(&b"all of it"[..], &mut watch, &cancel).unwrap();
        let mut found = [0; 9];
        file.read_exact_at(&mut found, 0).unwrap();
        assert_eq!((&found, told.last()), (b"all of it", Some(&9)));
        cancel.cancel();
        let error = as_it_is(&mut &b"more"[..], &mut |_| (), &cancel).unwrap_err();
        assert_eq!(error.kind(), crate::engine::error::Kind::Cancelled);
    }
}
