//! SELinux: security contexts, what `--security-opt label=…` changes of them, and which files are to get one. Which context
//! a container has is decided in `runtime/selinux.rs`.

use std::fmt;

/// `user:role:type[:level]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The policy's user, not the system's.
    pub user: String,
    /// Role; `object_r` for files.
    pub role: String,
    /// Type; of a process also called its domain.
    pub kind: String,
    /// Sensitivity and categories, such as `s0:c1,c2`; `None` where the policy has no levels.
    pub level: Option<String>,
}

impl Context {
    /// Reads one; `None` without its three first parts.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ':');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let (user, role, kind) = (next()?, next()?, next()?);
        Some(Self {
            user: user.to_owned(),
            role: role.to_owned(),
            kind: kind.to_owned(),
            level: next().map(str::to_owned),
        })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.user, self.role, self.kind)?;
        match &self.level {
            Some(level) => write!(f, ":{level}"),
            None => Ok(()),
        }
    }
}

/// The contexts of a container, chosen when it is made; empty texts stand for none.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Contexts {
    /// Of its processes.
    pub process: String,
    /// Of all files on its own mounts.
    pub mount: String,
}

/// One `--security-opt label=…`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LabelOption {
    /// The processes get no context of their own.
    Disable,
    /// The container sees the policy, and may give contexts to files as far as that allows.
    Nested,
    /// User of processes and files.
    User(String),
    /// Role of the processes.
    Role(String),
    /// Type of the processes.
    Type(String),
    /// Type of the files.
    FileType(String),
    /// Level of both.
    Level(String),
}

impl LabelOption {
    /// Reads what is behind `label=`.
    ///
    /// # Errors
    /// Docker's text, in one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = match text.split_once(':') {
            None => match text {
                "disable" => Some(Self::Disable),
                "nested" => Some(Self::Nested),
                _ => None,
            },
            Some(("level", value)) if is_level(value) => Some(Self::Level(value.to_owned())),
            Some((_, value)) if !is_name(value) => None,
            Some((key, value)) => Self::of(key).map(|option| option(value.to_owned())),
        };
        known.ok_or_else(|| format!("bad label option {text:?}, valid options 'disable', 'nested' or 'user, role, level, type, filetype' followed by ':' and a value"))
    }

    fn of(key: &str) -> Option<fn(String) -> Self> {
        match key {
            "user" => Some(Self::User),
            "role" => Some(Self::Role),
            "type" => Some(Self::Type),
            "filetype" => Some(Self::FileType),
            _ => None,
        }
    }
}

/// An identifier of the policy language.
fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(is_part)
}

/// `s0`, `s0:c1,c3.c5`, `s0-s2:c0.c1023`: what else it must be, the kernel says.
fn is_level(text: &str) -> bool {
    text.split([':', ',', '-'])
        .all(|part| is_name(part) && !part.contains('-'))
}

impl fmt::Display for LabelOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disable => f.write_str("disable"),
            Self::Nested => f.write_str("nested"),
            Self::User(value) => write!(f, "user:{value}"),
            Self::Role(value) => write!(f, "role:{value}"),
            Self::Type(value) => write!(f, "type:{value}"),
            Self::FileType(value) => write!(f, "filetype:{value}"),
            Self::Level(value) => write!(f, "level:{value}"),
        }
    }
}

impl TryFrom<String> for LabelOption {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<LabelOption> for String {
    fn from(option: LabelOption) -> Self {
        option.to_string()
    }
}

/// Which context the files of a mount are given: `z` and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relabel {
    /// That of the container without its categories: all containers may use them.
    Shared,
    /// That of the container: no other one may.
    Private,
}

impl Relabel {
    /// As `-v` takes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "z",
            Self::Private => "Z",
        }
    }

    /// Reads `z` or `Z`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Shared, Self::Private]
            .into_iter()
            .find(|relabel| relabel.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_reads_back() {
        for text in ["a:b:c", "system_u:system_r:container_t:s0:c1,c2"] {
            assert_eq!(Context::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "kernel", "a:b", "a::c", ":b:c", "a:b:"] {
            assert_eq!(Context::parse(text), None, "{text:?}");
        }
        let level = |text| Context::parse(text).unwrap().level;
        assert_eq!(level("a:b:c:s0:c1,c2").as_deref(), Some("s0:c1,c2"));
        assert_eq!(level("a:b:c:"), None);
    }

    #[test]
    fn options_are_dockers_and_podmans() {
        for text in [
            "disable",
            "nested",
            "user:system_u",
            "role:system_r",
            "type:spc_t",
            "filetype:container_file_t",
            "level:s0",
            "level:s0:c1,c2",
            "level:s0:c1.c5,c9",
            "level:s0-s15:c0.c1023",
        ] {
            assert_eq!(LabelOption::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_option_is_refused_in_dockers_words() {
        for text in [
            "",
            "disabled",
            "Disable",
            "disable:",
            "nested:true",
            "user",
            "user:",
            "type:a:b",
            "type:a b",
            "type:a,b",
            "type:a\"b",
            "type:a\nb",
            "level:",
            "level::",
            "level:s0:c1,",
            "level:s0:c1 c2",
            "level:s0\0",
            "other:x",
        ] {
            let error = LabelOption::parse(text).unwrap_err();
            let begin = format!("bad label option {text:?}, valid options 'disable'");
            assert!(error.starts_with(&begin), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_shown_as_it_was_and_cannot_leave_its_place(text in "(disable|user:|type:|level:|filetype:|[a-z]{0,3}:?)[ -~]{0,12}") {
            if let Ok(option) = LabelOption::parse(&text) {
                proptest::prop_assert_eq!(&option.to_string(), &text);
                // It becomes a part of a mount option in quotes, and of a file that ends with the line.
                proptest::prop_assert!(!text.contains(['"', '\\', ' ', '/', '=']), "{:?}", text);
            }
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,30}") {
            let _ = (LabelOption::parse(&text), Context::parse(&text));
        }
    }
}
