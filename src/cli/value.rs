//! The grammars of the flags' values, with Docker's words for what is wrong. Each is read once, here.

use std::str::FromStr;

use crate::engine::model::{Platform, RestartPolicy, Timestamp, go_duration, signal, units};

/// One of `-a`'s streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard input.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// `--filter key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Left of the first `=`, lower case, trimmed.
    pub key: String,
    /// Right of it, trimmed.
    pub value: String,
}

/// Go's `strconv.ParseBool`.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing {text:?}: invalid syntax"
        )),
    }
}

/// Go's `strconv.ParseInt` in base 10.
pub fn int(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                "value out of range"
            }
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {text:?}: {why}")
    })
}

/// Go's `strconv.ParseUint` of 16 bits.
pub fn uint16(text: &str) -> Result<u16, String> {
    text.parse::<u16>().map_err(|error| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseUint: parsing {text:?}: {why}")
    })
}

/// `64m`.
pub fn bytes(text: &str) -> Result<u64, String> {
    units::parse_bytes(text).ok_or_else(|| format!("invalid size: '{text}'"))
}

/// `--memory-swap`: a size or -1.
pub fn swap(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    i64::try_from(bytes(text)?).map_err(|_e| format!("invalid size: '{text}'"))
}

/// `--cpus`: a decimal number of CPUs, in billionths.
pub fn nano_cpus(text: &str) -> Result<u64, String> {
    let wrong = || format!("failed to parse {text} as a rational number");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    if fraction.trim_end_matches('0').len() > 9 {
        return Err("value is too precise".to_owned());
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_e| wrong())?
    };
    let nanos: u64 = format!("{:0<9}", fraction.trim_end_matches('0'))
        .parse()
        .map_err(|_e| wrong())?;
    whole
        .checked_mul(1_000_000_000)
        .and_then(|n| n.checked_add(nanos))
        .ok_or_else(wrong)
}

/// `-a`.
pub fn stream(text: &str) -> Result<Stream, String> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" => Ok(Stream::Stdin),
        "stdout" => Ok(Stream::Stdout),
        "stderr" => Ok(Stream::Stderr),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

/// `-e`: a name, perhaps with a value.
pub fn env(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid environment variable: {text}"));
    }
    Ok(text.to_owned())
}

/// `-l`: a key, perhaps with a value.
pub fn label(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid label '{text}': empty name"));
    }
    Ok(text.to_owned())
}

/// `--filter`.
pub fn filter(text: &str) -> Result<Filter, String> {
    match text.split_once('=') {
        Some((key, value)) => Ok(Filter {
            key: key.trim().to_ascii_lowercase(),
            value: value.trim().to_owned(),
        }),
        None => Err("bad format of filter (expected name=value)".to_owned()),
    }
}

/// `--add-host host:ip` or `host=ip`, with the address in brackets or not; kept as `host:ip`.
pub fn extra_host(text: &str) -> Result<String, String> {
    let wrong = || format!("bad format for add-host: {text:?}");
    let (host, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .ok_or_else(wrong)?;
    if host.is_empty() {
        return Err(wrong());
    }
    if address == "host-gateway" {
        return Ok(format!("{host}:{address}"));
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    let address = std::net::IpAddr::from_str(bare)
        .map_err(|_e| format!("invalid IP address in add-host: {address:?}"))?;
    Ok(format!("{host}:{address}"))
}

/// `--restart`.
pub fn restart_policy(text: &str) -> Result<RestartPolicy, String> {
    if text.is_empty() {
        return Ok(RestartPolicy::No);
    }
    let (name, max) = match text.split_once(':') {
        None => (text, None),
        Some(("", _)) => {
            return Err(
                "invalid restart policy format: no policy provided before colon".to_owned(),
            );
        }
        Some((name, count)) => {
            let count: i64 = count.parse().map_err(|_e| {
                "invalid restart policy format: maximum retry count must be an integer".to_owned()
            })?;
            (name, Some(count))
        }
    };
    let policy = match name {
        "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => {
            let max = u32::try_from(max.unwrap_or(0)).map_err(|_e| {
                "invalid restart policy: maximum retry count cannot be negative".to_owned()
            })?;
            return Ok(RestartPolicy::OnFailure { max });
        }
        _ => {
            return Err(format!(
                "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            ));
        }
    };
    match max {
        None | Some(0) => Ok(policy),
        Some(_) => Err(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
                .to_owned(),
        ),
    }
}

/// One record of RFC 4180 as Go's encoding/csv reads it: a field may be quoted.
pub fn csv(text: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    let mut start = true;
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("there is always a field");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if start => quoted = true,
            '"' => {
                return Err("bare \" in non-quoted field".to_owned());
            }
            ',' if !quoted => {
                fields.push(String::new());
                start = true;
                continue;
            }
            c => field.push(c),
        }
        start = false;
    }
    if quoted {
        return Err("extraneous or missing \" in quoted field".to_owned());
    }
    Ok(fields)
}

/// An absolute path without `.`, `..` and double slashes, by text alone (Go's `path.Clean`).
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `os[/arch[/variant]]` (containerd's platform specifier).
pub fn platform(text: &str) -> Result<Platform, String> {
    text.parse()
        .map_err(|error| format!("error parsing specified platform: {error}"))
}

/// `--platform`; an empty one, as of a variable that is not set, is none.
pub fn wanted_platform(text: Option<&str>) -> Result<Option<Platform>, String> {
    text.filter(|text| !text.is_empty())
        .map(platform)
        .transpose()
}

/// `10m` in powers of 1000, as docker/go-units `FromHumanSize` reads it for `max-size`.
pub fn decimal_bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = match lower.get(..split) {
        Some(number) if split > 0 => (number, lower.get(split..)?),
        _ => return None,
    };
    let factor: u64 = match unit.trim_start().trim_end_matches('b') {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Capabilities without `CAP_`, in upper case; `what` is `CapAdd` or `CapDrop`.
pub fn capabilities(names: &[String], what: &str) -> Result<Vec<String>, String> {
    names
        .iter()
        .map(|name| {
            let upper = name.to_ascii_uppercase();
            let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if bare == "ALL" || CAPABILITIES.contains(&bare) {
                Ok(bare.to_owned())
            } else {
                Err(format!(
                    "invalid {what}: unknown capability: \"CAP_{bare}\""
                ))
            }
        })
        .collect()
}

/// capabilities(7).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A signal by name or number.
pub fn signal_number(text: &str) -> Result<i32, String> {
    signal::parse(text).ok_or_else(|| format!("invalid signal: {text}"))
}

/// Lines of an `--env-file` or `--label-file` (docker/cli, `pkg/kvfile`): comments, blank lines, `NAME=value`, `NAME`
/// alone (then `look_up` tells its value, and a name without one is left out).
pub fn key_values(
    content: &[u8],
    look_up: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut pairs = Vec::new();
    for (number, line) in content.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line)
            .map_err(|_e| format!("invalid utf8 bytes at line {}", number + 1))?
            .trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, has_value) = match line.split_once('=') {
            Some((key, _)) => (key, true),
            None => (line, false),
        };
        if key.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if key.contains(char::is_whitespace) {
            return Err(format!("variable '{key}' contains whitespaces"));
        }
        if has_value {
            pairs.push(line.to_owned());
        } else if let Some(value) = look_up(key) {
            pairs.push(format!("{key}={value}"));
        }
    }
    Ok(pairs)
}

/// `--since` and `--until`: seconds since the epoch with a fraction, RFC 3339 in part or in full (local time where no
/// zone is given), or a Go duration before `now`.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wrong = || format!("invalid value for time: {text:?} is neither a time nor a duration");
    // As Docker: a bare 0 is the beginning of time, and not now.
    if text != "0"
        && let Some(span) = go_duration::parse(text)
    {
        return now
            .checked_sub(jiff::SignedDuration::from_nanos(span))
            .map_err(|_e| wrong());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let zone = jiff::tz::TimeZone::system();
    if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        return zone.to_timestamp(time).map_err(|_e| wrong());
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        return zone
            .to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
            .map_err(|_e| wrong());
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = seconds.parse().map_err(|_e| wrong())?;
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let nanos: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanos: i32 = nanos.parse().map_err(|_e| wrong())?;
    Timestamp::new(seconds, nanos).map_err(|_e| wrong())
}

/// Go's `time.ParseDuration`, in nanoseconds.
pub fn duration(text: &str) -> Result<i64, String> {
    let why = if text.trim_start_matches(['+', '-']).is_empty() {
        "invalid duration"
    } else {
        match text.trim_end_matches(|c: char| c.is_ascii_digit()) {
            rest if rest.len() < text.len() => "missing unit in duration",
            _ => "invalid duration",
        }
    };
    go_duration::parse(text).ok_or_else(|| format!("time: {why} {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Debug;

    #[track_caller]
    fn refused<T: Debug>(given: &Result<T, String>, why: &str) {
        assert_eq!(given.as_ref().err().map(String::as_str), Some(why));
    }

    #[test]
    fn booleans_are_gos() {
        for (text, value) in [
            ("1", true),
            ("T", true),
            ("true", true),
            ("0", false),
            ("False", false),
        ] {
            assert_eq!(boolean(text), Ok(value), "{text}");
        }
        refused(
            &boolean("yes"),
            "strconv.ParseBool: parsing \"yes\": invalid syntax",
        );
    }

    #[test]
    fn integers_are_gos() {
        assert_eq!(int("-1"), Ok(-1));
        refused(&int("x"), "strconv.ParseInt: parsing \"x\": invalid syntax");
        refused(
            &int("99999999999999999999"),
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
        );
    }

    #[test]
    fn cpus_are_billionths() {
        for (text, nanos) in [
            ("1.5", 1_500_000_000),
            ("0", 0),
            (".25", 250_000_000),
            ("2.", 2_000_000_000),
            ("0.000000001", 1),
        ] {
            assert_eq!(nano_cpus(text), Ok(nanos), "{text}");
        }
        refused(&nano_cpus("0.0000000001"), "value is too precise");
        for text in ["", ".", "x", "-1", "1e3"] {
            refused(
                &nano_cpus(text),
                &format!("failed to parse {text} as a rational number"),
            );
        }
    }

    #[test]
    fn memory_and_swap_are_sizes() {
        assert_eq!(bytes("64m"), Ok(64 << 20));
        refused(&bytes("x"), "invalid size: 'x'");
        assert_eq!(swap("-1"), Ok(-1));
        assert_eq!(swap("1g"), Ok(1 << 30));
        refused(&swap("-2"), "invalid size: '-2'");
    }

    #[test]
    fn a_restart_policy_is_read_in_dockers_words() {
        for (text, policy) in [
            ("", RestartPolicy::No),
            ("no", RestartPolicy::No),
            ("no:0", RestartPolicy::No),
            ("always", RestartPolicy::Always),
            ("unless-stopped", RestartPolicy::UnlessStopped),
            ("on-failure", RestartPolicy::OnFailure { max: 0 }),
            ("on-failure:3", RestartPolicy::OnFailure { max: 3 }),
        ] {
            assert_eq!(restart_policy(text), Ok(policy), "{text}");
        }
        refused(
            &restart_policy("on-failure:x"),
            "invalid restart policy format: maximum retry count must be an integer",
        );
        refused(
            &restart_policy("on-failure:-1"),
            "invalid restart policy: maximum retry count cannot be negative",
        );
        refused(
            &restart_policy("always:3"),
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        );
        refused(
            &restart_policy(":3"),
            "invalid restart policy format: no policy provided before colon",
        );
        refused(
            &restart_policy("foo"),
            "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        );
    }

    #[test]
    fn a_host_and_its_address_are_kept_with_a_colon() {
        for text in ["db:10.0.0.1", "db=10.0.0.1"] {
            assert_eq!(extra_host(text).as_deref(), Ok("db:10.0.0.1"), "{text}");
        }
        assert_eq!(extra_host("db=[::1]").as_deref(), Ok("db:::1"));
        assert_eq!(extra_host("db:::1").as_deref(), Ok("db:::1"));
        refused(&extra_host("x"), "bad format for add-host: \"x\"");
        refused(&extra_host("x:y"), "invalid IP address in add-host: \"y\"");
    }

    #[test]
    fn platforms_are_read_as_containerd_reads_them() {
        let shown = |text: &str| platform(text).map(|p| p.to_string());
        assert_eq!(shown("linux/arm64/v8").as_deref(), Ok("linux/arm64/v8"));
        assert_eq!(shown("linux/arm/v7").as_deref(), Ok("linux/arm/v7"));
        assert_eq!(shown("Linux/x86_64").as_deref(), Ok("linux/amd64"));
        assert_eq!(shown("aarch64").as_deref(), Ok("linux/arm64"));
        refused(
            &platform("x/y/z/w"),
            "error parsing specified platform: \"x/y/z/w\": cannot parse platform specifier: invalid argument",
        );
        assert!(platform("").is_err());
    }

    #[test]
    fn capabilities_lose_their_prefix() {
        let names = |list: &[&str]| list.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            capabilities(&names(&["cap_net_admin", "SYS_TIME", "all"]), "CapAdd").unwrap(),
            ["NET_ADMIN", "SYS_TIME", "ALL"]
        );
        refused(
            &capabilities(&names(&["foo"]), "CapDrop"),
            "invalid CapDrop: unknown capability: \"CAP_FOO\"",
        );
    }

    #[test]
    fn an_env_file_has_comments_names_and_pairs() {
        let read =
            |text: &[u8]| key_values(text, |name| (name == "HOME").then(|| "/root".to_owned()));
        assert_eq!(
            read(b"\xef\xbb\xbf# c\n\n  A=1 \r\nB=\nHOME\nNOSUCH\nC=a=b#c").unwrap(),
            ["A=1 ", "B=", "HOME=/root", "C=a=b#c"]
        );
        refused(&read(b"=x"), "no variable name on line '=x'");
        refused(&read(b"A=1\nA B=2"), "variable 'A B' contains whitespaces");
        refused(&read(b"A=1\nB=\xff"), "invalid utf8 bytes at line 2");
    }

    #[test]
    fn a_moment_is_a_time_or_so_long_ago() {
        let now: Timestamp = "2025-06-01T12:00:00Z".parse().unwrap();
        let shown = |text: &str| moment(text, now).map(|t| t.to_string());
        assert_eq!(shown("42m").as_deref(), Ok("2025-06-01T11:18:00Z"));
        assert_eq!(shown("1h30m0.5s").as_deref(), Ok("2025-06-01T10:29:59.5Z"));
        assert_eq!(
            shown("2025-01-02T03:04:05Z").as_deref(),
            Ok("2025-01-02T03:04:05Z")
        );
        assert_eq!(
            shown("2025-01-02T03:04:05+01:00").as_deref(),
            Ok("2025-01-02T02:04:05Z")
        );
        assert_eq!(shown("1735786800").as_deref(), Ok("2025-01-02T03:00:00Z"));
        assert_eq!(
            shown("1735786800.25").as_deref(),
            Ok("2025-01-02T03:00:00.25Z")
        );
        for text in ["", "x", "10", "-", "5y", "1.x", "2025-13-01"] {
            // A bare small number is seconds since the epoch, as in Docker.
            assert_eq!(shown(text).is_ok(), text == "10", "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,30}") {
            let _ = restart_policy(&text);
            let _ = (nano_cpus(&text), bytes(&text), swap(&text), platform(&text), extra_host(&text));
            let _ = (go_duration::parse(&text), moment(&text, Timestamp::UNIX_EPOCH), decimal_bytes(&text));
            let _ = (env(&text), label(&text), filter(&text), stream(&text), int(&text));
        }

        #[test]
        fn any_bytes_are_an_env_file_or_refused(content in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(pairs) = key_values(&content, |_| None) {
                prop_assert!(pairs.iter().all(|pair| pair.contains('=') && !pair.starts_with('=')));
            }
        }

        #[test]
        fn a_restart_count_reads_back(max in 0_u32..1_000_000) {
            prop_assert_eq!(restart_policy(&format!("on-failure:{max}")), Ok(RestartPolicy::OnFailure { max }));
        }

        #[test]
        fn a_clean_path_stays_clean(path in "(/[a-z.]{0,4}){0,6}") {
            let once = clean(&path);
            prop_assert!(once.starts_with('/') && !once.contains("//"));
            prop_assert_eq!(clean(&once), once);
        }
    }
}
