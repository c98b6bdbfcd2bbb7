//! Mount options: a table of words, and what is in no table is the file system's. Pure: the kernel says later what it
//! does not know either.

use std::path::PathBuf;

use super::idmap;
use crate::engine::error::{Error, Result};
use crate::engine::sys::mount::{self, Attributes, Depth, Propagation};

/// What the options of one mount mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Attribute bits to set on the mount.
    pub set: Attributes,
    /// Attribute bits that were asked to be cleared.
    pub clear: Attributes,
    /// The same for it and all mounts below it.
    pub set_all: Attributes,
    /// The same for it and all mounts below it.
    pub clear_all: Attributes,
    /// It is a bind mount: of one mount, or of all below the source.
    pub bind: Option<Depth>,
    /// Propagation, one change after the other: `slave`, then `shared` makes a mount that is both.
    pub propagation: Vec<(Propagation, Depth)>,
    /// Flags of the file system itself that every file system takes.
    pub flags: Vec<&'static str>,
    /// What is mounted there already is changed.
    pub remount: bool,
    /// A tmpfs begins with what the directory under it has.
    pub copy_up: bool,
    /// Owners are mapped.
    pub id_map: Option<IdMap>,
    /// How links at the ends of a bind mount are taken.
    pub links: Links,
    /// Of a bind mount's source only what is at this path in it.
    pub subpath: Option<PathBuf>,
    /// A bind mount's source is found in the mount namespace of this process: its id, and when it was started.
    pub process: Option<(i32, u64)>,
    /// A bind mount's source is found in the container's root.
    pub inside: bool,
    /// What is left for the file system: `key` or `key=value`.
    pub data: Vec<(String, Option<String>)>,
}

/// A mapping of owners that an option asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// Of this mount, or of all below it.
    pub depth: Depth,
    /// The mapping, where the option has one itself; else it is the mount's or the container's.
    pub given: Option<idmap::Given>,
}

/// How a bind mount takes links (options of crun).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Links {
    /// A source that is a link is made anew in the container.
    pub copy: bool,
    /// A source that is a link is mounted itself.
    pub source_itself: bool,
    /// A target that is a link is mounted over itself.
    pub target_itself: bool,
}

/// What a word does.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// Sets and clears attributes of the mount.
    Attribute(Attributes, Attributes),
    /// Makes it a bind mount.
    Bind,
    /// Changes propagation.
    Propagation(Propagation),
    /// Sets a flag of the file system.
    Flag(&'static str),
    /// Takes a flag of the file system away that an earlier word set.
    NoFlag(&'static str),
    /// Maps owners.
    IdMap,
    /// Sets one of the switches.
    Switch(fn(&mut Options)),
    /// Is a default, or has no meaning for a new mount.
    Nothing,
}

/// mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS"; runtime-spec config-linux.md, "Linux mount options"; and what other
/// runtimes have besides (`tmpcopyup`, `copy-symlink`, …).
const WORDS: &[(&str, Word)] = &[
    ("ro", Word::Attribute(mount::RDONLY, 0)),
    ("rw", Word::Attribute(0, mount::RDONLY)),
    ("nosuid", Word::Attribute(mount::NOSUID, 0)),
    ("suid", Word::Attribute(0, mount::NOSUID)),
    ("nodev", Word::Attribute(mount::NODEV, 0)),
    ("dev", Word::Attribute(0, mount::NODEV)),
    ("noexec", Word::Attribute(mount::NOEXEC, 0)),
    ("exec", Word::Attribute(0, mount::NOEXEC)),
    ("nodiratime", Word::Attribute(mount::NODIRATIME, 0)),
    ("diratime", Word::Attribute(0, mount::NODIRATIME)),
    ("nosymfollow", Word::Attribute(mount::NOSYMFOLLOW, 0)),
    ("symfollow", Word::Attribute(0, mount::NOSYMFOLLOW)),
    ("noatime", Word::Attribute(mount::NOATIME, mount::ATIME)),
    (
        "strictatime",
        Word::Attribute(mount::STRICTATIME, mount::ATIME),
    ),
    // `relatime` is no bit: it is what is left without the others.
    ("relatime", Word::Attribute(0, mount::ATIME)),
    ("atime", Word::Attribute(0, mount::ATIME)),
    ("nostrictatime", Word::Attribute(0, mount::ATIME)),
    ("norelatime", Word::Nothing),
    ("bind", Word::Bind),
    ("private", Word::Propagation(Propagation::Private)),
    ("slave", Word::Propagation(Propagation::Slave)),
    ("shared", Word::Propagation(Propagation::Shared)),
    ("unbindable", Word::Propagation(Propagation::Unbindable)),
    ("sync", Word::Flag("sync")),
    ("async", Word::NoFlag("sync")),
    ("dirsync", Word::Flag("dirsync")),
    ("lazytime", Word::Flag("lazytime")),
    ("nolazytime", Word::NoFlag("lazytime")),
    ("mand", Word::Flag("mand")),
    ("nomand", Word::NoFlag("mand")),
    ("idmap", Word::IdMap),
    ("remount", Word::Switch(|options| options.remount = true)),
    ("tmpcopyup", Word::Switch(|options| options.copy_up = true)),
    (
        "copy-symlink",
        Word::Switch(|options| options.links.copy = true),
    ),
    (
        "src-nofollow",
        Word::Switch(|options| options.links.source_itself = true),
    ),
    (
        "dest-nofollow",
        Word::Switch(|options| options.links.target_itself = true),
    ),
    ("defaults", Word::Nothing),
    // The kernel counts versions where it can, and tells as much as it wants.
    ("iversion", Word::Nothing),
    ("noiversion", Word::Nothing),
    ("silent", Word::Nothing),
    ("loud", Word::Nothing),
    ("", Word::Nothing),
];

/// Every word that has a meaning here, sorted, for a list of features.
#[must_use]
pub fn known() -> Vec<String> {
    let mut names: Vec<String> = WORDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let recursive = WORDS
        .iter()
        .filter(|(_, word)| has_recursive_form(*word))
        .map(|(name, _)| format!("r{name}"));
    names.extend(recursive);
    names.push("rnorelatime".to_owned());
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names
}

fn has_recursive_form(word: Word) -> bool {
    match word {
        Word::Attribute(..) | Word::Bind | Word::Propagation(_) | Word::IdMap => true,
        Word::Flag(_) | Word::NoFlag(_) | Word::Switch(_) | Word::Nothing => false,
    }
}

/// Reads mount options; of two that contradict each other the later one wins.
///
/// # Errors
/// A mapping that is none.
pub fn parse(options: &[String]) -> Result<Options> {
    let mut result = Options::default();
    for option in options {
        result.read(option)?;
    }
    Ok(result)
}

/// An option of our own: what stands behind it is resolved below the source of a bind mount, and nowhere else.
pub const SUBPATH: &str = "x-wharf.subpath=";

/// An option of our own: a bind mount's source is that of this process, `pid:start`, whose mount namespace it is found in.
pub const OF_PROCESS: &str = "x-wharf.of=";

/// An option of our own: a bind mount's source is in the container's root, with what earlier mounts put there.
pub const INSIDE: &str = "x-wharf.inside";

impl Options {
    fn read(&mut self, option: &str) -> Result<()> {
        if option == INSIDE {
            self.inside = true;
            return Ok(());
        }
        if let Some(path) = option.strip_prefix(SUBPATH) {
            self.subpath = Some(PathBuf::from(path));
            return Ok(());
        }
        if let Some(text) = option.strip_prefix(OF_PROCESS) {
            let numbers = text.split_once(':');
            let parsed =
                numbers.and_then(|(pid, start)| Some((pid.parse().ok()?, start.parse().ok()?)));
            self.process =
                Some(parsed.ok_or_else(|| Error::invalid(format!("{option:?} names no process")))?);
            return Ok(());
        }
        // No word of the table has a value.
        if option.contains('=') {
            return self.read_data(option);
        }
        if let Some(word) = find(option) {
            self.apply(word, Depth::One);
            return Ok(());
        }
        match option.strip_prefix('r').map(|rest| (rest, find(rest))) {
            Some((_, Some(word))) if has_recursive_form(word) => {
                self.apply(word, Depth::Recursive);
                Ok(())
            }
            // Flags of a file system are nothing that a tree of mounts could have: without effect, as with crun.
            Some((_, Some(Word::Flag(_) | Word::NoFlag(_))) | ("norelatime", _)) => Ok(()),
            _ => self.read_data(option),
        }
    }

    fn read_data(&mut self, option: &str) -> Result<()> {
        if let Some(id_map) = id_map(option)? {
            self.id_map = Some(id_map);
            return Ok(());
        }
        self.data.extend(pieces(option).map(pair));
        Ok(())
    }

    fn apply(&mut self, word: Word, depth: Depth) {
        match (word, depth) {
            (Word::Attribute(set, clear), Depth::One) => {
                change(&mut self.set, &mut self.clear, set, clear);
            }
            (Word::Attribute(set, clear), Depth::Recursive) => {
                change(&mut self.set_all, &mut self.clear_all, set, clear);
            }
            (Word::Bind, depth) => self.bind = Some(depth),
            (Word::Propagation(kind), depth) => self.propagation.push((kind, depth)),
            (Word::IdMap, depth) => self.id_map = Some(IdMap { depth, given: None }),
            (Word::Flag(name), _) => {
                if !self.flags.contains(&name) {
                    self.flags.push(name);
                }
            }
            (Word::NoFlag(name), _) => self.flags.retain(|flag| *flag != name),
            (Word::Switch(set), _) => set(self),
            (Word::Nothing, _) => {}
        }
    }

    /// Whether the file system is told this key.
    #[must_use]
    pub fn has_data(&self, key: &str) -> bool {
        self.data.iter().any(|(name, _)| name == key)
    }

    /// Whether any attribute of the mount itself is asked for.
    #[must_use]
    pub fn has_attributes(&self) -> bool {
        self.set | self.clear != 0
    }
}

fn find(name: &str) -> Option<Word> {
    WORDS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, word)| *word)
}

fn change(
    set: &mut Attributes,
    clear: &mut Attributes,
    new_set: Attributes,
    new_clear: Attributes,
) {
    *set = *set & !new_clear | new_set;
    *clear = *clear & !new_set | new_clear;
}

/// `idmap=uids=0-1000-1;gids=0-1000-1`, a form of crun's.
fn id_map(option: &str) -> Result<Option<IdMap>> {
    let (depth, text) = match (
        option.strip_prefix("idmap="),
        option.strip_prefix("ridmap="),
    ) {
        (Some(text), _) => (Depth::One, text),
        (None, Some(text)) => (Depth::Recursive, text),
        (None, None) => return Ok(None),
    };
    let given = idmap::parse(text).ok_or_else(|| {
        Error::invalid(format!(
            "option {option:?}: a mapping is written uids=<in the file system>-<on the host>-<number>;gids=…"
        ))
    })?;
    let given = Some(given);
    Ok(Some(IdMap { depth, given }))
}

/// One text may hold several options with commas between; a comma after a backslash or between quotes is none of those
/// (overlayfs, SELinux).
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let separates = character == ',' && !quoted && !escaped;
        quoted ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        separates
    })
    .filter(|piece| !piece.is_empty())
}

fn pair(piece: &str) -> (String, Option<String>) {
    match piece.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(unquoted(value).to_owned())),
        None => (piece.to_owned(), None),
    }
}

/// An option for mount(2), where a comma separates: SELinux's categories have one, and it knows quotes.
#[must_use]
pub fn quoted(key: &str, value: &str) -> String {
    if key.ends_with("context") {
        format!("{key}=\"{value}\"")
    } else {
        format!("{key}={value}")
    }
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(options: &[&str]) -> Options {
        parse(&options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_later_option_wins() {
        assert_eq!(check(&["ro", "rw"]).set, 0);
        assert_eq!(check(&["ro", "rw"]).clear, mount::RDONLY);
        assert_eq!(check(&["rw", "ro"]).set, mount::RDONLY);
        assert_eq!(check(&["noexec", "exec", "nodev"]).set, mount::NODEV);
        assert_eq!(
            check(&["noatime", "strictatime"]).set,
            mount::STRICTATIME,
            "access times are one choice, not bits"
        );
        assert_eq!(check(&["sync", "async", "dirsync"]).flags, ["dirsync"]);
    }

    #[test]
    fn options_are_told_apart() {
        let options = check(&["rbind", "rro", "rslave", "size=1m", "newinstance", "nosuid"]);
        assert_eq!(options.bind, Some(Depth::Recursive));
        assert_eq!(options.set_all, mount::RDONLY);
        assert_eq!(options.set, mount::NOSUID);
        assert_eq!(
            options.propagation,
            [(Propagation::Slave, Depth::Recursive)]
        );
        let data = [
            ("size".to_owned(), Some("1m".to_owned())),
            ("newinstance".to_owned(), None),
        ];
        assert_eq!(options.data, data);
    }

    #[test]
    fn every_option_of_the_specification_is_known() {
        // runtime-spec 1.2, config-linux.md, "Linux mount options".
        let all = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev \
            nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime \
            rbind rdev rdiratime relatime remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime \
            rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid \
            rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap \
            ridmap";
        let known = known();
        for option in all.split_whitespace() {
            assert!(known.iter().any(|word| word == option), "{option}");
            assert_eq!(check(&[option]).data, [], "{option}");
        }
        for option in ["rsync", "rasync", "rdirsync", "rmand", "rnomand", ""] {
            assert_eq!(check(&[option]), Options::default(), "{option}");
        }
    }

    #[test]
    fn one_text_may_hold_several_options() {
        let options = check(&[
            "size=1m,mode=755",
            r#"context="a:b:s0:c1,c2",x"#,
            r"lowerdir=/a\,b",
        ]);
        let keys: Vec<(&str, Option<&str>)> = options
            .data
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        let expect = [
            ("size", Some("1m")),
            ("mode", Some("755")),
            ("context", Some("a:b:s0:c1,c2")),
            ("x", None),
            ("lowerdir", Some(r"/a\,b")),
        ];
        assert_eq!(keys, expect);
    }

    #[test]
    fn a_mapping_can_be_written_into_the_option() {
        let options = check(&["bind", "ridmap=uids=0-1000-10#10-5000-5;gids=@0-0-1"]);
        let id_map = options.id_map.unwrap();
        assert_eq!(id_map.depth, Depth::Recursive);
        assert!(id_map.given.is_some());
        let error = parse(&["idmap=uids=0".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("idmap=uids=0"), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_is_set_and_cleared_at_once(options in proptest::collection::vec("(r?(ro|rw|no)?(suid|dev|exec)?|r?noatime|atime|[a-z=]{0,8})", 0..8)) {
            if let Ok(options) = parse(&options) {
                prop_assert_eq!(options.set & options.clear & !mount::ATIME, 0);
                prop_assert_eq!(options.set_all & options.clear_all & !mount::ATIME, 0);
                // mount_setattr(2): a new choice of access times needs all its bits cleared.
                for (set, clear) in [(options.set, options.clear), (options.set_all, options.clear_all)] {
                    prop_assert!(set & mount::ATIME == 0 || clear & mount::ATIME == mount::ATIME);
                }
            }
        }

        #[test]
        fn whatever_is_written_is_read_without_a_panic(options in proptest::collection::vec("(?s).{0,40}", 0..6)) {
            let _ = parse(&options);
        }

        #[test]
        fn what_is_no_option_reaches_the_file_system_whole(key in "[a-z_]{3,9}[0-9]", value in "[a-zA-Z0-9/:._=-]{1,40}") {
            let options = parse(&[format!("{key}={value}")]).unwrap();
            prop_assert_eq!(options.data, [(key, Some(value))]);
        }
    }

    #[test]
    fn a_context_with_categories_is_one_option() {
        let text = quoted("context", "u:object_r:t:s0:c1,c2");
        assert_eq!(text, "context=\"u:object_r:t:s0:c1,c2\"");
        let read = parse(&[text]).unwrap().data;
        assert_eq!(
            read,
            [(
                "context".to_owned(),
                Some("u:object_r:t:s0:c1,c2".to_owned())
            )]
        );
        assert_eq!(quoted("lowerdir", "/a:/b"), "lowerdir=/a:/b");
    }
}
