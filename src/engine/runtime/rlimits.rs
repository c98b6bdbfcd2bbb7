//! Resource limits of the payload (getrlimit(2)).

use oci_spec::runtime::{PosixRlimit, PosixRlimitType};

use crate::engine::error::Result;
use crate::engine::sys::process;

/// Sets each of them on the calling process.
///
/// # Errors
/// The limit's name and what the kernel says.
pub fn apply(limits: &[PosixRlimit]) -> Result<()> {
    for limit in limits {
        let (number, name) = kernel_number(limit.typ());
        process::set_limit(number, limit.soft(), limit.hard(), name)?;
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
