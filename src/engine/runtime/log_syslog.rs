//! An entry as a syslog server takes it, in the forms of Docker's driver.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::log_file::Stream;
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::model::Timestamp;
use crate::engine::model::log::{About, SyslogAddress, SyslogConfig, SyslogForm, SyslogTls};
use crate::engine::sys::host;
use crate::engine::sys::outlet::{Address, Outlet};
use crate::engine::sys::tls::{AnyCertificate, read_certificates, read_key};

/// Where the host's own server listens, in the order of looking.
const HOSTS_OWN: [&str; 3] = ["/dev/log", "/run/log", "/var/run/syslog"];

/// LOG_ERR and LOG_INFO (syslog(3)).
const ERROR: u8 = 3;
const INFO: u8 = 6;

/// What all entries of a container have in common.
#[derive(Debug)]
pub(super) struct Syslog {
    form: SyslogForm,
    facility: u8,
    hostname: String,
    tag: String,
    zone: jiff::tz::TimeZone,
    /// Each message says its length first (RFC 5425, section 4.3).
    counted: bool,
}

impl Syslog {
    /// Connects to the server.
    ///
    /// # Errors
    /// What connect(2) says; no server on this host.
    pub(super) fn open(config: &SyslogConfig, about: &About) -> Result<(Self, Outlet)> {
        let outlet = match &config.address {
            Some(address) => Outlet::open(place(address, &config.tls)?),
            None => hosts_own(),
        };
        let form = Self {
            form: config.form,
            facility: config.facility,
            hostname: host::uname().node,
            tag: about.tag.clone(),
            zone: jiff::tz::TimeZone::system(),
            counted: is_counted(config),
        };
        Ok((form, outlet.attempt(|| "open the system log")?))
    }

    /// One message; `None` for an empty line, which says nothing there.
    pub(super) fn entry(&self, stream: Stream, text: &[u8], time: Timestamp) -> Option<Vec<u8>> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.is_empty() {
            return None;
        }
        let severity = match stream {
            Stream::Stdout => INFO,
            Stream::Stderr => ERROR,
        };
        let priority = u16::from(self.facility) * 8 + u16::from(severity);
        let time = time.to_zoned(self.zone.clone());
        let (tag, host, pid) = (&self.tag, &self.hostname, std::process::id());
        let head = match self.form {
            SyslogForm::Local => {
                let time = time.strftime("%b %e %H:%M:%S");
                format!("<{priority}>{time} {tag}[{pid}]: ")
            }
            SyslogForm::Rfc3164 => {
                let time = time.strftime("%b %e %H:%M:%S");
                format!("<{priority}>{time} {host} {tag}[{pid}]: ")
            }
            SyslogForm::Rfc5424 => {
                let time = time.strftime("%Y-%m-%dT%H:%M:%S%:z");
                format!("<{priority}>1 {time} {host} {tag} {pid} {tag} - ")
            }
            SyslogForm::Rfc5424Micro => {
                let time = time.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z");
                format!("<{priority}>1 {time} {host} {tag} {pid} {tag} - ")
            }
        };
        let message = [head.as_bytes(), text, b"\n"].concat();
        let length = if self.counted {
            format!("{} ", message.len())
        } else {
            String::new()
        };
        Some([length.as_bytes(), &message].concat())
    }
}

/// Over TLS messages in the forms of RFC 5424 are, as with Docker's driver.
fn is_counted(config: &SyslogConfig) -> bool {
    let secure = matches!(config.address, Some(SyslogAddress::Tls(_)));
    secure && matches!(config.form, SyslogForm::Rfc5424 | SyslogForm::Rfc5424Micro)
}

fn place(address: &SyslogAddress, tls: &SyslogTls) -> Result<Address> {
    Ok(match address {
        SyslogAddress::UnixDatagram(path) => Address::UnixDatagram(path.clone()),
        SyslogAddress::UnixStream(path) => Address::UnixStream(path.clone()),
        SyslogAddress::Udp(to) => Address::Udp(*to),
        SyslogAddress::Tcp(to) => Address::Tcp(*to),
        SyslogAddress::Tls(to) => Address::Tls(*to, Arc::new(secure(tls)?)),
    })
}

/// How to speak TLS with the server.
fn secure(wanted: &SyslogTls) -> Result<ClientConfig> {
    let wrong = |error: rustls::Error| Error::invalid("set TLS up").caused_by(error);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?;
    let builder = if wanted.anyhow {
        let any = Arc::new(AnyCertificate(provider));
        builder.dangerous().with_custom_certificate_verifier(any)
    } else {
        let mut roots = RootCertStore::empty();
        // What cannot be read of the system's is left out: without any root no server is trusted, and that error says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in wanted
            .authority
            .iter()
            .map(|path| read_certificates(Path::new(path)))
        {
            for one in certificate? {
                roots.add(one).map_err(wrong)?;
            }
        }
        builder.with_root_certificates(roots)
    };
    match (&wanted.certificate, &wanted.key) {
        (Some(certificate), Some(key)) => {
            let chain = read_certificates(Path::new(certificate))?;
            builder
                .with_client_auth_cert(chain, read_key(Path::new(key))?)
                .map_err(wrong)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn hosts_own() -> Result<Outlet> {
    let found = HOSTS_OWN.iter().find(|path| Path::new(path).exists());
    let path = found.ok_or_else(|| {
        Error::unsupported("no syslog server listens on this host")
            .with_hint("name one by --log-opt syslog-address=udp://ADDRESS:514")
    })?;
    Outlet::datagrams(path).or_else(|_| Outlet::open(Address::UnixStream((*path).to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syslog(form: SyslogForm, counted: bool) -> Syslog {
        Syslog {
            form,
            facility: 3,
            hostname: "h".to_owned(),
            tag: "t".to_owned(),
            zone: jiff::tz::TimeZone::UTC,
            counted,
        }
    }

    #[test]
    fn a_message_of_rfc_5424_says_its_length_first_over_tls() {
        let at = "127.0.0.1:1".parse().unwrap();
        let over = |address, form| {
            let address = Some(address);
            is_counted(&SyslogConfig {
                address,
                form,
                ..SyslogConfig::default()
            })
        };
        assert!(over(SyslogAddress::Tls(at), SyslogForm::Rfc5424));
        assert!(over(SyslogAddress::Tls(at), SyslogForm::Rfc5424Micro));
        assert!(!over(SyslogAddress::Tls(at), SyslogForm::Rfc3164));
        assert!(!over(SyslogAddress::Tcp(at), SyslogForm::Rfc5424));

        let entry = |counted| {
            let form = syslog(SyslogForm::Rfc5424, counted);
            let entry = form.entry(Stream::Stdout, b"hi", Timestamp::UNIX_EPOCH);
            String::from_utf8(entry.unwrap()).unwrap()
        };
        let message = entry(false);
        assert_eq!(entry(true), format!("{} {message}", message.len()));
    }

    #[test]
    fn entries_are_as_dockers_driver_writes_them() {
        let pid = std::process::id();
        let time = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
        let check = |form, stream, text: &str, expect: &str| {
            let message = syslog(form, false).entry(stream, text.as_bytes(), time);
            let message = message.unwrap();
            let expect = expect.replace("PID", &pid.to_string());
            assert_eq!(String::from_utf8(message).unwrap(), expect);
        };
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let local = "<30>Nov 14 22:13:20 t[PID]: hi\n";
        check(SyslogForm::Local, out, "hi\n", local);
        let old = "<27>Nov 14 22:13:20 h t[PID]: hi\n";
        check(SyslogForm::Rfc3164, err, "hi", old);
        let new = "<30>1 2023-11-14T22:13:20+00:00 h t PID t - hi\n";
        check(SyslogForm::Rfc5424, out, "hi\n", new);
        let micro = "<30>1 2023-11-14T22:13:20.123456+00:00 h t PID t - hi\n";
        check(SyslogForm::Rfc5424Micro, out, "hi\n", micro);
    }
}
