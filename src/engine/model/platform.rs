//! Platforms as containerd reads, normalises and compares them (containerd/platforms): which of them an image is for, and
//! which of them run where.

use std::fmt;
use std::str::FromStr;

/// Operating system, architecture and variant, in Go's names (OCI image-spec, `platform`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Platform {
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64` …
    #[serde(default)]
    pub architecture: String,
    /// `v7`, `v8` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Version of the operating system, which counts for Windows alone.
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// What the operating system must have.
    #[serde(
        default,
        rename = "os.features",
        deserialize_with = "list_or_null",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
}

/// Why a text is no platform, in containerd's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A star.
    #[error("{0:?}: wildcards not yet supported: invalid argument")]
    Wildcard(String),
    /// The part in front of the first slash.
    #[error(
        "{part:?} is an invalid OS component of {whole:?}: OSAndVersion specifier component must match {OS_PATTERN:?}: invalid argument"
    )]
    Os {
        /// That part.
        part: String,
        /// All of it.
        whole: String,
    },
    /// Another part.
    #[error(
        "{part:?} is an invalid component of {whole:?}: platform specifier component must match {PATTERN:?}: invalid argument"
    )]
    Component {
        /// That part.
        part: String,
        /// All of it.
        whole: String,
    },
    /// One word that is neither.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
    /// Too many slashes.
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    Parts(String),
}

const PATTERN: &str = "^[A-Za-z0-9_.-]+$";
const OS_PATTERN: &str = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$";

/// Operating systems that Go knows.
const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// Architectures that Go knows.
const ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// The platform that this binary runs on: what it was compiled for, which every host that runs it has.
    #[must_use]
    pub fn host() -> Self {
        let variant = match std::env::consts::ARCH {
            "arm" if cfg!(target_feature = "v8") => Some("v8"),
            "arm" if cfg!(target_feature = "v7") => Some("v7"),
            "arm" if cfg!(target_feature = "v6") => Some("v6"),
            "arm" => Some("v5"),
            // The usual variant is not written.
            _ => None,
        };
        let architecture = match std::env::consts::ARCH {
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            variant: variant.map(str::to_owned),
            ..Self::of(architecture, "")
        }
    }

    /// An architecture and its variant by their usual names, on Linux.
    fn of(architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = normal_architecture(architecture, variant);
        Self {
            os: "linux".to_owned(),
            architecture,
            variant: Some(variant).filter(|variant| !variant.is_empty()),
            ..Self::default()
        }
    }

    /// The canonical form: `x86_64` is `amd64`, `aarch64` and `arm64/v8` are `arm64`, `armhf` is `arm/v7` …
    #[must_use]
    pub fn normalized(&self) -> Self {
        let variant = self.variant.as_deref().unwrap_or_default();
        let mut os_features = self.os_features.clone();
        os_features.sort_unstable();
        os_features.dedup();
        Self {
            os: normal_os(&self.os),
            os_version: self.os_version.clone(),
            os_features,
            ..Self::of(&self.architecture, variant)
        }
    }

    /// What a host of this platform runs, the best first: itself, then what older hardware was made for (`arm/v7` also
    /// runs v6 and v5, `amd64/v3` also v2, v1 and 386 …).
    #[must_use]
    pub fn runs(&self) -> Vec<Self> {
        let own = self.normalized();
        let mut pairs: Vec<(&str, String)> = Vec::new();
        let variant = own.variant.as_deref().unwrap_or_default();
        let number = variant.strip_prefix('v').unwrap_or(variant);
        match own.architecture.as_str() {
            "amd64" => {
                let version = number.parse::<u8>().unwrap_or(0);
                pairs.extend(below(version, 1).map(|n| ("amd64", format!("v{n}"))));
                pairs.push(("386", String::new()));
            }
            "arm" => pairs.extend(older_arm(number)),
            "arm64" => {
                let number = if number.is_empty() { "8" } else { number };
                pairs.extend(older_arm64(number));
                let plain = number.starts_with("8.") || number.starts_with("9.");
                let arm = if plain { "8" } else { number };
                pairs.push(("arm", format!("v{arm}")));
                pairs.extend(older_arm(arm));
            }
            _ => {}
        }
        let others = pairs.into_iter().map(|(architecture, variant)| Self {
            os: own.os.clone(),
            os_version: own.os_version.clone(),
            os_features: own.os_features.clone(),
            ..Self::of(architecture, &variant)
        });
        std::iter::once(own.clone()).chain(others).collect()
    }

    /// Whether an image for `offered` is one for exactly this platform, however both are written.
    #[must_use]
    pub fn is(&self, offered: &Self) -> bool {
        let (own, offered) = (self.normalized(), offered.normalized());
        let same = own.os == offered.os
            && own.architecture == offered.architecture
            && own.variant == offered.variant;
        same && own.has_version_of(&offered)
            && offered
                .os_features
                .iter()
                .all(|feature| own.os_features.contains(feature))
    }

    /// How well an image for `offered` suits a host of this platform: 0 is best, `None` is not at all.
    #[must_use]
    pub fn rank(&self, offered: &Self) -> Option<usize> {
        self.runs().iter().position(|known| known.is(offered))
    }

    /// Windows wants the same build; nothing else has versions.
    fn has_version_of(&self, offered: &Self) -> bool {
        let build = |version: &str| -> Vec<String> {
            version.split('.').take(3).map(str::to_owned).collect()
        };
        match (&self.os_version, &offered.os_version) {
            (Some(own), Some(offered)) if self.os == "windows" => build(own) == build(offered),
            _ => true,
        }
    }
}

/// Versions below one, newest first, down to `least`.
fn below(version: u8, least: u8) -> impl Iterator<Item = u8> {
    (least..version).rev()
}

fn older_arm(number: &str) -> impl Iterator<Item = (&'static str, String)> {
    let version = number.parse::<u8>().unwrap_or(0);
    below(version, 5).map(|n| ("arm", format!("v{n}")))
}

/// v9.0 parted from v8.5: whoever runs v9.x runs v8.(x+5).
fn older_arm64(number: &str) -> Vec<(&'static str, String)> {
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    let minor = minor.parse::<u8>().ok().filter(|minor| *minor < 10);
    let minor = minor.unwrap_or(0);
    let name = |major: u8, minor: u8| match minor {
        0 => ("arm64", format!("v{major}")),
        minor => ("arm64", format!("v{major}.{minor}")),
    };
    match major {
        "9" => below(minor, 0)
            .map(|minor| name(9, minor))
            .chain(below(minor + 6, 0).map(|minor| name(8, minor)))
            .collect(),
        "8" => below(minor, 0).map(|minor| name(8, minor)).collect(),
        _ => Vec::new(),
    }
}

fn normal_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "" => "linux".to_owned(),
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// `linux/arm64/v8`, `linux/amd64`, `windows(10.0.17763)/amd64`; also `linux` or `arm64`, the host's architecture or
/// Linux being meant then.
impl FromStr for Platform {
    type Err = ParseError;

    fn from_str(whole: &str) -> Result<Self, ParseError> {
        if whole.contains('*') {
            return Err(ParseError::Wildcard(whole.to_owned()));
        }
        let parts: Vec<&str> = whole.splitn(4, '/').collect();
        let (first, rest) = parts.split_first().unwrap_or((&"", &[]));
        let system = system(first).ok_or_else(|| ParseError::Os {
            part: (*first).to_owned(),
            whole: whole.to_owned(),
        })?;
        if let Some(part) = rest.iter().find(|part| !is_word(part, "_.-")) {
            return Err(ParseError::Component {
                part: (*part).to_owned(),
                whole: whole.to_owned(),
            });
        }
        // The usual arm is written without its variant, and arm64 with what was asked for.
        let usual = |mut platform: Self| {
            if platform.architecture == "arm" && platform.variant.as_deref() == Some("v7") {
                platform.variant = None;
            }
            platform
        };
        match rest {
            [] if SYSTEMS.contains(&system.os.as_str()) => Ok(Self {
                os: system.os,
                os_version: system.os_version,
                os_features: system.os_features,
                ..usual(Self::host())
            }),
            [] => Some(usual(Self::of(first, "")))
                .filter(|platform| ARCHITECTURES.contains(&platform.architecture.as_str()))
                .ok_or_else(|| ParseError::Unknown(whole.to_owned())),
            [architecture] => Ok(Self {
                os: system.os,
                os_version: system.os_version,
                os_features: system.os_features,
                ..usual(Self::of(architecture, ""))
            }),
            [architecture, variant] => {
                let own = Self::of(architecture, variant);
                let is_usual = own.architecture == "arm64" && own.variant.is_none();
                let variant = own.variant.or_else(|| is_usual.then(|| "v8".to_owned()));
                Ok(Self {
                    architecture: own.architecture,
                    variant,
                    ..system
                })
            }
            _ => Err(ParseError::Parts(whole.to_owned())),
        }
    }
}

fn is_word(text: &str, more: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

/// `windows(10.0.17763+win32k)`: an operating system, perhaps with its version and features.
fn system(text: &str) -> Option<Platform> {
    let (os, options) = match text.split_once('(') {
        Some((os, options)) => (os, options.strip_suffix(')')?),
        None => (text, ""),
    };
    let mut options = options.split('+');
    let version = options.next().unwrap_or_default();
    let features: Vec<&str> = options.collect();
    let fits = is_word(os, "_-")
        && (version.is_empty() || is_word(version, "_.%-"))
        && features.iter().all(|feature| is_word(feature, "_.%-"));
    let os_version = Some(decode(version)?).filter(|version| !version.is_empty());
    let os_features = features.into_iter().map(decode).collect::<Option<_>>()?;
    fits.then(|| Platform {
        os: normal_os(os),
        os_version,
        os_features,
        ..Platform::default()
    })
}

/// `%2B` is a plus.
fn decode(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Go writes `null` for an empty list.
fn list_or_null<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let list = <Option<Vec<String>> as serde::Deserialize>::deserialize(d)?;
    Ok(list.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Platform {
        text.parse().unwrap()
    }

    fn raw(architecture: &str, variant: &str) -> Platform {
        Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: Some(variant.to_owned()).filter(|v| !v.is_empty()),
            ..Platform::default()
        }
    }

    #[test]
    fn many_names_mean_one_platform() {
        for (architecture, variant, normal) in [
            ("x86_64", "", "linux/amd64"),
            ("x86-64", "", "linux/amd64"),
            ("AMD64", "v1", "linux/amd64"),
            ("amd64", "v3", "linux/amd64/v3"),
            ("i386", "v9", "linux/386"),
            ("aarch64", "", "linux/arm64"),
            ("arm64", "v8", "linux/arm64"),
            ("arm64", "8", "linux/arm64"),
            ("arm64", "v8.2", "linux/arm64/v8.2"),
            ("arm", "", "linux/arm/v7"),
            ("arm", "7", "linux/arm/v7"),
            ("arm", "6", "linux/arm/v6"),
            ("arm", "5", "linux/arm/v5"),
            ("arm", "8", "linux/arm/v8"),
            ("armhf", "", "linux/arm/v7"),
            ("armel", "", "linux/arm/v6"),
            ("riscv64", "", "linux/riscv64"),
        ] {
            let platform = raw(architecture, variant).normalized();
            assert_eq!(platform.to_string(), normal, "{architecture}/{variant}");
        }
    }

    #[test]
    fn a_host_runs_what_older_hardware_was_made_for() {
        for (host, runs) in [
            ("amd64", "amd64 386"),
            ("linux/amd64/v3", "amd64/v3 amd64/v2 amd64 386"),
            ("linux/arm/v7", "arm/v7 arm/v6 arm/v5"),
            ("linux/arm/v6", "arm/v6 arm/v5"),
            ("linux/arm/v5", "arm/v5"),
            ("linux/arm64", "arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
            (
                "linux/arm64/v8.2",
                "arm64/v8.2 arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5",
            ),
            (
                "linux/arm64/v9.1",
                "arm64/v9.1 arm64/v9 arm64/v8.6 arm64/v8.5 arm64/v8.4 arm64/v8.3 arm64/v8.2 arm64/v8.1 arm64 arm/v8 \
                 arm/v7 arm/v6 arm/v5",
            ),
            ("s390x", "s390x"),
        ] {
            let list: Vec<String> = parsed(host)
                .runs()
                .iter()
                .map(|p| p.to_string().replacen("linux/", "", 1))
                .collect();
            assert_eq!(list.join(" "), runs, "{host}");
        }
    }

    #[test]
    fn the_better_of_two_offers_has_the_lower_rank() {
        for (host, offered, rank) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/386", Some(1)),
            ("linux/amd64", "linux/amd64/v2", None),
            ("linux/amd64/v2", "linux/amd64/v2", Some(0)),
            ("linux/amd64/v2", "linux/amd64", Some(1)),
            ("linux/arm/v7", "linux/arm", Some(0)),
            ("linux/arm/v6", "linux/arm", None),
            ("linux/arm64/v8", "linux/arm64", Some(0)),
            ("linux/arm64", "linux/arm/v7", Some(2)),
            ("linux/arm64", "windows/arm64", None),
            (
                "windows(10.0.17763)/amd64",
                "windows(10.0.17763.1)/amd64",
                Some(0),
            ),
            (
                "windows(10.0.17763)/amd64",
                "windows(10.0.20348)/amd64",
                None,
            ),
            ("windows/amd64", "windows(10.0.20348)/amd64", Some(0)),
            ("linux/amd64", "linux(+sse4)/amd64", None),
            ("linux(+sse4+avx)/amd64", "linux(+sse4)/amd64", Some(0)),
        ] {
            assert_eq!(
                parsed(host).rank(&parsed(offered)),
                rank,
                "{host} {offered}"
            );
        }
    }

    #[test]
    fn what_is_left_out_is_the_hosts() {
        let host = Platform::host();
        assert_eq!(parsed("linux").architecture, host.architecture);
        assert_eq!(parsed("windows").os, "windows");
        for (text, shown) in [
            ("arm64", "linux/arm64"),
            ("armhf", "linux/arm"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("linux/arm64/8", "linux/arm64/v8"),
            ("linux/arm", "linux/arm"),
            ("Linux/X86_64", "linux/amd64"),
            ("macos/arm64", "darwin/arm64"),
            ("odd/thing", "odd/thing"),
        ] {
            assert_eq!(parsed(text).to_string(), shown, "{text}");
        }
        let windows = parsed("windows(10.0%2B1+win32k)/amd64");
        assert_eq!(windows.os_version.as_deref(), Some("10.0+1"));
        assert_eq!(windows.os_features, ["win32k"]);
    }

    #[test]
    fn what_is_no_platform_is_refused_in_containerds_words() {
        for (text, message) in [
            (
                "linux/*",
                r#""linux/*": wildcards not yet supported: invalid argument"#,
            ),
            (
                "a/b/c/d",
                r#""a/b/c/d": cannot parse platform specifier: invalid argument"#,
            ),
            (
                "mips9",
                r#""mips9": unknown operating system or architecture: invalid argument"#,
            ),
            (
                "linux/x y",
                r#""x y" is an invalid component of "linux/x y": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument"#,
            ),
            (
                "",
                r#""" is an invalid OS component of "": OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$": invalid argument"#,
            ),
        ] {
            let error = text.parse::<Platform>().unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        for text in [
            "linux(",
            "linux(1",
            "linux(+)/amd64",
            "linux(%2)/amd64",
            "linux/",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_members_of_the_specification_are_read() {
        let text = r#"{"architecture":"amd64","os":"windows","os.version":"10.0.1","os.features":["win32k"]}"#;
        let platform: Platform = serde_json::from_str(text).unwrap();
        assert_eq!(platform, parsed("windows(10.0.1+win32k)/amd64"));
        assert_eq!(
            serde_json::from_str::<Platform>(&serde_json::to_string(&platform).unwrap()).unwrap(),
            platform
        );
        let text = r#"{"architecture":"amd64","os":"linux","os.features":null}"#;
        assert_eq!(
            serde_json::from_str::<Platform>(text).unwrap(),
            parsed("linux/amd64")
        );
    }

    fn any_platform() -> impl Strategy<Value = Platform> {
        let names = prop::sample::select(vec![
            "amd64", "x86_64", "arm", "armhf", "armel", "arm64", "aarch64", "386", "riscv64", "odd",
        ]);
        let variants =
            prop::sample::select(vec!["", "v1", "v2", "v5", "v7", "v8", "v8.3", "v9.2", "x"]);
        (names, variants).prop_map(|(name, variant)| raw(name, variant))
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing_more(platform in any_platform()) {
            let once = platform.normalized();
            prop_assert_eq!(once.normalized(), once.clone());
            prop_assert!(platform.is(&once) && once.is(&platform));
        }

        #[test]
        fn a_host_runs_itself_best(platform in any_platform(), other in any_platform()) {
            prop_assert_eq!(platform.rank(&platform), Some(0));
            // What is written differently is the same offer.
            prop_assert_eq!(platform.rank(&other), platform.normalized().rank(&other.normalized()));
        }

        #[test]
        fn what_is_written_is_read_back(platform in any_platform()) {
            let read: Platform = platform.normalized().to_string().parse().unwrap();
            prop_assert_eq!(read.normalized(), platform.normalized());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,20}") {
            let _ = text.parse::<Platform>();
        }
    }
}
