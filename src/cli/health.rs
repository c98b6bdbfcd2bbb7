//! The flags of health checks, and how Docker checks them against each other.

use clap::Args;

use super::value;
use crate::engine::model::HealthCheck;

/// `--health-*` and `--no-healthcheck`; times in nanoseconds.
#[derive(Debug, Clone, Default, Args)]
pub struct Health {
    /// Command to run to check health
    #[arg(long, value_name = "string")]
    pub health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h) (default 30s)
    #[arg(long, value_name = "duration", value_parser = value::duration)]
    pub health_interval: Option<i64>,
    /// Consecutive failures needed to report unhealthy (default 3)
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub health_retries: Option<i64>,
    /// Time between running the check during the start period (ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = value::duration)]
    pub health_start_interval: Option<i64>,
    /// Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = value::duration)]
    pub health_start_period: Option<i64>,
    /// Maximum time to allow one check to run (ms|s|m|h) (default 30s)
    #[arg(long, value_name = "duration", value_parser = value::duration)]
    pub health_timeout: Option<i64>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    pub no_healthcheck: bool,
}

/// What they ask for; `None`: as the image says.
///
/// # Errors
/// Docker's text for what contradicts itself or is negative.
pub fn check(args: &Health) -> Result<Option<HealthCheck>, String> {
    let numbers = [
        ("--health-interval", args.health_interval),
        ("--health-timeout", args.health_timeout),
        ("--health-retries", args.health_retries),
        ("--health-start-period", args.health_start_period),
        ("--health-start-interval", args.health_start_interval),
    ]
    .map(|(name, value)| (name, value.unwrap_or(0)));
    let command = args.health_cmd.as_deref().unwrap_or_default();
    let any = !command.is_empty() || numbers.iter().any(|(_, value)| *value != 0);
    if args.no_healthcheck {
        if any {
            return Err("--no-healthcheck conflicts with --health-* options".to_owned());
        }
        return Ok(Some(HealthCheck::none()));
    }
    if !any {
        return Ok(None);
    }
    if let Some((name, _)) = numbers.iter().find(|(_, value)| *value < 0) {
        return Err(format!("{name} cannot be negative"));
    }
    let [interval, timeout, retries, start_period, start_interval] = numbers.map(|(_, n)| n);
    let check = HealthCheck {
        test: match command {
            "" => Vec::new(),
            line => vec!["CMD-SHELL".to_owned(), line.to_owned()],
        },
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    };
    check.check()?;
    Ok(Some(check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_a_check_or_dockers_complaint() {
        let asked = |change: fn(&mut Health)| {
            let mut args = Health::default();
            change(&mut args);
            check(&args)
        };
        assert_eq!(asked(|_| ()), Ok(None));
        // Zeros and the empty command leave everything to the image.
        assert_eq!(
            asked(|args| {
                args.health_interval = Some(0);
                args.health_cmd = Some(String::new());
            }),
            Ok(None)
        );
        let made = asked(|args| {
            args.health_cmd = Some("a b".to_owned());
            args.health_timeout = Some(1_500_000_000);
        });
        let made = made.unwrap().unwrap();
        assert_eq!(made.test, ["CMD-SHELL", "a b"]);
        assert_eq!((made.timeout, made.interval), (1_500_000_000, 0));
        assert_eq!(
            asked(|args| args.no_healthcheck = true)
                .unwrap()
                .unwrap()
                .test,
            ["NONE"]
        );
        for (change, why) in [
            (
                (|args| {
                    args.no_healthcheck = true;
                    args.health_retries = Some(1);
                }) as fn(&mut Health),
                "--no-healthcheck conflicts with --health-* options",
            ),
            (
                |args| args.health_retries = Some(-1),
                "--health-retries cannot be negative",
            ),
            (
                |args| args.health_interval = Some(10),
                "Interval in Healthcheck cannot be less than 1ms",
            ),
        ] {
            assert_eq!(asked(change).unwrap_err(), why);
        }
    }
}
