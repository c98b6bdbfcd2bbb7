//! Resource limits of the payload (getrlimit(2)).

use oci_spec::runtime::{PosixRlimit, PosixRlimitType};

use crate::engine::error::{Attempt, Error, Result};
use crate::engine::sys::process;

/// Refuses a limit that is given twice (runtime-spec, "POSIX process", `rlimits`).
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) naming it.
pub fn check(limits: &[PosixRlimit]) -> Result<()> {
    for (number, limit) in limits.iter().enumerate() {
        let kind = limit.typ();
        if limits.iter().take(number).any(|other| other.typ() == kind) {
            return Err(Error::invalid(format!(
                "process.rlimits: {kind} is given more than once"
            )));
        }
    }
    Ok(())
}

/// Sets each of them on the calling process.
///
/// # Errors
/// The limit's name and what the kernel says.
pub fn apply(limits: &[PosixRlimit]) -> Result<()> {
    apply_to(0, limits)
}

/// The same on another process.
///
/// # Errors
/// As [`apply`].
pub fn apply_to(pid: i32, limits: &[PosixRlimit]) -> Result<()> {
    for limit in limits {
        let (number, name) = kernel_number(limit.typ());
        process::set_limit(pid, number, limit.soft(), limit.hard(), name)
            .attempt(|| format!("process.rlimits: {}", limit.typ()))?;
    }
    Ok(())
}

fn kernel_number(kind: PosixRlimitType) -> (u32, &'static str) {
    match kind {
        PosixRlimitType::RlimitCpu => (0, "cpu"),
        PosixRlimitType::RlimitFsize => (1, "fsize"),
        PosixRlimitType::RlimitData => (2, "data"),
        PosixRlimitType::RlimitStack => (3, "stack"),
        PosixRlimitType::RlimitCore => (4, "core"),
        PosixRlimitType::RlimitRss => (5, "rss"),
        PosixRlimitType::RlimitNproc => (6, "nproc"),
        PosixRlimitType::RlimitNofile => (7, "nofile"),
        PosixRlimitType::RlimitMemlock => (8, "memlock"),
        PosixRlimitType::RlimitAs => (9, "as"),
        PosixRlimitType::RlimitLocks => (10, "locks"),
        PosixRlimitType::RlimitSigpending => (11, "sigpending"),
        PosixRlimitType::RlimitMsgqueue => (12, "msgqueue"),
        PosixRlimitType::RlimitNice => (13, "nice"),
        PosixRlimitType::RlimitRtprio => (14, "rtprio"),
        PosixRlimitType::RlimitRttime => (15, "rttime"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_given_once() {
        let parse = |json| -> Vec<PosixRlimit> { serde_json::from_str(json).unwrap() };
        let two =
            r#"[{"type":"RLIMIT_CPU","soft":1,"hard":1},{"type":"RLIMIT_AS","soft":1,"hard":1}]"#;
        assert!(check(&parse(two)).is_ok());
        let error = check(&parse(&two.replace("_AS", "_CPU"))).unwrap_err();
        let text = "process.rlimits: RLIMIT_CPU is given more than once";
        assert_eq!(error.to_string(), text);
    }
}
