//! `--log-driver` and its `--log-opt`s, in Docker's words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use regex::Regex;

use super::value;
use crate::engine::model::LogConfig;
use crate::engine::model::log::{Driver, SyslogAddress, SyslogForm, SyslogTls, Tag};

/// Docker's default of `max-buffer-size`.
const BUFFER: u64 = 1_000_000;

/// Drivers of Docker that send logs to services of others.
const ELSEWHERE: [&str; 6] = ["gelf", "fluentd", "awslogs", "splunk", "gcplogs", "etwlogs"];

/// Reads driver and options.
pub fn config(driver: Option<&str>, options: &[String]) -> Result<LogConfig, String> {
    let mut config = LogConfig {
        driver: self::driver(driver.unwrap_or("json-file"))?,
        ..LogConfig::default()
    };
    if config.driver == Driver::Local {
        // Docker's defaults for this driver.
        (config.max_size, config.max_file, config.compress) = (Some(20_000_000), 5, true);
    }
    let mut size = None;
    let mut is_blocking = true;
    for option in options {
        let (key, value) = option
            .split_once('=')
            .ok_or_else(|| format!("invalid logging opt {option:?}, expected name=value"))?;
        match key {
            "mode" => is_blocking = blocking(value)?,
            "max-buffer-size" => size = Some(value::bytes(value)?),
            _ if config.driver == Driver::None => {
                return Err(format!(
                    "logging opt '{key}' makes no sense with driver none"
                ));
            }
            "tag" | "labels" | "env" | "labels-regex" | "env-regex"
                if config.driver == Driver::Local =>
            {
                return Err(unknown(config.driver, key));
            }
            "tag" => config.tag = tag(value)?,
            "labels" => config.labels = names(value),
            "env" => config.env = names(value),
            "labels-regex" => config.labels_regex = pattern(key, value)?,
            "env-regex" => config.env_regex = pattern(key, value)?,
            _ => match config.driver {
                Driver::JsonFile | Driver::Local => of_files(&mut config, key, value)?,
                Driver::Syslog => of_syslog(&mut config, key, value)?,
                Driver::Journald | Driver::None => return Err(unknown(config.driver, key)),
            },
        }
        config.given.insert(key.to_owned(), value.to_owned());
    }
    check_tls(&config)?;
    if size.is_some() && is_blocking {
        return Err("logging opt 'max-buffer-size' is for mode=non-blocking".to_owned());
    }
    if !is_blocking {
        config.buffer = Some(size.unwrap_or(BUFFER));
    }
    if config.compress && config.max_file < 2 {
        return Err("compress needs a max-file of 2 or more; or say compress=false".to_owned());
    }
    if config.compress && config.max_size.is_none() {
        return Err("compress needs a max-size".to_owned());
    }
    Ok(config)
}

fn driver(name: &str) -> Result<Driver, String> {
    if let Some(driver) = Driver::ALL.iter().find(|driver| driver.as_str() == name) {
        return Ok(*driver);
    }
    if ELSEWHERE.contains(&name) {
        let known = Driver::ALL.map(Driver::as_str).join(", ");
        return Err(format!(
            "logging driver {name:?} is not supported yet; use one of {known}"
        ));
    }
    Err(format!(
        "logger: no log driver named '{name}' is registered"
    ))
}

fn unknown(driver: Driver, key: &str) -> String {
    format!("unknown log opt '{key}' for {} log driver", driver.as_str())
}

fn blocking(value: &str) -> Result<bool, String> {
    match value {
        "blocking" | "" => Ok(true),
        "non-blocking" => Ok(false),
        _ => Err(format!(
            "logger: logging mode not supported: {value}; use blocking or non-blocking"
        )),
    }
}

fn bytes(key: &str, value: &str) -> Result<u64, String> {
    value::decimal_bytes(value)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| {
            format!("invalid value for {key}: {value}: must be a positive size such as 10m")
        })
}

fn names(value: &str) -> Vec<String> {
    let names = value.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn pattern(key: &str, value: &str) -> Result<Option<String>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    match Regex::new(value) {
        Ok(_) => Ok(Some(value.to_owned())),
        Err(error) => Err(format!(
            "invalid value for {key}: {value}: {}",
            error.to_string().lines().last().unwrap_or_default()
        )),
    }
}

fn tag(value: &str) -> Result<Option<Tag>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    Tag::try_from(value.to_owned())
        .map(Some)
        .map_err(|error| format!("invalid value for tag: {error}"))
}

fn of_files(config: &mut LogConfig, key: &str, value: &str) -> Result<(), String> {
    match key {
        "max-size" if value == "-1" && config.driver == Driver::JsonFile => config.max_size = None,
        "max-size" => config.max_size = Some(bytes(key, value)?),
        "max-file" => {
            let count = value.parse::<u32>().ok().filter(|count| *count >= 1);
            config.max_file = count
                .ok_or_else(|| format!("invalid value for max-file: {value}: must be 1 or more"))?;
        }
        "compress" => config.compress = boolean(key, value)?,
        _ => return Err(unknown(config.driver, key)),
    }
    Ok(())
}

/// As Go's `strconv.ParseBool`.
fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!(
            "invalid value for {key}: {value}: must be true or false"
        )),
    }
}

fn of_syslog(config: &mut LogConfig, key: &str, value: &str) -> Result<(), String> {
    match key {
        "syslog-address" => config.syslog.address = address(value)?,
        "syslog-facility" => config.syslog.facility = facility(value)?,
        "syslog-format" => config.syslog.form = form(value)?,
        "syslog-tls-ca-cert" => config.syslog.tls.authority = file(key, value)?,
        "syslog-tls-cert" => config.syslog.tls.certificate = file(key, value)?,
        "syslog-tls-key" => config.syslog.tls.key = file(key, value)?,
        // Docker: said at all is said. But who says `false` means it.
        "syslog-tls-skip-verify" => {
            config.syslog.tls.anyhow = value.is_empty() || boolean(key, value)?;
        }
        _ => return Err(unknown(config.driver, key)),
    }
    Ok(())
}

/// Monitors read it, who have another working directory.
fn file(key: &str, path: &str) -> Result<Option<String>, String> {
    if path.is_empty() {
        return Ok(None);
    }
    if !path.starts_with('/') {
        return Err(format!(
            "invalid value for {key}: {path}: the path is not absolute"
        ));
    }
    Ok(Some(path.to_owned()))
}

/// Options of TLS are for a server that speaks it, and a certificate has a key.
fn check_tls(config: &LogConfig) -> Result<(), String> {
    let tls = &config.syslog.tls;
    if tls.certificate.is_some() != tls.key.is_some() {
        return Err("syslog-tls-cert and syslog-tls-key belong together".to_owned());
    }
    let is_tls = matches!(config.syslog.address, Some(SyslogAddress::Tls(_)));
    if !is_tls && *tls != SyslogTls::default() {
        return Err("syslog-tls-* options are for syslog-address=tcp+tls://ADDRESS".to_owned());
    }
    Ok(())
}

fn address(text: &str) -> Result<Option<SyslogAddress>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |why: &str| format!("invalid value for syslog-address: {text}: {why}");
    let (scheme, rest) = text.split_once("://").ok_or_else(|| {
        wrong("it is none of udp://, tcp://, tcp+tls://, unix:// and unixgram://")
    })?;
    Ok(Some(match scheme {
        "unix" | "unixgram" if !rest.starts_with('/') => {
            return Err(wrong("the path is not absolute"));
        }
        "unix" => SyslogAddress::UnixStream(rest.to_owned()),
        "unixgram" => SyslogAddress::UnixDatagram(rest.to_owned()),
        "udp" | "tcp" | "tcp+tls" => {
            let to = socket_address(rest)
                .ok_or_else(|| wrong("give the address in numbers, such as 192.0.2.1:514"))?;
            match scheme {
                "udp" => SyslogAddress::Udp(to),
                "tcp+tls" => SyslogAddress::Tls(to),
                _ => SyslogAddress::Tcp(to),
            }
        }
        _ => return Err(wrong("unsupported scheme")),
    }))
}

/// An address with a port, or without one for that of syslog.
fn socket_address(text: &str) -> Option<SocketAddr> {
    const PORT: u16 = 514;
    let host = text.trim_start_matches('[').trim_end_matches(']');
    let alone = || {
        let address = host.parse::<IpAddr>().ok()?;
        Some(SocketAddr::new(address, PORT))
    };
    text.parse().ok().or_else(alone)
}

fn facility(text: &str) -> Result<u8, String> {
    /// In the order of their numbers (syslog(3)); between them are some without a name.
    const NAMES: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
        "authpriv", "ftp", "", "", "", "", "local0", "local1", "local2", "local3", "local4",
        "local5", "local6", "local7",
    ];
    let name = if text.is_empty() { "daemon" } else { text };
    let named = NAMES.iter().position(|known| *known == name);
    let number = named.or_else(|| text.parse().ok().filter(|number| *number < NAMES.len()));
    number
        .and_then(|number| u8::try_from(number).ok())
        .ok_or_else(|| format!("invalid value for syslog-facility: {text}: no such facility"))
}

fn form(text: &str) -> Result<SyslogForm, String> {
    match text {
        "" => Ok(SyslogForm::Local),
        "rfc3164" => Ok(SyslogForm::Rfc3164),
        "rfc5424" => Ok(SyslogForm::Rfc5424),
        "rfc5424micro" => Ok(SyslogForm::Rfc5424Micro),
        _ => Err(format!(
            "invalid value for syslog-format: {text}: use rfc3164, rfc5424 or rfc5424micro"
        )),
    }
}

/// What `logs --details` says of an entry: names and values as in the query of a URL, with commas between.
pub fn details(attributes: &BTreeMap<String, String>) -> String {
    let pairs = attributes.iter();
    let pairs = pairs.map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join(",")
}

/// As Go's `url.QueryEscape`.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(byte.into());
            }
            b' ' => escaped.push('+'),
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(driver: &str, options: &[&str]) -> Result<LogConfig, String> {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        config(Some(driver), &options)
    }

    fn refused(driver: &str, option: &str, part: &str) {
        let error = read(driver, &[option]).unwrap_err();
        assert!(error.contains(part), "{driver} {option}: {error}");
    }

    #[test]
    fn options_are_read_for_the_driver_that_has_them() {
        let config = read(
            "json-file",
            &["max-size=10m", "max-file=3", "labels=a,b", "env=C"],
        );
        let config = config.unwrap();
        assert_eq!((config.max_size, config.max_file), (Some(10_000_000), 3));
        assert_eq!((config.labels.len(), config.env.len()), (2, 1));
        assert_eq!(config.given["max-size"], "10m");
        let local = read("local", &["max-file=3"]).unwrap();
        assert_eq!(
            (local.max_size, local.max_file, local.compress),
            (Some(20_000_000), 3, true)
        );
        let packed = ["max-size=1m", "max-file=2", "compress=true"];
        assert!(read("json-file", &packed).unwrap().compress);
        assert_eq!(read("none", &[]).unwrap().driver, Driver::None);
        let quick = read("journald", &["mode=non-blocking", "tag={{.Name}}"]).unwrap();
        assert_eq!(quick.buffer, Some(BUFFER));
        let small = read("journald", &["max-buffer-size=4k", "mode=non-blocking"]);
        assert_eq!(small.unwrap().buffer, Some(4096));
        assert_eq!(read("journald", &["mode=blocking"]).unwrap().buffer, None);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        refused(
            "nosuch",
            "a=b",
            "no log driver named 'nosuch' is registered",
        );
        refused(
            "gelf",
            "a=b",
            "not supported yet; use one of json-file, local, journald",
        );
        for (driver, option) in [
            ("json-file", "foo=1"),
            ("journald", "max-size=1m"),
            ("syslog", "max-size=1m"),
        ] {
            refused(driver, option, &format!("for {driver} log driver"));
        }
        refused("local", "max-file=1", "compress=false");
        refused("local", "labels=x", "for local log driver");
        refused("json-file", "compress=true", "max-file");
        refused("json-file", "compress=x", "true or false");
        refused("none", "tag=x", "makes no sense with driver none");
        refused("journald", "mode=quick", "use blocking or non-blocking");
        refused("journald", "max-buffer-size=1m", "mode=non-blocking");
        refused("journald", "tag={{.Nope}}", "{{.Nope}}");
        refused("journald", "env-regex=(", "unclosed group");
        for bad in [
            "max-size=0",
            "max-size=x",
            "max-file=0",
            "max-file=x",
            "foo",
        ] {
            assert!(read("json-file", &[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn details_are_those_of_a_query() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let attributes = BTreeMap::from([pair("b", "x y,z"), pair("a/c", "é")]);
        assert_eq!(details(&attributes), "a%2Fc=%C3%A9,b=x+y%2Cz");
        assert_eq!(details(&BTreeMap::new()), "");
    }

    #[test]
    fn syslog_servers_are_named_as_docker_names_them() {
        let check = |text: &str, expect| {
            let config = read("syslog", &[&format!("syslog-address={text}")]).unwrap();
            assert_eq!(config.syslog.address, expect, "{text}");
        };
        let udp = SyslogAddress::Udp(([192, 0, 2, 1], 514).into());
        check("udp://192.0.2.1", Some(udp.clone()));
        check("udp://192.0.2.1:514", Some(udp));
        let loopback: SocketAddr = ([0, 0, 0, 0, 0, 0, 0, 1], 5514).into();
        check("tcp://[::1]:5514", Some(SyslogAddress::Tcp(loopback)));
        let path = "/dev/log".to_owned();
        check(
            "unixgram:///dev/log",
            Some(SyslogAddress::UnixDatagram(path)),
        );
        check("", None);
        for bad in [
            "udp://name:514",
            "tcp+tls://name:6514",
            "http://x",
            "192.0.2.1",
            "unix://x",
        ] {
            refused("syslog", &format!("syslog-address={bad}"), "syslog-address");
        }
        for (text, number) in [("daemon", 3), ("local7", 23), ("16", 16), ("", 3)] {
            let config = read("syslog", &[&format!("syslog-facility={text}")]).unwrap();
            assert_eq!(config.syslog.facility, number, "{text}");
        }
        refused("syslog", "syslog-facility=24", "no such facility");
        refused("syslog", "syslog-facility=x", "no such facility");
        let config = read("syslog", &["syslog-format=rfc5424"]).unwrap();
        assert_eq!(config.syslog.form, SyslogForm::Rfc5424);
        refused("syslog", "syslog-format=x", "rfc5424micro");
    }

    #[test]
    fn a_server_that_speaks_tls_has_certificates_by_absolute_paths() {
        let at = "syslog-address=tcp+tls://192.0.2.1:6514";
        let config = read(
            "syslog",
            &[at, "syslog-tls-ca-cert=/ca", "syslog-tls-skip-verify="],
        );
        let syslog = config.unwrap().syslog;
        let to: SocketAddr = ([192, 0, 2, 1], 6514).into();
        assert_eq!(syslog.address, Some(SyslogAddress::Tls(to)));
        assert_eq!(syslog.tls.authority.as_deref(), Some("/ca"));
        assert!(syslog.tls.anyhow);
        for (options, part) in [
            (&["syslog-tls-ca-cert=/ca"][..], "tcp+tls"),
            (&[at, "syslog-tls-ca-cert=ca"], "not absolute"),
            (&[at, "syslog-tls-key=/key"], "belong together"),
            (&[at, "syslog-tls-skip-verify=perhaps"], "true or false"),
        ] {
            let error = read("syslog", options).unwrap_err();
            assert!(error.contains(part), "{options:?}: {error}");
        }
    }
}
