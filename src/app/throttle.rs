//! Reports of work in bearable numbers: what is new at once, of what comes often the newest. Lossy, but for what counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::model::Progress;

/// Between two reports on one part that say the same with another number: ten a second are enough for a bar.
const PACE: Duration = Duration::from_millis(100);

/// Lets through what is new, and of what comes often the newest.
pub(super) struct Throttle {
    parts: Mutex<BTreeMap<String, Heard>>,
}

/// The newest report on one part.
struct Heard {
    progress: Progress,
    /// When one was last let through.
    sent: Option<Instant>,
    /// It has not been let through.
    waits: bool,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self {
            parts: Mutex::new(BTreeMap::new()),
        }
    }

    /// Gives to `send` what is due; what `send` refuses stays for the next time.
    pub(super) fn report(
        &self,
        progress: Progress,
        now: Instant,
        mut send: impl FnMut(Progress) -> bool,
    ) {
        // Each entry is whole whoever panicked.
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = parts.entry(progress.part.clone()).or_insert_with(|| Heard {
            progress: progress.clone(),
            sent: None,
            waits: true,
        });
        if heard.progress.phase != progress.phase {
            heard.sent = None;
        }
        heard.progress = progress;
        heard.waits = true;
        for heard in parts.values_mut().filter(|heard| heard.waits) {
            let due = heard
                .sent
                .is_none_or(|sent| now.duration_since(sent) >= PACE);
            if due && send(heard.progress.clone()) {
                heard.waits = false;
                heard.sent = Some(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn a_part_reports_ten_times_a_second_and_a_new_phase_at_once() {
        let throttle = Throttle::new();
        let begin = Instant::now();
        let mut sent = Vec::new();
        let mut report = |milliseconds, part: &str, phase, done, room: bool| {
            let progress = Progress {
                part: part.to_owned(),
                phase: Cow::Borrowed(phase),
                done,
                total: None,
            };
            let now = begin + Duration::from_millis(milliseconds);
            throttle.report(progress, now, |progress| {
                if room {
                    sent.push((progress.part.clone(), progress.phase.clone(), progress.done));
                }
                room
            });
        };
        for time in 0..100 {
            report(time, "a", "Downloading", time, true);
        }
        report(99, "b", "Downloading", 7, true);
        report(99, "a", "Extracting", 0, true);
        // Without room nothing is lost that counts: it goes with the next report of whatever part.
        report(99, "a", "Pull complete", 0, false);
        report(120, "b", "Downloading", 8, true);
        let expected = [
            ("a", "Downloading", 0),
            ("b", "Downloading", 7),
            ("a", "Extracting", 0),
            ("a", "Pull complete", 0),
        ];
        let expected =
            expected.map(|(part, phase, done)| (part.to_owned(), Cow::Borrowed(phase), done));
        assert_eq!(sent, expected);
    }
}
