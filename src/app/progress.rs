//! How far a piece of work is: its parts, how fast they go on, how long it takes still. Time comes from outside.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::engine::model::{Progress, Timestamp};

/// Rates are taken over so many milliseconds.
const WINDOW: i64 = 5_000;
/// Samples are so many milliseconds apart, or more.
const STEP: i64 = 200;

/// What a phase is for the whole of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It has not begun, or begins again.
    Waiting,
    /// Its bytes are on their way.
    Moving,
    /// Its bytes are here, or there; something is done with them.
    Working,
    /// Done.
    Done,
    /// There was nothing to do.
    Spared,
}

/// It goes on with the name of the repository that has it.
const MOUNTED: &str = "Mounted from ";

/// The phases that the engine reports.
const PHASES: &[(&str, Stage)] = &[
    ("Waiting", Stage::Waiting),
    ("Preparing", Stage::Waiting),
    ("Retrying", Stage::Waiting),
    ("Downloading", Stage::Moving),
    ("Pushing", Stage::Moving),
    ("Loading layer", Stage::Moving),
    ("Saving", Stage::Moving),
    ("Verifying", Stage::Working),
    ("Compressing", Stage::Working),
    ("Extracting", Stage::Working),
    ("Download complete", Stage::Working),
    ("Pull complete", Stage::Done),
    ("Pushed", Stage::Done),
    ("Compressed", Stage::Done),
    ("Saved", Stage::Done),
    ("Loaded", Stage::Done),
    (MOUNTED, Stage::Spared),
    ("Already exists", Stage::Spared),
    ("Layer already exists", Stage::Spared),
];

/// What this phase is; one that is not in the list is work.
#[must_use]
pub fn stage(phase: &str) -> Stage {
    let is_it = |name: &str| phase == name || (name == MOUNTED && phase.starts_with(MOUNTED));
    let known = PHASES.iter().find(|(name, _)| is_it(name));
    known.map_or(Stage::Working, |(_, stage)| *stage)
}

/// How fast something goes on: what was done at some moments of the last seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meter {
    samples: VecDeque<(i64, u64)>,
}

impl Meter {
    /// So much has been done by now.
    pub fn note(&mut self, done: u64, now: Timestamp) {
        let now = now.as_millisecond();
        // Begun anew, or the clock was set back.
        if self
            .samples
            .back()
            .is_some_and(|(time, before)| done < *before || now < *time)
        {
            self.samples.clear();
        }
        let length = self.samples.len();
        if length >= 2
            && let Some((time, _)) = self.samples.get(length - 2)
            && now - time < STEP
        {
            self.samples.pop_back();
        }
        self.samples.push_back((now, done));
        // One sample stays from before the window, to measure all of it.
        while self
            .samples
            .get(1)
            .is_some_and(|(time, _)| now - time > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Bytes per second; `None` until something can be said.
    #[must_use]
    pub fn rate(&self, now: Timestamp) -> Option<f64> {
        let (begin, first) = self.samples.front()?;
        let (_, last) = self.samples.back()?;
        let milliseconds = now.as_millisecond() - begin;
        if milliseconds < STEP {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let rate = (last - first) as f64 * 1000.0 / milliseconds as f64;
        Some(rate)
    }
}

/// One part of a job: a layer, a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Its name: a short digest.
    pub name: String,
    /// What is being done to it.
    pub phase: Cow<'static, str>,
    /// Bytes done in this phase.
    pub done: u64,
    /// Bytes of this phase, if known.
    pub total: Option<u64>,
    /// Bytes moved so far, whatever is done with them now.
    moved: u64,
    /// Bytes to move, if known.
    size: Option<u64>,
    meter: Meter,
}

impl Part {
    /// The newest report.
    pub fn note(&mut self, progress: &Progress, now: Timestamp) {
        if self.name.is_empty() {
            self.name.clone_from(&progress.part);
        }
        if self.phase != progress.phase {
            self.meter = Meter::default();
        }
        self.phase.clone_from(&progress.phase);
        self.done = progress.done;
        self.total = progress.total.filter(|total| *total > 0);
        match stage(&self.phase) {
            Stage::Moving => {
                self.moved = self.done;
                self.size = self.total.or(self.size);
            }
            Stage::Waiting => self.size = self.total.or(self.size),
            Stage::Working | Stage::Done => {
                self.size = self.size.or(self.total);
                self.moved = self.size.unwrap_or(self.moved);
            }
            Stage::Spared => (self.moved, self.size) = (0, Some(0)),
        }
        self.meter.note(self.done, now);
    }

    /// What its phase is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        stage(&self.phase)
    }

    /// Bytes per second in this phase.
    #[must_use]
    pub fn rate(&self, now: Timestamp) -> Option<f64> {
        match self.stage() {
            Stage::Moving | Stage::Working => self.meter.rate(now).filter(|rate| *rate > 0.0),
            Stage::Waiting | Stage::Done | Stage::Spared => None,
        }
    }

    /// Seconds until this phase ends.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Option<i64> {
        seconds_left(self.total?.saturating_sub(self.done), self.rate(now)?)
    }

    /// How much of this phase is done, 0 to 1.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        match self.stage() {
            Stage::Done => Some(1.0),
            Stage::Waiting | Stage::Spared => None,
            Stage::Moving | Stage::Working => share(self.done, self.total?),
        }
    }
}

/// All parts of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// Bytes moved.
    pub moved: u64,
    /// Bytes to move, once all parts have told.
    pub size: Option<u64>,
    /// Bytes per second.
    pub rate: Option<f64>,
    /// Parts that are done, or that needed nothing.
    pub ready: usize,
    /// Parts.
    pub parts: usize,
}

impl Total {
    pub(super) fn of(parts: &[Part], meter: &Meter, now: Timestamp) -> Self {
        let sizes = parts.iter().map(|part| part.size);
        let ready = |part: &&Part| matches!(part.stage(), Stage::Done | Stage::Spared);
        Self {
            moved: parts.iter().map(|part| part.moved).sum(),
            size: sizes.sum::<Option<u64>>().filter(|size| *size > 0),
            rate: meter.rate(now).filter(|rate| *rate > 0.0),
            ready: parts.iter().filter(ready).count(),
            parts: parts.len(),
        }
    }

    /// How much is moved, 0 to 1.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        share(self.moved, self.size?)
    }

    /// Seconds until all is moved; `None` if that cannot be said, or is over.
    #[must_use]
    pub fn left(&self) -> Option<i64> {
        let rest = self.size?.saturating_sub(self.moved);
        seconds_left(rest, self.rate?).filter(|_| rest > 0)
    }
}

fn share(done: u64, total: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a bar has few cells")]
    (total > 0).then(|| (done as f64 / total as f64).min(1.0))
}

fn seconds_left(rest: u64, rate: f64) -> Option<i64> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "whole seconds are shown; what is beyond a year is not"
    )]
    (rate >= 1.0)
        .then(|| (rest as f64 / rate).ceil())
        .filter(|seconds| *seconds < 31_536_000.0)
        .map(|seconds| seconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).expect("a time")
    }

    #[test]
    fn a_mounted_layer_is_spared_wherever_it_comes_from() {
        assert_eq!(stage("Mounted from a/b"), Stage::Spared);
        assert_eq!(stage("Mounting"), Stage::Working);
    }

    fn report(phase: &'static str, done: u64, total: Option<u64>) -> Progress {
        Progress {
            part: "a".to_owned(),
            phase: phase.into(),
            done,
            total,
        }
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds_and_falls_when_nothing_comes() {
        let mut meter = Meter::default();
        assert_eq!(meter.rate(at(0)), None);
        for second in 0..=20_u64 {
            let time = at(i64::try_from(second * 1000).expect("small"));
            // Slow for ten seconds, then ten times as fast.
            let done = second.min(10) * 100 + second.saturating_sub(10) * 1000;
            meter.note(done, time);
        }
        assert_eq!(meter.rate(at(20_000)), Some(1000.0));
        assert_eq!(meter.rate(at(30_000)), Some(375.0));
        assert!(meter.samples.len() < 10);
    }

    #[test]
    fn many_reports_make_few_samples() {
        let mut meter = Meter::default();
        for time in 0..10_000 {
            meter.note(u64::try_from(time).expect("small"), at(time));
        }
        assert!(meter.samples.len() <= 30, "{}", meter.samples.len());
        let rate = meter.rate(at(9_999)).expect("a rate");
        assert!((990.0..1010.0).contains(&rate), "{rate}");
    }

    #[test]
    fn what_begins_anew_is_not_measured_with_what_was_before() {
        let mut meter = Meter::default();
        meter.note(1000, at(0));
        meter.note(0, at(1000));
        meter.note(500, at(2000));
        assert_eq!(meter.rate(at(2000)), Some(500.0));
    }

    #[test]
    fn the_total_is_unknown_until_all_parts_have_told_their_size() {
        let (mut one, mut two) = (Part::default(), Part::default());
        one.note(&report("Downloading", 50, Some(100)), at(0));
        two.note(&report("Waiting", 0, None), at(0));
        let total = |parts: &[Part]| Total::of(parts, &Meter::default(), at(0));
        let both = total(&[one.clone(), two.clone()]);
        assert_eq!((both.moved, both.size), (50, None));
        two.note(&report("Downloading", 0, Some(300)), at(0));
        let both = total(&[one.clone(), two.clone()]);
        assert_eq!((both.moved, both.size), (50, Some(400)));
        // What is unpacked has been moved, however far the unpacking is.
        one.note(&report("Extracting", 10, Some(100)), at(0));
        two.note(&report("Already exists", 0, None), at(0));
        let both = total(&[one, two]);
        assert_eq!((both.moved, both.size, both.ready), (100, Some(100), 1));
    }

    #[test]
    fn the_time_left_needs_a_rate_and_a_size() {
        let mut part = Part::default();
        part.note(&report("Downloading", 0, Some(1000)), at(0));
        assert_eq!(part.left(at(0)), None);
        part.note(&report("Downloading", 100, Some(1000)), at(1000));
        assert_eq!(part.left(at(1000)), Some(9));
        assert_eq!(part.share(), Some(0.1));
        part.note(&report("Pull complete", 0, None), at(1000));
        assert_eq!((part.left(at(1000)), part.share()), (None, Some(1.0)));
    }
}
