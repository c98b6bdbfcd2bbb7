//! Container names: which are valid, who has one, and made-up ones for containers that were given none.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use super::error::{Attempt, Error, Kind, Result};
use super::model::ContainerId;
use super::store::Roots;
use super::sys::file;

const ADJECTIVES: &[&str] = &[
    "agile", "ample", "azure", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid",
    "clever", "coastal", "cosmic", "crisp", "curious", "daring", "deep", "eager", "early", "easy",
    "fair", "fleet", "fond", "frank", "fresh", "gallant", "gentle", "glad", "golden", "grand",
    "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "lucid", "lucky", "mellow",
    "merry", "mighty", "modest", "neat", "nimble", "noble", "open", "patient", "placid", "plucky",
    "polite", "proud", "quick", "quiet", "rapid", "ready", "robust", "royal", "salty", "serene",
    "sharp", "silent", "silver", "smart", "snug", "sober", "steady", "stoic", "strong", "sturdy",
    "sunny", "swift", "tidal", "tidy", "tranquil", "trusty", "upbeat", "valiant", "vivid", "warm",
    "wise", "witty", "young", "zealous",
];

/// People of the sea: navigators, explorers, builders of ships and harbours, oceanographers.
const SURNAMES: &[&str] = &[
    "amundsen",
    "andree",
    "baffin",
    "balboa",
    "baret",
    "barents",
    "beaufort",
    "bering",
    "bligh",
    "bonny",
    "bougainville",
    "bowditch",
    "brunel",
    "cabot",
    "carpenter",
    "carson",
    "chichester",
    "clark",
    "columbus",
    "cook",
    "cousteau",
    "dampier",
    "dias",
    "drake",
    "earle",
    "elcano",
    "erikson",
    "fitzroy",
    "flinders",
    "franklin",
    "frobisher",
    "gama",
    "grace",
    "halley",
    "harrison",
    "henson",
    "heyerdahl",
    "hudson",
    "humboldt",
    "joyon",
    "knox",
    "lind",
    "macarthur",
    "magellan",
    "maury",
    "mercator",
    "moitessier",
    "nansen",
    "nares",
    "nelson",
    "parry",
    "piccard",
    "polo",
    "pytheas",
    "ross",
    "scoresby",
    "shackleton",
    "slocum",
    "tabarly",
    "tasman",
    "tharp",
    "torres",
    "tupaia",
    "vancouver",
    "vespucci",
    "villiers",
    "watt",
    "weddell",
    "zheng",
];

/// Checks a name that a user chose: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, Docker's rule.
///
/// # Errors
/// [`Kind::InvalidInput`] in Docker's words.
pub(super) fn check(name: &str) -> Result<()> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    // 128 keeps the name a valid file name with room for a suffix; Docker has no limit of its own.
    if first && rest && (2..=128).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed (2 to 128 characters)"
    )))
}

/// A made-up name from a random number; `attempt` above zero adds a digit, as Docker does when names run out.
#[must_use]
pub(super) fn generate(random: u64, attempt: u32) -> String {
    let pick = |list: &[&'static str], n: u64| {
        let len = u64::try_from(list.len()).unwrap_or(1);
        usize::try_from(n % len)
            .ok()
            .and_then(|i| list.get(i).copied())
            .unwrap_or("wharf")
    };
    let (adjective, surname) = (pick(ADJECTIVES, random), pick(SURNAMES, random >> 32));
    if attempt == 0 {
        format!("{adjective}_{surname}")
    } else {
        format!("{adjective}_{surname}{}", (random >> 16) % 1000)
    }
}

/// Who has the name now, by the index; the container itself may be gone if a process died between two steps.
///
/// # Errors
/// What the file system says; a damaged entry counts as nobody's.
pub(super) fn owner(roots: &Roots, name: &str) -> Result<Option<ContainerId>> {
    if check(name).is_err() {
        return Ok(None);
    }
    let Some(content) = file::read_optional(&roots.names().join(name))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&content).trim().to_owned();
    Ok(ContainerId::try_from(text).ok())
}

/// Takes the name for a container. The caller holds the names lock.
///
/// # Errors
/// [`Kind::Conflict`] in Docker's words if a container that exists has it.
pub(super) fn reserve(roots: &Roots, name: &str, id: &ContainerId) -> Result<()> {
    let path = roots.names().join(name);
    if let Some(owner) = owner(roots, name)? {
        if owner != *id && roots.container(&owner).join("container.json").exists() {
            return Err(Error::conflict(format!(
                "the container name \"/{name}\" is already in use by container \"{owner}\""
            ))
            .with_hint("remove or rename that container, or choose another name"));
        }
        file::remove_file(&path)?;
    }
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{id}"))
        .attempt(|| format!("reserve the name {name}"))
}

/// Gives a name back if this container still has it.
///
/// # Errors
/// What the file system says; a name that somebody else has by now is left alone.
pub(super) fn release(roots: &Roots, name: &str, id: &ContainerId) -> Result<()> {
    match owner(roots, name)? {
        Some(owner) if owner == *id => file::remove_file(&roots.names().join(name)),
        _ => Ok(()),
    }
}

/// Waits for the lock under which names are checked and taken.
///
/// # Errors
/// What open(2) and flock(2) say.
pub(super) fn lock(roots: &Roots) -> Result<file::Lock> {
    file::lock(&roots.lock("names")).map_err(|error| error.with_kind(Kind::Unavailable))
}

/// The same lock, if nobody has it.
///
/// # Errors
/// As [`lock`].
pub(super) fn try_lock(roots: &Roots) -> Result<Option<file::Lock>> {
    file::try_lock(&roots.lock("names"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(dir: &std::path::Path) -> Roots {
        let roots = Roots {
            data: dir.join("d"),
            run: dir.join("r"),
        };
        std::fs::create_dir_all(roots.names()).unwrap();
        roots
    }

    fn id(digit: char) -> ContainerId {
        ContainerId::try_from(digit.to_string().repeat(64)).unwrap()
    }

    #[test]
    fn made_up_names_are_valid() {
        for n in 0..5000u64 {
            let random = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            check(&generate(random, 0)).unwrap();
            check(&generate(random, 1)).unwrap();
        }
    }

    #[test]
    fn a_name_with_a_slash_or_a_leading_dot_is_refused() {
        for bad in [
            "",
            "a",
            "../x",
            ".x",
            "-x",
            "a/b",
            "a b",
            "ä",
            &"a".repeat(129),
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_taken_once_and_a_dead_owners_name_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let roots = roots(dir.path());
        reserve(&roots, "web", &id('a')).unwrap();
        // The owner has no record, as after a crash: the name is free.
        reserve(&roots, "web", &id('b')).unwrap();
        std::fs::create_dir_all(roots.container(&id('b'))).unwrap();
        std::fs::write(roots.container(&id('b')).join("container.json"), "{}").unwrap();
        assert_eq!(
            reserve(&roots, "web", &id('c')).unwrap_err().kind(),
            Kind::Conflict
        );
        release(&roots, "web", &id('c')).unwrap();
        assert_eq!(owner(&roots, "web").unwrap(), Some(id('b')));
        release(&roots, "web", &id('b')).unwrap();
        assert_eq!(owner(&roots, "web").unwrap(), None);
    }
}
