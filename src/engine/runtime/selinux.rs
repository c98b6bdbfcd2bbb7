//! SELinux: which contexts a container gets. The policy says what containers of this host are called, the user may change
//! that, and a pair of categories that no other container has keeps it apart from the others. Processes get their context
//! by `labels.rs`, mounts by `mounts`, files of the host by `relabel.rs`
//! ([ADR 15](../../../docs/adr/0015-selinux-by-what-the-host-says.md)).

use std::collections::BTreeSet;
use std::path::Path;

use crate::engine::error::{Error, Result};
use crate::engine::model::selinux::{Context, Contexts, LabelOption};
use crate::engine::sys::{file, host, selinux};

/// What container engines share, if it is installed; before the policy's own.
const SHARED: &str = "/usr/share/containers/selinux/contexts";

/// Which policy the host has (selinux_config(5)).
const CONFIG: &str = "/etc/selinux/config";

/// The policy's own (lxc_contexts(5)).
const OF_POLICY: &str = "contexts/lxc_contexts";

/// Categories go from 0 to 1023; the last two are those of containers without a context for their processes.
const CATEGORIES: u64 = 1022;

/// Files of a container whose processes have none: no other container may use them.
const UNUSED: &str = "s0:c1022,c1023";

/// What a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The contexts; none on a host without SELinux.
    pub contexts: Contexts,
    /// What the user should know.
    pub warning: Option<String>,
}

/// The host's part, so that the rules can be tried without one.
trait Host {
    /// The file that says what containers are called.
    fn names(&self) -> Result<Option<String>>;
    fn knows(&self, context: &str) -> Result<bool>;
    fn random(&self) -> u64;
}

struct ThisHost;

impl Host for ThisHost {
    fn names(&self) -> Result<Option<String>> {
        if let Some(text) = file::read_optional(Path::new(SHARED))? {
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
        let config = file::read_optional(Path::new(CONFIG))?.unwrap_or_default();
        let config = String::from_utf8_lossy(&config);
        let Some(policy) = value_of(&config, "SELINUXTYPE") else {
            return Ok(None);
        };
        let path = Path::new("/etc/selinux").join(policy).join(OF_POLICY);
        let text = file::read_optional(&path)?;
        Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
    }

    fn knows(&self, context: &str) -> Result<bool> {
        selinux::knows(context)
    }

    fn random(&self) -> u64 {
        u64::from_le_bytes(host::random_bytes())
    }
}

/// Chooses contexts for a new container. `taken` are the levels of the others; it is asked only if it matters.
///
/// # Errors
/// [`Kind::Unsupported`](crate::engine::error::Kind::Unsupported) if options ask for what the policy does not have. Without
/// options a container gets no context then, and a warning.
pub fn choose(
    options: &[LabelOption],
    taken: impl FnOnce() -> Result<BTreeSet<String>>,
) -> Result<Choice> {
    if selinux::is_on() {
        choose_in(&ThisHost, options, taken)
    } else {
        // As with Docker, options have no effect here.
        Ok(Choice::default())
    }
}

/// Why containers have no contexts though SELinux is at work, if so.
///
/// # Errors
/// As [`choose`].
pub fn shortcoming() -> Result<Option<String>> {
    Ok(choose(&[], || Ok(BTreeSet::new()))?.warning)
}

/// The level of a container's processes.
#[must_use]
pub fn level(contexts: &Contexts) -> Option<String> {
    Context::parse(&contexts.process)?.level
}

/// The context of files that all containers may use.
#[must_use]
pub fn shared(mount: &str) -> String {
    match Context::parse(mount) {
        Some(context) => at_level(context, "s0").to_string(),
        None => mount.to_owned(),
    }
}

/// The context of layers, which all containers read and none writes: the policy's own for that, if it has one.
///
/// # Errors
/// What reading its names and asking the kernel say.
pub fn of_layers(mount: &str) -> Result<String> {
    of_layers_in(&ThisHost, mount)
}

fn of_layers_in(host: &impl Host, mount: &str) -> Result<String> {
    let names = host.names()?.unwrap_or_default();
    match value_of(&names, "ro_file") {
        Some(context) if host.knows(context)? => Ok(context.to_owned()),
        _ => Ok(shared(mount)),
    }
}

fn choose_in(
    host: &impl Host,
    options: &[LabelOption],
    taken: impl FnOnce() -> Result<BTreeSet<String>>,
) -> Result<Choice> {
    let names = host.names()?.unwrap_or_default();
    let context = |name| value_of(&names, name).and_then(Context::parse);
    let is_disabled = options.contains(&LabelOption::Disable);
    let (process, files) = match (context("process"), context("file")) {
        (Some(process), Some(files)) => (process, files),
        _ if is_disabled => return Ok(Choice::default()),
        _ => {
            return lacking(
                options,
                "its policy does not say what containers are called",
            );
        }
    };
    if is_disabled {
        let files = at_level(files, UNUSED).to_string();
        let mount = if host.knows(&files)? {
            files
        } else {
            String::new()
        };
        return Ok(only(String::new(), mount));
    }
    let is_given = |option: &LabelOption| matches!(option, LabelOption::Level(_));
    let level = if process.level.is_none() || options.iter().any(is_given) {
        None
    } else {
        Some(free_level(&taken()?, || host.random())?)
    };
    let (process, files) = match &level {
        Some(level) => (at_level(process, level), at_level(files, level)),
        None => (process, files),
    };
    let (process, files) = changed(process, files, options);
    for context in [&process, &files] {
        let text = context.to_string();
        if !host.knows(&text)? {
            return lacking(options, &format!("its policy does not know {text}"));
        }
    }
    Ok(only(process.to_string(), files.to_string()))
}

/// What was asked for cannot be had; what was not asked for is told.
fn lacking(options: &[LabelOption], why: &str) -> Result<Choice> {
    let Some(first) = options.first() else {
        let warning = format!(
            "containers have no SELinux context: {why}; install one that has container types, such as container-selinux"
        );
        return Ok(Choice {
            contexts: Contexts::default(),
            warning: Some(warning),
        });
    };
    Err(
        Error::unsupported(format!("label={first}: SELinux is on, but {why}"))
            .with_hint("--security-opt label=disable does without"),
    )
}

fn only(process: String, mount: String) -> Choice {
    Choice {
        contexts: Contexts { process, mount },
        warning: None,
    }
}

/// A level with the first pair of categories that comes up and that nobody has.
fn free_level(taken: &BTreeSet<String>, random: impl Fn() -> u64) -> Result<String> {
    /// Of half a million pairs, a host's containers have some hundreds.
    const TRIES: usize = 10_000;
    let levels = std::iter::repeat_with(|| pair(random()));
    levels
        .take(TRIES)
        .flatten()
        .find(|level| !taken.contains(level))
        .ok_or_else(|| Error::conflict("every pair of SELinux categories is taken"))
}

/// Two different categories in order; `None` if the number gives the same one twice.
fn pair(number: u64) -> Option<String> {
    let halves = (number & u64::from(u32::MAX), number >> 32);
    let (one, other) = (halves.0 % CATEGORIES, halves.1 % CATEGORIES);
    let (low, high) = (one.min(other), one.max(other));
    (low != high).then(|| format!("s0:c{low},c{high}"))
}

/// Contexts of processes and files as the options want them; the last of one kind counts.
fn changed(
    mut process: Context,
    mut files: Context,
    options: &[LabelOption],
) -> (Context, Context) {
    for option in options {
        match option {
            LabelOption::User(user) => {
                process.user.clone_from(user);
                files.user.clone_from(user);
            }
            LabelOption::Role(role) => process.role.clone_from(role),
            LabelOption::Type(kind) => process.kind.clone_from(kind),
            LabelOption::FileType(kind) => files.kind.clone_from(kind),
            LabelOption::Level(level) => {
                process.level = Some(level.clone());
                files.level = Some(level.clone());
            }
            LabelOption::Disable | LabelOption::Nested => {}
        }
    }
    (process, files)
}

fn at_level(context: Context, level: &str) -> Context {
    Context {
        level: Some(level.to_owned()),
        ..context
    }
}

/// What a file of `name = "value"` lines says last; `#` and `;` begin remarks.
fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().trim_matches('"'))
        .rfind(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::error::Kind;

    const NAMES: &str = "# of the policy\n\nprocess = \"system_u:system_r:container_t:s0\"\n\
        content = \"x\"\n  file=system_u:object_r:container_file_t:s0\n";

    /// A host whose policy has these names and knows these types; what it is asked for at random counts up.
    struct Fake {
        names: Option<&'static str>,
        types: &'static [&'static str],
        random: Cell<u64>,
    }

    impl Host for Fake {
        fn names(&self) -> Result<Option<String>> {
            Ok(self.names.map(str::to_owned))
        }

        fn knows(&self, context: &str) -> Result<bool> {
            let kind = Context::parse(context).unwrap().kind;
            Ok(self.types.contains(&kind.as_str()))
        }

        fn random(&self) -> u64 {
            let number = self.random.get();
            self.random.set(number + 1);
            // The second category is always 5.
            (5 << 32) + number
        }
    }

    fn host(names: Option<&'static str>, types: &'static [&'static str]) -> Fake {
        Fake {
            names,
            types,
            random: Cell::new(3),
        }
    }

    const TYPES: &[&str] = &["container_t", "container_file_t", "spc_t"];

    fn options(texts: &[&str]) -> Vec<LabelOption> {
        let parse = |text: &&str| LabelOption::parse(text).unwrap();
        texts.iter().map(parse).collect()
    }

    fn check(host: &Fake, texts: &[&str], taken: &[&str], process: &str, mount: &str) {
        let taken = taken.iter().map(|level| (*level).to_owned()).collect();
        let got = choose_in(host, &options(texts), || Ok(taken)).unwrap();
        let expect = only(process.to_owned(), mount.to_owned());
        assert_eq!(got, expect, "{texts:?}");
    }

    #[test]
    fn a_container_has_the_policys_types_and_categories_of_its_own() {
        check(
            &host(Some(NAMES), TYPES),
            &[],
            &[],
            "system_u:system_r:container_t:s0:c3,c5",
            "system_u:object_r:container_file_t:s0:c3,c5",
        );
        // 3 and 4 are taken, and 5 comes twice.
        check(
            &host(Some(NAMES), TYPES),
            &[],
            &["s0:c3,c5", "s0:c4,c5"],
            "system_u:system_r:container_t:s0:c5,c6",
            "system_u:object_r:container_file_t:s0:c5,c6",
        );
    }

    #[test]
    fn a_policy_without_levels_has_none() {
        let names = "process=u:r:container_t\nfile=u:object_r:container_file_t";
        check(
            &host(Some(names), TYPES),
            &[],
            &[],
            "u:r:container_t",
            "u:object_r:container_file_t",
        );
    }

    #[test]
    fn options_change_what_they_name() {
        let check = |texts: &[&str], process, mount| {
            check(&host(Some(NAMES), TYPES), texts, &[], process, mount);
        };
        check(
            &["user:u", "role:r", "type:spc_t"],
            "u:r:spc_t:s0:c3,c5",
            "u:object_r:container_file_t:s0:c3,c5",
        );
        check(
            &["filetype:spc_t", "nested"],
            "system_u:system_r:container_t:s0:c3,c5",
            "system_u:object_r:spc_t:s0:c3,c5",
        );
        check(
            &["level:s0:c8", "level:s0:c9"],
            "system_u:system_r:container_t:s0:c9",
            "system_u:object_r:container_file_t:s0:c9",
        );
        check(
            &["type:spc_t", "disable"],
            "",
            "system_u:object_r:container_file_t:s0:c1022,c1023",
        );
    }

    #[test]
    fn a_policy_without_container_types_means_a_warning_or_a_refusal() {
        for (names, types) in [
            (None, TYPES),
            (Some("process = \"\"\n"), TYPES),
            (Some(NAMES), &["container_t"][..]),
            (Some(NAMES), &[][..]),
        ] {
            let host = host(names, types);
            let none = || Ok(BTreeSet::new());
            let got = choose_in(&host, &[], none).unwrap();
            assert_eq!(got.contexts, Contexts::default());
            let warning = got.warning.unwrap();
            assert!(!warning.contains('\n') && warning.contains("policy"));
            let error = choose_in(&host, &options(&["type:x"]), none).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported);
            assert!(
                error
                    .to_string()
                    .starts_with("label=type:x: SELinux is on, but its policy")
            );
            check(&host, &["disable"], &[], "", "");
        }
    }

    #[test]
    fn categories_run_out_with_an_error() {
        let taken = BTreeSet::from(["s0:c1,c2".to_owned()]);
        let number = (2 << 32) + 1;
        assert_eq!(pair(number).as_deref(), Some("s0:c1,c2"));
        let error = free_level(&taken, || number).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(free_level(&BTreeSet::new(), || 7 << 32 | 7).is_err());
    }

    #[test]
    fn layers_have_the_policys_own_context_or_the_shared_one() {
        let names = "ro_file = \"u:object_r:container_ro_file_t:s0\"";
        let check = |names, types, expect: &str| {
            let got = of_layers_in(&host(Some(names), types), "u:object_r:f:s0:c1,c2");
            assert_eq!(got.unwrap(), expect);
        };
        check(
            names,
            &["container_ro_file_t"],
            "u:object_r:container_ro_file_t:s0",
        );
        check(names, &[], "u:object_r:f:s0");
        check(NAMES, TYPES, "u:object_r:f:s0");
    }

    #[test]
    fn what_is_shared_has_no_categories() {
        assert_eq!(shared("u:object_r:t:s0:c1,c2"), "u:object_r:t:s0");
        assert_eq!(shared(""), "");
    }

    #[test]
    fn a_file_of_names_is_read() {
        let text = "#a=1\n;a=2\n a = \"3\"\nb=4\na=\nSELINUXTYPE=default\n";
        assert_eq!(value_of(text, "a"), Some("3"));
        assert_eq!(value_of(text, "SELINUXTYPE"), Some("default"));
        assert_eq!(value_of(text, "c"), None);
    }

    proptest::proptest! {
        #[test]
        fn two_categories_are_in_order_and_never_those_that_are_unused(number: u64) {
            if let Some(level) = pair(number) {
                let numbers: Vec<u64> = level
                    .strip_prefix("s0:")
                    .unwrap()
                    .split(',')
                    .map(|c| c.strip_prefix('c').unwrap().parse().unwrap())
                    .collect();
                let [low, high] = numbers.as_slice() else { panic!("{level}") };
                proptest::prop_assert!(low < high && *high < CATEGORIES);
            }
        }
    }
}
