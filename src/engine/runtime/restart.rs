//! Restart policy: whether and when a container that ended is started again. Docker's rules. Pure.

use std::time::Duration;

use crate::engine::model::RestartPolicy;

/// Delay before the first restart.
const FIRST: Duration = Duration::from_millis(100);
/// The delay doubles up to this.
const LONGEST: Duration = Duration::from_mins(1);
/// A run that lasted so long was a success: the delay starts from the beginning.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// How long it ran.
    pub ran: Duration,
    /// Somebody asked it to stop.
    pub stopped: bool,
    /// Restarts by policy so far.
    pub restarts: u32,
    /// Delay before this run, if it was a restart.
    pub delay: Option<Duration>,
}

/// The delay before the next start; `None` if it stays ended.
#[must_use]
pub fn decide(policy: RestartPolicy, ended: Ended) -> Option<Duration> {
    let wanted = match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max } => ended.code != 0 && (max == 0 || ended.restarts < max),
    };
    if !wanted || ended.stopped {
        return None;
    }
    Some(match ended.delay {
        Some(delay) if ended.ran < GOOD_RUN => (delay * 2).min(LONGEST),
        Some(_) | None => FIRST,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, restarts: u32) -> Ended {
        Ended {
            code,
            ran: Duration::from_secs(1),
            stopped: false,
            restarts,
            delay: None,
        }
    }

    #[test]
    fn policies_follow_docker() {
        use RestartPolicy::{Always, No, OnFailure, UnlessStopped};
        let check = |policy, code, restarts, expect: bool| {
            let answer = decide(policy, ended(code, restarts));
            assert_eq!(answer.is_some(), expect, "{policy:?} {code} {restarts}");
        };
        check(No, 1, 0, false);
        check(Always, 0, 9, true);
        check(UnlessStopped, 1, 9, true);
        check(OnFailure { max: 0 }, 0, 0, false);
        check(OnFailure { max: 0 }, 1, 1000, true);
        check(OnFailure { max: 3 }, 1, 2, true);
        check(OnFailure { max: 3 }, 1, 3, false);
    }

    #[test]
    fn a_container_that_was_stopped_stays_ended() {
        let stopped = Ended {
            stopped: true,
            ..ended(137, 0)
        };
        assert_eq!(decide(RestartPolicy::Always, stopped), None);
    }

    #[test]
    fn the_delay_doubles_to_a_minute_and_starts_again_after_a_good_run() {
        let mut delays = Vec::new();
        let mut delay = None;
        for _ in 0..12 {
            delay = decide(
                RestartPolicy::Always,
                Ended {
                    delay,
                    ..ended(1, 0)
                },
            );
            delays.push(delay.unwrap().as_millis());
        }
        assert_eq!(
            delays,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000
            ]
        );
        let good = Ended {
            ran: Duration::from_secs(10),
            delay,
            ..ended(1, 0)
        };
        assert_eq!(decide(RestartPolicy::Always, good), Some(FIRST));
    }
}
