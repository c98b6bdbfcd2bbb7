//! The grammars of devices, limits and kernel parameters, with Docker's words for what is wrong.

use std::collections::BTreeMap;

use super::args;
use super::value;
use crate::engine::model::Rights;
use crate::engine::model::rights::{
    CDI, Device, DeviceKind, DeviceRequest, DeviceRule, ULIMITS, Ulimit, is_qualified,
};

/// Everything that was given.
///
/// # Errors
/// Docker's text for a device that cannot be.
pub fn rights(args: &args::Rights) -> Result<Rights, String> {
    let (named, paths): (Vec<&String>, Vec<&String>) =
        args.device.iter().partition(|text| is_qualified(text));
    let devices: Result<Vec<Device>, String> = paths.into_iter().map(|text| device(text)).collect();
    let by_name = (!named.is_empty()).then(|| DeviceRequest {
        driver: CDI.to_owned(),
        ids: named.into_iter().cloned().collect(),
        ..DeviceRequest::default()
    });
    // The last of one name counts; they are kept in the order of their names, as Docker keeps them.
    let ulimits: BTreeMap<&str, &Ulimit> = args
        .ulimit
        .iter()
        .map(|limit| (limit.name.as_str(), limit))
        .collect();
    Ok(Rights {
        privileged: args.privileged,
        devices: devices?,
        device_rules: args.device_cgroup_rule.clone(),
        device_requests: args.gpus.iter().cloned().chain(by_name).collect(),
        groups: args.group_add.clone(),
        ulimits: ulimits.into_values().cloned().collect(),
        sysctls: args.sysctl.iter().cloned().collect(),
    })
}

/// `host[:container[:rwm]]`, or `host:rwm`.
fn device(text: &str) -> Result<Device, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_access = |part: &str| {
        let known = |c: char| matches!(c, 'r' | 'w' | 'm') && part.matches(c).count() == 1;
        !part.is_empty() && part.chars().all(known)
    };
    let (host, container, access) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, access] if is_access(access) => (*host, *host, *access),
        [host, container] => (*host, *container, "rwm"),
        [_, _, access] if !is_access(access) => {
            return Err(format!("bad mode specified: {access}"));
        }
        [host, container, access] => (*host, *container, *access),
        _ => return Err(format!("bad format for path: {text}")),
    };
    if host.is_empty() {
        return Err(format!("bad format for path: {text}"));
    }
    for path in [container, host] {
        if !path.starts_with('/') {
            return Err(format!("{path} is not an absolute path"));
        }
    }
    Ok(Device {
        host: value::clean(host),
        container: value::clean(container),
        access: access.to_owned(),
    })
}

/// `c 1:3 rwm`, with `*` for any number.
pub fn device_rule(text: &str) -> Result<DeviceRule, String> {
    let parse = || {
        let mut parts = text.split(' ');
        let kind = match parts.next()? {
            "a" => DeviceKind::All,
            "b" => DeviceKind::Block,
            "c" => DeviceKind::Character,
            _ => return None,
        };
        let (major, minor) = parts.next()?.split_once(':')?;
        let access = parts.next()?;
        let known = (1..=3).contains(&access.len()) && access.chars().all(|c| "rwm".contains(c));
        if !known || parts.next().is_some() {
            return None;
        }
        Some(DeviceRule {
            kind,
            major: number(major).ok()?,
            minor: number(minor).ok()?,
            access: access.to_owned(),
        })
    };
    parse().ok_or_else(|| format!("invalid device cgroup format '{text}'"))
}

/// Digits, or `*` for any: `None`.
fn number(text: &str) -> Result<Option<u32>, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text {
        "*" => Ok(None),
        _ if digits => text.parse().map(Some).map_err(|_e| text.to_owned()),
        _ => Err(text.to_owned()),
    }
}

/// `name=value`, of a namespace that a container has.
pub fn sysctl(text: &str) -> Result<(String, String), String> {
    const KNOWN: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    const PREFIXES: &[&str] = &["net.", "fs.mqueue."];
    match text.split_once('=') {
        Some((name, value))
            if KNOWN.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p)) =>
        {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(format!("sysctl '{text}' is not allowed")),
    }
}

/// `name=soft[:hard]`.
pub fn ulimit(text: &str) -> Result<Ulimit, String> {
    let (name, limits) = text
        .split_once('=')
        .ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    if !ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let parts: Vec<&str> = limits.split(':').collect();
    let (soft, hard) = match parts.as_slice() {
        [soft] => (value::int(soft)?, value::int(soft)?),
        [soft, hard] => (value::int(soft)?, value::int(hard)?),
        _ => {
            return Err(format!(
                "too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
            ));
        }
    };
    // -1 is without limit, and so more than any number.
    let order = |limit: i64| if limit == -1 { i64::MAX } else { limit };
    if order(soft) > order(hard) {
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ));
    }
    Ok(Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

/// `all`, a number, or comma-separated `device=…`, `count=…`, `capabilities=…`, `driver=…`, `options=…`; a field with
/// commas is quoted.
pub fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest::default();
    let mut seen: Vec<&str> = Vec::new();
    let fields = value::csv(text)?;
    for field in &fields {
        let (key, value) = match field.split_once('=') {
            Some(pair) => pair,
            None => ("count", field.as_str()),
        };
        let list = || value.split(',').map(str::to_owned).collect();
        if seen.contains(&key) {
            return Err(format!(
                "gpu request key '{key}' can be specified only once"
            ));
        }
        seen.push(key);
        match key {
            "count" => request.count = gpu_count(value)?,
            "device" => request.ids = list(),
            "driver" => value.clone_into(&mut request.driver),
            "capabilities" => request.capabilities = list(),
            "options" => {
                let pair = |option: &str| match option.split_once('=') {
                    Some((name, value)) => (name.to_owned(), value.to_owned()),
                    None => (option.to_owned(), String::new()),
                };
                request.options = value.split(',').map(pair).collect();
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !seen.contains(&"count") && request.ids.is_empty() {
        request.count = 1;
    }
    if !request.capabilities.iter().any(|name| name == "gpu") {
        request.capabilities.push("gpu".to_owned());
    }
    Ok(request)
}

fn gpu_count(text: &str) -> Result<i64, String> {
    if text == "all" {
        return Ok(-1);
    }
    value::int(text).map_err(|_e| {
        format!(
            "invalid count ({text}): value must be either \"all\" or an integer: invalid syntax"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses<T: std::fmt::Debug>(got: Result<T, String>, text: &str) {
        assert_eq!(got.unwrap_err(), text);
    }

    #[test]
    fn a_device_is_a_path_perhaps_another_one_and_what_may_be_done() {
        let check = |text: &str, expect: [&str; 3]| {
            let got = device(text).unwrap();
            assert_eq!(
                [got.host.as_str(), &got.container, &got.access],
                expect,
                "{text}"
            );
        };
        check("/dev/x", ["/dev/x", "/dev/x", "rwm"]);
        check("/dev/x:r", ["/dev/x", "/dev/x", "r"]);
        check("/dev/x:/dev/../y", ["/dev/x", "/y", "rwm"]);
        check("/dev/x:/y:mw", ["/dev/x", "/y", "mw"]);
        refuses(device("x:y:z:w"), "bad format for path: x:y:z:w");
        refuses(device("/dev/x:/y:q"), "bad mode specified: q");
        refuses(device("/dev/x:/y:rr"), "bad mode specified: rr");
        refuses(device("/dev/x:q"), "q is not an absolute path");
        refuses(device("/dev/x:"), " is not an absolute path");
        refuses(device("x"), "x is not an absolute path");
        refuses(device(""), "bad format for path: ");
        refuses(device(":/x"), "bad format for path: :/x");
    }

    #[test]
    fn a_rule_of_devices_is_that_of_the_cgroup() {
        for text in ["c 1:3 rwm", "b *:7 r", "a *:* rwm"] {
            assert_eq!(device_rule(text).unwrap().to_string(), text);
        }
        for text in [
            "x",
            "z 1:3 rw",
            "c 1 rw",
            "c 1:3 q",
            "c 1:3 rw x",
            "c :3 r",
            "c 1:3 ",
        ] {
            let error = format!("invalid device cgroup format '{text}'");
            refuses(device_rule(text), &error);
        }
    }

    #[test]
    fn parameters_are_those_of_a_containers_namespaces() {
        let pair = ("net.ipv4.ip_forward".to_owned(), "1=2".to_owned());
        assert_eq!(sysctl("net.ipv4.ip_forward=1=2"), Ok(pair));
        assert!(sysctl("kernel.sem=").is_ok() && sysctl("fs.mqueue.x=1").is_ok());
        for text in ["", "net.x", "kernel.foo=1", "vm.swappiness=1"] {
            refuses(sysctl(text), &format!("sysctl '{text}' is not allowed"));
        }
    }

    #[test]
    fn a_limit_is_one_number_or_two() {
        let limit = |text: &str| ulimit(text).map(|limit| (limit.soft, limit.hard));
        assert_eq!(limit("nofile=100"), Ok((100, 100)));
        assert_eq!(limit("nofile=100:-1"), Ok((100, -1)));
        assert_eq!(limit("core=-1"), Ok((-1, -1)));
        refuses(ulimit("nofile"), "invalid ulimit argument: nofile");
        refuses(ulimit("foo=1"), "invalid ulimit type: foo");
        refuses(ulimit("=1"), "invalid ulimit type: ");
        refuses(
            ulimit("nofile=2:1"),
            "ulimit soft limit must be less than or equal to hard limit: 2 > 1",
        );
        refuses(
            ulimit("nofile=-1:5"),
            "ulimit soft limit must be less than or equal to hard limit: -1 > 5",
        );
        refuses(
            ulimit("nofile=a"),
            "strconv.ParseInt: parsing \"a\": invalid syntax",
        );
        refuses(
            ulimit("nofile=1:2:3"),
            "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`",
        );
    }

    #[test]
    fn graphics_processors_are_counted_or_named() {
        let check = |text: &str, count: i64, ids: &[&str], capabilities: &[&str]| {
            let got = gpus(text).unwrap();
            assert_eq!(got.count, count, "{text}");
            assert_eq!(got.ids, ids, "{text}");
            assert_eq!(got.capabilities, capabilities, "{text}");
        };
        check("all", -1, &[], &["gpu"]);
        check("2", 2, &[], &["gpu"]);
        check("driver=x", 1, &[], &["gpu"]);
        check("device=1,capabilities=foo", 0, &["1"], &["foo", "gpu"]);
        check("\"device=0,1\"", 0, &["0", "1"], &["gpu"]);
        refuses(
            gpus("x"),
            "invalid count (x): value must be either \"all\" or an integer: invalid syntax",
        );
        refuses(gpus("foo=1"), "unexpected key 'foo' in 'foo=1'");
        refuses(
            gpus("1,count=2"),
            "gpu request key 'count' can be specified only once",
        );
    }
}
