//! Health checks: what was asked for, and what the probes have said.

use std::time::Duration;

use super::Timestamp;

/// Results that are kept, as by Docker.
pub const KEPT: usize = 5;

/// Bytes of a probe's output that are kept, as by Docker.
pub const OUTPUT: usize = 4096;

/// Shortest time that may be asked for.
const SHORTEST: i64 = 1_000_000;

/// What was asked for, with Docker's field names: it stands like this in images, in records and in `inspect`. Times are
/// nanoseconds; 0 leaves the value open, and is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthCheck {
    /// `CMD` and words, `CMD-SHELL` and a line, `NONE`; empty: the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// From the end of a probe to the start of the next.
    #[serde(skip_serializing_if = "is_open")]
    pub interval: i64,
    /// How long a probe may run.
    #[serde(skip_serializing_if = "is_open")]
    pub timeout: i64,
    /// After the start, for so long, failures do not count.
    #[serde(skip_serializing_if = "is_open")]
    pub start_period: i64,
    /// As `interval`, in the start period while no probe has succeeded.
    #[serde(skip_serializing_if = "is_open")]
    pub start_interval: i64,
    /// So many failures in a row are unhealthy.
    #[serde(skip_serializing_if = "is_open")]
    pub retries: i64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_open(value: &i64) -> bool {
    *value == 0
}

/// Seconds to a value that was left open.
const INTERVAL: u64 = 30;
const TIMEOUT: u64 = 30;
const START_INTERVAL: u64 = 5;
const RETRIES: u32 = 3;

fn duration(nanoseconds: i64, otherwise: u64) -> Duration {
    match u64::try_from(nanoseconds) {
        Ok(given) if given > 0 => Duration::from_nanos(given),
        Ok(_) | Err(_) => Duration::from_secs(otherwise),
    }
}

impl HealthCheck {
    /// The one that runs nothing, also where the image has one.
    #[must_use]
    pub fn none() -> Self {
        Self {
            test: vec!["NONE".to_owned()],
            ..Self::default()
        }
    }

    /// What this leaves open is taken from another one.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let number = |own: i64, other: i64| if own == 0 { other } else { own };
        Self {
            interval: number(self.interval, other.interval),
            timeout: number(self.timeout, other.timeout),
            start_period: number(self.start_period, other.start_period),
            start_interval: number(self.start_interval, other.start_interval),
            retries: number(self.retries, other.retries),
            test: if self.test.is_empty() {
                other.test.clone()
            } else {
                self.test
            },
        }
    }

    /// Whether the numbers can be (moby, `validateHealthCheck`).
    ///
    /// # Errors
    /// Docker's text for the first that cannot.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("Interval", self.interval),
            ("Timeout", self.timeout),
            ("StartPeriod", self.start_period),
            ("StartInterval", self.start_interval),
        ] {
            if value != 0 && value < SHORTEST {
                return Err(format!("{name} in Healthcheck cannot be less than 1ms"));
            }
        }
        if self.retries < 0 {
            return Err("Retries in Healthcheck cannot be negative".to_owned());
        }
        Ok(())
    }

    /// What is run; `None` if nothing is. `shell` is the image's, empty for `/bin/sh -c`.
    #[must_use]
    pub fn command(&self, shell: &[String]) -> Option<Vec<String>> {
        let (kind, words) = self.test.split_first()?;
        let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
        match kind.as_str() {
            "CMD" if !words.is_empty() => Some(words.to_vec()),
            "CMD-SHELL" if shell.is_empty() => Some([default(), words.to_vec()].concat()),
            "CMD-SHELL" => Some([shell, words].concat()),
            _ => None,
        }
    }

    /// How long a probe may run.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        duration(self.timeout, TIMEOUT)
    }

    /// How long after a start failures do not count.
    #[must_use]
    pub fn start_period(&self) -> Duration {
        duration(self.start_period, 0)
    }

    /// How long the next probe waits, so long after the start.
    #[must_use]
    pub fn wait(&self, status: HealthStatus, since_start: Duration) -> Duration {
        if status == HealthStatus::Starting && since_start < self.start_period() {
            duration(self.start_interval, START_INTERVAL)
        } else {
            duration(self.interval, INTERVAL)
        }
    }

    fn retries(&self) -> u32 {
        match u32::try_from(self.retries) {
            Ok(0) | Err(_) => RETRIES,
            Ok(given) => given,
        }
    }
}

/// How a container with a health check is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has succeeded yet.
    #[default]
    Starting,
    /// The last probe succeeded, or too few have failed since.
    Healthy,
    /// Too many probes in a row have failed; or the container has ended.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What the probes have said.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Health {
    /// What follows from it.
    pub status: HealthStatus,
    /// Failures in a row that count.
    pub failing_streak: u32,
    /// The last [`KEPT`] results, oldest first.
    pub log: Vec<Probe>,
}

/// What one probe said.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Probe {
    /// When it was begun.
    pub start: Timestamp,
    /// When it had ended.
    pub end: Timestamp,
    /// 0 is healthy; -1: it took too long, or could not be run.
    pub exit_code: i32,
    /// Beginning of its output, or why it could not be run.
    pub output: String,
}

impl Health {
    /// The container starts (again): the results of before are kept, as by Docker.
    pub fn begin(&mut self) {
        self.status = HealthStatus::Starting;
        self.failing_streak = 0;
    }

    /// Takes a result of a container that was started then: the new status, if it has changed.
    pub fn take(
        &mut self,
        probe: Probe,
        check: &HealthCheck,
        started: Timestamp,
    ) -> Option<HealthStatus> {
        let before = self.status;
        let since = probe.start.duration_since(started);
        if probe.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else {
            let since = Duration::try_from(since).unwrap_or_default();
            let excused = before == HealthStatus::Starting && since < check.start_period();
            if !excused {
                self.failing_streak = self.failing_streak.saturating_add(1);
                if self.failing_streak >= check.retries() {
                    self.status = HealthStatus::Unhealthy;
                }
            }
        }
        self.log.push(probe);
        let surplus = self.log.len().saturating_sub(KEPT);
        self.log.drain(..surplus);
        (self.status != before).then_some(self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn check() -> HealthCheck {
        HealthCheck {
            test: vec!["CMD-SHELL".to_owned(), "ok".to_owned()],
            start_period: 10 * SECOND,
            retries: 2,
            ..HealthCheck::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1000 + second).unwrap()
    }

    /// Status and streak after each result: the second of its start, and its exit code.
    fn history(results: &[(i64, i32)]) -> Vec<(&'static str, u32, bool)> {
        let mut health = Health::default();
        let mut told = |(second, exit_code): &(i64, i32)| {
            let probe = Probe {
                start: at(*second),
                end: at(*second),
                exit_code: *exit_code,
                output: String::new(),
            };
            let changed = health.take(probe, &check(), at(0)).is_some();
            (health.status.as_str(), health.failing_streak, changed)
        };
        results.iter().map(&mut told).collect()
    }

    #[test]
    fn failures_count_after_the_start_period_or_the_first_success() {
        assert_eq!(
            history(&[(1, 1), (9, -1), (10, 1), (11, 2), (12, 1), (13, 0)]),
            [
                ("starting", 0, false),
                ("starting", 0, false),
                ("starting", 1, false),
                ("unhealthy", 2, true),
                ("unhealthy", 3, false),
                ("healthy", 0, true),
            ]
        );
        assert_eq!(
            history(&[(1, 0), (2, 1), (3, 0), (4, 1), (5, 1)]),
            [
                ("healthy", 0, true),
                ("healthy", 1, false),
                ("healthy", 0, false),
                ("healthy", 1, false),
                ("unhealthy", 2, true),
            ]
        );
    }

    #[test]
    fn the_last_five_results_are_kept() {
        let mut health = Health::default();
        for second in 0..8 {
            let probe = Probe {
                start: at(second),
                end: at(second),
                exit_code: 0,
                output: String::new(),
            };
            health.take(probe, &check(), at(0));
        }
        let kept: Vec<Timestamp> = health.log.iter().map(|probe| probe.start).collect();
        assert_eq!(kept, [at(3), at(4), at(5), at(6), at(7)]);
        health.begin();
        assert_eq!(
            (health.status, health.log.len()),
            (HealthStatus::Starting, 5)
        );
    }

    #[test]
    fn the_start_interval_is_for_the_start_period_alone() {
        let check = check();
        let wait = |status, second| check.wait(status, Duration::from_secs(second)).as_secs();
        assert_eq!(wait(HealthStatus::Starting, 0), 5);
        assert_eq!(wait(HealthStatus::Starting, 10), 30);
        assert_eq!(wait(HealthStatus::Healthy, 0), 30);
    }

    #[test]
    fn what_is_run_depends_on_the_first_word() {
        let words = |test: &[&str], shell: &[&str]| {
            let strings = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
            let check = HealthCheck {
                test: strings(test),
                ..HealthCheck::default()
            };
            let shell: Vec<String> = strings(shell);
            check.command(&shell).map(|words| words.join("|"))
        };
        assert_eq!(words(&["CMD", "a", "b c"], &[]).unwrap(), "a|b c");
        assert_eq!(words(&["CMD-SHELL", "a b"], &[]).unwrap(), "/bin/sh|-c|a b");
        assert_eq!(
            words(&["CMD-SHELL", "a"], &["ash", "-e"]).unwrap(),
            "ash|-e|a"
        );
        for nothing in [&["NONE"][..], &[], &["CMD"], &["cmd", "a"]] {
            assert_eq!(words(nothing, &[]), None);
        }
    }

    #[test]
    fn docker_reads_what_we_write() {
        let text = r#"{"Test":["CMD-SHELL","ok"],"StartPeriod":10000000000,"Retries":2}"#;
        assert_eq!(serde_json::to_string(&check()).unwrap(), text);
        assert_eq!(serde_json::from_str::<HealthCheck>(text).unwrap(), check());
        let image = HealthCheck {
            interval: SECOND,
            retries: 9,
            test: vec!["CMD".to_owned()],
            ..HealthCheck::default()
        };
        let merged = check().or(&image);
        assert_eq!((merged.interval, merged.retries), (SECOND, 2));
        assert_eq!(merged.test, check().test);
    }

    #[test]
    fn impossible_numbers_are_named() {
        let short = HealthCheck {
            start_interval: 999_999,
            ..HealthCheck::default()
        };
        let error = short.check().unwrap_err();
        assert_eq!(
            error,
            "StartInterval in Healthcheck cannot be less than 1ms"
        );
        assert!(check().check().is_ok());
    }
}
