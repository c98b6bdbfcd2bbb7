//! `update`, and limits as `create`, `run` and `update` take them.

use super::args;
use super::output::Out;
use super::report::{self, Failure, Outcome};
use super::{Context, value};
use crate::engine::model::{Resources, request};

/// `update`.
pub fn update(context: &Context, args: &args::Update) -> Outcome {
    let request = request(args).map_err(Failure::plain)?;
    let engine = context.engine()?;
    let mut out = Out::new();
    let mut code = 0;
    for name in &args.operands {
        match engine
            .resolve(name)
            .and_then(|id| engine.update(&id, &request))
        {
            Ok(()) => out.line(name)?,
            Err(error) => {
                report::complain(&report::line(&error));
                code = 1;
            }
        }
    }
    out.finish()?;
    Ok(code)
}

/// What is asked.
///
/// # Errors
/// Docker's text for what cannot be, or if nothing is asked.
pub fn request(args: &args::Update) -> Result<request::Update, String> {
    let limits = &args.limits;
    let restart = args
        .restart
        .as_deref()
        .filter(|text| !text.is_empty())
        .map(value::restart_policy)
        .transpose()?;
    if restart.is_none() && is_empty(limits) {
        return Err("you must provide one or more flags when using this command".to_owned());
    }
    Ok(request::Update {
        resources: changes(limits)?,
        unlimited_pids: limits.pids_limit.is_some_and(|limit| limit <= 0),
        restart,
    })
}

fn is_empty(limits: &args::Limits) -> bool {
    let given = [
        limits.blkio_weight.is_some(),
        limits.cpu_period.is_some(),
        limits.cpu_quota.is_some(),
        limits.cpu_rt_period.is_some(),
        limits.cpu_rt_runtime.is_some(),
        limits.cpu_shares.is_some(),
        limits.cpus.is_some(),
        limits.cpuset_cpus.is_some(),
        limits.cpuset_mems.is_some(),
        limits.memory.is_some(),
        limits.memory_reservation.is_some(),
        limits.memory_swap.is_some(),
        limits.pids_limit.is_some(),
    ];
    !given.contains(&true)
}

/// Docker's least memory limit.
const LEAST_MEMORY: u64 = 6 << 20;

/// The limits of a new container.
///
/// # Errors
/// Docker's text for what cannot be.
pub fn resources(limits: &args::Limits) -> Result<Resources, String> {
    let resources = changes(limits)?;
    match (resources.memory, resources.memory_swap) {
        (None, Some(swap)) if swap > 0 => Err(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
                .to_owned(),
        ),
        (Some(memory), Some(swap)) if u64::try_from(swap).is_ok_and(|swap| swap < memory) => {
            Err("Minimum memoryswap limit should be larger than memory limit, see usage".to_owned())
        }
        _ => Ok(resources),
    }
}

/// What is given; zero is "not given" for all of them.
fn changes(limits: &args::Limits) -> Result<Resources, String> {
    let memory = limits.memory.filter(|bytes| *bytes > 0);
    if memory.is_some_and(|bytes| bytes < LEAST_MEMORY) {
        return Err("Minimum memory limit allowed is 6MB".to_owned());
    }
    let cpu_shares = match limits.cpu_shares {
        None | Some(0) => None,
        Some(shares) => Some(
            u64::try_from(shares)
                .map_err(|_e| {
                    format!("invalid CPU shares ({shares}): value must be a positive integer")
                })?
                .clamp(2, 262_144),
        ),
    };
    let period = |name: &str, given: Option<i64>| match given {
        None | Some(0) => Ok(None),
        Some(given) => u64::try_from(given)
            .map(Some)
            .map_err(|_e| format!("invalid {name} ({given}): value must be a positive integer")),
    };
    Ok(Resources {
        memory,
        memory_swap: limits.memory_swap.filter(|bytes| *bytes != 0),
        memory_reservation: limits.memory_reservation.filter(|bytes| *bytes > 0),
        nano_cpus: limits.cpus.filter(|cpus| *cpus > 0),
        cpu_period: period("CPU period", limits.cpu_period)?,
        cpu_quota: limits.cpu_quota.filter(|quota| *quota != 0),
        cpu_rt_period: period("CPU real-time period", limits.cpu_rt_period)?,
        cpu_rt_runtime: limits.cpu_rt_runtime.filter(|runtime| *runtime != 0),
        cpu_shares,
        cpuset_cpus: list(limits.cpuset_cpus.as_deref(), "cpus")?,
        cpuset_mems: list(limits.cpuset_mems.as_deref(), "mems")?,
        blkio_weight: limits.blkio_weight.filter(|weight| *weight > 0),
        // -1 and 0 are "without limit".
        pids_limit: limits
            .pids_limit
            .and_then(|limit| u64::try_from(limit).ok())
            .filter(|n| *n > 0),
        ..Resources::default()
    })
}

/// `0-3,5`.
fn list(text: Option<&str>, what: &str) -> Result<Option<String>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) => first <= last,
            _ => false,
        }
    };
    if text.split(',').all(|part| range(part.trim())) {
        Ok(Some(text.to_owned()))
    } else {
        Err(format!("Invalid value {text} for cpuset {what}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;
    use crate::cli::parse;
    use crate::engine::model::RestartPolicy;

    fn read(line: &str) -> Result<request::Update, String> {
        let command = parse::as_pflag(args::Update::augment_args(Command::new("")));
        let mut matches = command
            .try_get_matches_from(line.split_whitespace())
            .map_err(|error| error.to_string())?;
        request(&args::Update::from_arg_matches_mut(&mut matches).unwrap())
    }

    #[test]
    fn flags_of_update_become_a_change() {
        let change =
            read("-m 64m --cpu-quota 5000 --cpuset-mems 0 --blkio-weight 300 web").unwrap();
        assert_eq!(change.resources.memory, Some(64 << 20));
        assert_eq!(change.resources.cpu_quota, Some(5000));
        assert_eq!(change.resources.cpuset_mems.as_deref(), Some("0"));
        assert_eq!(change.resources.blkio_weight, Some(300));
        assert_eq!(change.restart, None);
        assert!(read("--pids-limit -1 web").unwrap().unlimited_pids);
        let policy = read("--restart on-failure:3 web").unwrap().restart;
        assert_eq!(policy, Some(RestartPolicy::OnFailure { max: 3 }));
    }

    #[test]
    fn an_update_without_a_change_is_refused() {
        for (line, text) in [
            ("web", "one or more flags"),
            ("--cpu-period -1 web", "invalid CPU period (-1)"),
            ("--cpuset-mems x web", "for cpuset mems"),
            ("--restart sometimes web", "unknown policy 'sometimes'"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }
}
