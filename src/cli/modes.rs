//! The grammars of what the host keeps for a container, with Docker's words for what is wrong.

use super::args;
use super::value;
use crate::engine::model::Keeping;
use crate::engine::model::container::{DeviceLimits, DeviceRate, DeviceWeight};

/// What only wharf can be asked for: it is the one runtime, on Linux, with its own store and volumes.
///
/// # Errors
/// What there is not, by its name.
pub fn check(args: &args::Modes) -> Result<(), String> {
    match args.runtime.as_deref() {
        None | Some("" | "wharf") => {}
        Some(other) => {
            return Err(format!(
                "unknown or invalid runtime name: {other}: there is only wharf's own (\"wharf\")"
            ));
        }
    }
    match args.isolation.as_deref() {
        None | Some("" | "default") => {}
        Some(other) => {
            return Err(format!(
                "invalid isolation: {other:?} - linux only supports 'default'"
            ));
        }
    }
    match args.volume_driver.as_deref() {
        None | Some("" | "local") => {}
        Some(other) => {
            return Err(format!(
                "--volume-driver {other}: plugin {other:?} not found: there is only \"local\""
            ));
        }
    }
    match args.storage_opt.first() {
        None => Ok(()),
        Some(option) if !option.contains('=') => Err("invalid storage option".to_owned()),
        Some(option) => Err(format!(
            "--storage-opt {option}: the size of a container's file system cannot be limited; a volume of type tmpfs has a size"
        )),
    }
}

/// Everything but limits.
///
/// # Errors
/// Docker's text for a number that is out of range.
pub fn keeping(args: &args::Modes) -> Result<Keeping, String> {
    let score = args.oom_score_adj.unwrap_or(0);
    let oom_score_adj = i32::try_from(score)
        .ok()
        .filter(|score| (-1000..=1000).contains(score))
        .ok_or_else(|| {
            format!("invalid value {score}, range for oom score adj is [-1000, 1000]")
        })?;
    Ok(Keeping {
        init: args.init.then_some(true),
        annotations: args.annotation.iter().cloned().collect(),
        cgroup_parent: args.cgroup_parent.clone().unwrap_or_default(),
        oom_score_adj,
    })
}

/// Limits of single devices.
pub fn device_limits(args: &args::Modes) -> DeviceLimits {
    DeviceLimits {
        weights: args.blkio_weight_device.clone(),
        read_bytes: args.device_read_bps.clone(),
        write_bytes: args.device_write_bps.clone(),
        read_ios: args.device_read_iops.clone(),
        write_ios: args.device_write_iops.clone(),
    }
}

/// 0 to 100; -1 is not given.
///
/// # Errors
/// Docker's text.
pub fn swappiness(args: &args::Modes) -> Result<Option<u64>, String> {
    match args.memory_swappiness {
        None | Some(-1) => Ok(None),
        Some(value @ 0..=100) => Ok(u64::try_from(value).ok()),
        Some(value) => Err(format!(
            "invalid value: {value}. Valid memory swappiness range is 0-100"
        )),
    }
}

/// `key=value`.
pub fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    // What the engine tells itself is not for others to say.
    if key.is_empty() || key.starts_with("wharf.") {
        return Err(format!("invalid annotation: {text:?}"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A path below the root of all groups: nothing climbs.
pub fn cgroup_parent(text: &str) -> Result<String, String> {
    let relative = text.trim_matches('/');
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if text.is_empty() || (!relative.is_empty() && relative.split('/').all(plain)) {
        Ok(relative.to_owned())
    } else {
        Err(format!("invalid cgroup parent: {text:?}"))
    }
}

/// `path:weight`, 10 to 1000, or 0 for none.
pub fn device_weight(text: &str) -> Result<DeviceWeight, String> {
    let (path, number) = device(text)?;
    let weight = number
        .parse::<u16>()
        .ok()
        .filter(|weight| *weight == 0 || (10..=1000).contains(weight))
        .ok_or_else(|| format!("invalid weight for device: {text}"))?;
    Ok(DeviceWeight {
        path: path.to_owned(),
        weight,
    })
}

/// `path:bytes`, with a unit or not.
pub fn byte_rate(text: &str) -> Result<DeviceRate, String> {
    let (path, number) = device(text)?;
    let rate = value::bytes(number).map_err(|_e| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        )
    })?;
    Ok(DeviceRate {
        path: path.to_owned(),
        rate,
    })
}

/// `path:number`.
pub fn io_rate(text: &str) -> Result<DeviceRate, String> {
    let (path, number) = device(text)?;
    let rate = number.parse::<u64>().map_err(|_e| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive integer"
        )
    })?;
    Ok(DeviceRate {
        path: path.to_owned(),
        rate,
    })
}

fn device(text: &str) -> Result<(&str, &str), String> {
    let (path, number) = text
        .split_once(':')
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| format!("bad format: {text}"))?;
    if path.starts_with("/dev/") {
        Ok((path, number))
    } else {
        Err(format!("bad format for device path: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;
    use crate::cli::parse;
    use crate::engine::model::modes::{IpcMode, PidMode};

    fn read(line: &str) -> args::Modes {
        let command = parse::as_pflag(args::Modes::augment_args(Command::new("")));
        let words = line.split_whitespace();
        let mut matches = command.try_get_matches_from(words).unwrap();
        args::Modes::from_arg_matches_mut(&mut matches).unwrap()
    }

    #[test]
    fn namespaces_are_named_as_docker_names_them() {
        let modes = |line: &str| read(line).namespaces();
        assert_eq!(modes("").unwrap(), crate::engine::model::Modes::default());
        let pid = modes("--pid container:web").unwrap().pid;
        assert_eq!(pid, PidMode::Container("web".to_owned()));
        for word in ["none", "private", "shareable", "host", "container:x"] {
            assert_eq!(
                modes(&format!("--ipc {word}")).unwrap().ipc.to_string(),
                word
            );
        }
        assert_eq!(modes("--ipc=").unwrap().ipc, IpcMode::Private);
        for (line, text) in [
            ("--pid foo", "--pid: invalid PID mode"),
            ("--pid container:", "--pid: invalid PID mode"),
            ("--ipc foo", "invalid IPC mode: foo"),
            ("--uts foo", "--uts: invalid UTS mode"),
            ("--userns foo", "--userns: invalid USER mode"),
            ("--cgroupns foo", "--cgroupns: invalid CGROUP mode"),
        ] {
            assert_eq!(modes(line).unwrap_err(), text);
        }
    }

    #[test]
    fn what_there_is_not_is_named() {
        for (line, text) in [
            ("--runtime runc", "unknown or invalid runtime name: runc"),
            ("--isolation hyperv", "invalid isolation: \"hyperv\""),
            ("--volume-driver nfs", "plugin \"nfs\" not found"),
            ("--storage-opt size=1g", "--storage-opt size=1g"),
            ("--storage-opt foo", "invalid storage option"),
        ] {
            let error = check(&read(line)).unwrap_err();
            assert!(error.starts_with(text) || error.contains(text), "{error}");
        }
        let harmless = "--runtime wharf --isolation default --volume-driver local";
        assert!(check(&read(harmless)).is_ok());
    }

    #[test]
    fn numbers_are_in_their_range() {
        let score = |line: &str| keeping(&read(line)).map(|keeping| keeping.oom_score_adj);
        assert_eq!(score("--oom-score-adj -1000"), Ok(-1000));
        assert_eq!(
            score("--oom-score-adj 1001"),
            Err("invalid value 1001, range for oom score adj is [-1000, 1000]".to_owned())
        );
        let swap = |line: &str| swappiness(&read(line));
        assert_eq!(swap("--memory-swappiness -1"), Ok(None));
        assert_eq!(swap("--memory-swappiness 0"), Ok(Some(0)));
        assert!(swap("--memory-swappiness 101").is_err());
    }

    #[test]
    fn limits_of_devices_have_a_path_and_a_number() {
        assert_eq!(device_weight("/dev/x:100").unwrap().weight, 100);
        assert_eq!(byte_rate("/dev/x:1m").unwrap().rate, 1 << 20);
        assert_eq!(io_rate("/dev/x:5").unwrap().rate, 5);
        for (got, text) in [
            (device_weight("x").map(drop), "bad format: x"),
            (
                device_weight("x:100").map(drop),
                "bad format for device path: x:100",
            ),
            (
                device_weight("/dev/x:5").map(drop),
                "invalid weight for device: /dev/x:5",
            ),
            (
                byte_rate("/dev/x:x").map(drop),
                "invalid rate for device: /dev/x:x. The",
            ),
            (
                io_rate("/dev/x:-1").map(drop),
                "invalid rate for device: /dev/x:-1. The",
            ),
        ] {
            let error = got.unwrap_err();
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn a_parent_group_is_below_the_root_and_an_annotation_is_not_our_own() {
        assert_eq!(cgroup_parent("/a/b/"), Ok("a/b".to_owned()));
        assert_eq!(cgroup_parent(""), Ok(String::new()));
        for text in ["/", "..", "a/../b", "a//b", "./a"] {
            assert!(cgroup_parent(text).is_err(), "{text}");
        }
        assert_eq!(annotation("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(annotation("wharf.seccomp=x").is_err() && annotation("=x").is_err());
    }
}
