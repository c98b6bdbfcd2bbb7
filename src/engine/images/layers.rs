//! Unpacks layers side by side on a few threads: each blob is decoded and hashed by one thread while another one writes
//! its files. Which layers are wanted, and where they go in the end, is for `commit.rs`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use super::codec::Ahead;
use super::unpack::{self, Unpacked, stream_error};
use super::workspace::{Place, Spooled, Workspace, diff_id_of};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::progress::Report;
use crate::engine::model::{Cancel, Digest, Progress};
use crate::engine::sys::at::Dir;

/// A layer in the workspace that is unpacked, but not yet fitted onto those below.
#[derive(Debug)]
pub(super) struct Ready {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Name of its directory (with `fs` inside) in the workspace.
    pub name: String,
    /// That directory.
    pub dir: Dir,
    /// Its tree.
    pub tree: Unpacked,
}

/// What progress calls the work on a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phases {
    /// While it is unpacked.
    pub during: &'static str,
    /// When it is done; `None`: nothing is told.
    pub after: Option<&'static str>,
}

/// The threads and what they are asked to do.
pub(super) struct Pool<'a> {
    work: &'a Workspace,
    phases: Phases,
    report: Report<'a>,
    cancel: &'a Cancel,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Spooled>,
    asked: HashSet<Digest>,
    done: HashMap<Digest, Result<Ready>>,
    closed: bool,
}

impl<'a> Pool<'a> {
    /// A pool without threads yet.
    pub(super) fn new(
        work: &'a Workspace,
        phases: Phases,
        report: Report<'a>,
        cancel: &'a Cancel,
    ) -> Self {
        Self {
            work,
            phases,
            report,
            cancel,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Starts the threads, one for each processor but at least so many; they end when [`Self::close`] is called.
    pub(super) fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, least: usize) {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for _ in 0..cores.max(least).min(8) {
            scope.spawn(|| self.run());
        }
    }

    /// Asks for a layer; asking again before it was taken changes nothing.
    pub(super) fn ask(&self, blob: &Spooled) {
        let mut state = self.lock();
        if state.asked.insert(blob.digest.clone()) {
            state.queue.push_back(blob.clone());
            self.changed.notify_all();
        }
    }

    /// Waits for a layer. It can be asked for again afterwards, and is then unpacked again.
    ///
    /// # Errors
    /// What unpacking it ended with.
    pub(super) fn take(&self, blob: &Spooled) -> Result<Ready> {
        self.ask(blob);
        let mut state = self.lock();
        loop {
            if let Some(ready) = state.done.remove(&blob.digest) {
                state.asked.remove(&blob.digest);
                return ready.attempt(|| format!("layer {}", blob.digest.short()));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The uncompressed form's digest of a layer that need not be unpacked. If it was, by guess, that is thrown away.
    ///
    /// # Errors
    /// What decoding it ended with.
    pub(super) fn diff_id(&self, blob: &Spooled) -> Result<Digest> {
        let guessed = self.lock().asked.contains(&blob.digest);
        if guessed {
            return Ok(self.take(blob)?.diff_id);
        }
        let input = self.work.open(blob)?;
        diff_id_of(input, &|| self.cancel.is_cancelled())
            .map_err(stream_error)
            .inspect_err(|error| blob.doubt(error))
    }

    /// The uncompressed form's digest of a layer that will be taken later.
    ///
    /// # Errors
    /// What unpacking it ended with.
    pub(super) fn peek_diff_id(&self, blob: &Spooled) -> Result<Digest> {
        let ready = self.take(blob)?;
        let diff_id = ready.diff_id.clone();
        let mut state = self.lock();
        state.asked.insert(blob.digest.clone());
        state.done.insert(blob.digest.clone(), Ok(ready));
        Ok(diff_id)
    }

    /// Says that a layer is done.
    pub(super) fn tell_done(&self, blob: &Spooled) {
        if let Some(phase) = self.phases.after {
            (self.report)(Progress {
                part: blob.digest.short().to_owned(),
                phase: phase.into(),
                done: blob.size,
                total: Some(blob.size),
            });
        }
    }

    /// Lets the threads end; what they are doing is abandoned.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.closed {
            let Some(blob) = state.queue.pop_front() else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let digest = blob.digest.clone();
            let unpacking = std::panic::AssertUnwindSafe(|| self.unpack(&blob));
            // A defect must end as an error of this layer, not as a thread that waits for ever.
            let ready = std::panic::catch_unwind(unpacking).unwrap_or_else(|_panic| {
                Err(Error::new(Kind::Internal, "unpacking stopped by a defect"))
            });
            if let Err(error) = &ready {
                blob.doubt(error);
            }
            state = self.lock();
            state.done.insert(digest, ready);
            self.changed.notify_all();
        }
    }

    fn stopped(&self) -> bool {
        self.cancel.is_cancelled() || self.lock().closed
    }

    fn unpack(&self, blob: &Spooled) -> Result<Ready> {
        let (name, dir) = self.work.make_dir()?;
        dir.make_dir(b"fs")?;
        let gone = || Error::new(Kind::Internal, "the workspace has gone");
        let root = dir.find_dir(b"fs")?.ok_or_else(gone)?;
        let counted = Counted {
            input: self.work.open(blob)?,
            done: 0,
            blob,
            phase: self.phases.during,
            report: self.report,
        };
        std::thread::scope(|scope| {
            let mut ahead = Ahead::start(scope, counted, || self.stopped());
            let tree = unpack::unpack(&mut ahead, root, &self.work.behind, &self.work.nursery)?;
            let diff_id = ahead.finish().map_err(stream_error)?;
            Ok(Ready {
                diff_id,
                name,
                dir,
                tree,
            })
        })
    }
}

/// Closes the pool when the work on the calling thread ends, however it ends: the scope waits for the threads.
pub(super) struct Closing<'a>(pub &'a Pool<'a>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct Counted<'a, R> {
    input: R,
    done: u64,
    blob: &'a Spooled,
    phase: &'static str,
    report: Report<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.done += u64::try_from(read).unwrap_or(0);
        // While it still arrives, that is what is told.
        let arrives = matches!(&self.blob.place, Place::Arriving(arrival) if !arrival.is_whole());
        if !arrives {
            (self.report)(Progress {
                part: self.blob.digest.short().to_owned(),
                phase: self.phase.into(),
                done: self.done,
                total: Some(self.blob.size),
            });
        }
        Ok(read)
    }
}
