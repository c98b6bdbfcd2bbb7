//! AppArmor's profile for a container: wharf's own unless another is named, and its way into the kernel. A process gets
//! it by `labels.rs`; the text of our own is in `assets/apparmor` ([ADR 14](../../../docs/adr/0014-our-apparmor-profile-is-compiled.md)).

use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::apparmor::{self, Answer};

/// The profile of ours.
pub const DEFAULT: &str = "wharf-default";

/// What AppArmor calls having no profile.
pub const UNCONFINED: &str = "unconfined";

/// [`DEFAULT`], compiled.
static POLICY: &[u8] = include_bytes!("../../../assets/apparmor/wharf-default.bin");

/// A path that [`DEFAULT`] lets nobody write, which tells it from that of another version of wharf.
const MARK: &str = "/.wharf-default/1";

/// What a container's processes get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The profile's name; `None` is whatever the engine's own process has.
    pub profile: Option<String>,
    /// What the user should know.
    pub warning: Option<String>,
}

/// The kernel's part, so that the rules can be tried without one.
trait Kernel {
    fn query(&self, profile: &str, path: &str) -> Result<Answer>;
    fn load(&self, policy: &[u8]) -> Result<()>;
}

struct Host;

impl Kernel for Host {
    fn query(&self, profile: &str, path: &str) -> Result<Answer> {
        apparmor::query(profile, path)
    }

    fn load(&self, policy: &[u8]) -> Result<()> {
        apparmor::replace(policy)
    }
}

/// Sees to it that the profile for a container is loaded: the named one, or ours, which is loaded if it is missing or of
/// another version. On a host without AppArmor a container gets none. Takes four system calls where all is as it was.
///
/// # Errors
/// [`Kind::Unsupported`] if a profile is named and the host has no AppArmor, [`Kind::NotFound`] if it is not loaded, and
/// what the kernel says of ours. Without the right to load ours there is a warning instead.
pub fn prepare(named: Option<&str>) -> Result<Confinement> {
    prepare_in(&Host, named)
}

fn prepare_in(kernel: &impl Kernel, named: Option<&str>) -> Result<Confinement> {
    let name = named.unwrap_or(DEFAULT);
    match kernel.query(name, MARK)? {
        Answer::Unreachable if named.is_none() || name == UNCONFINED => Ok(Confinement::default()),
        Answer::Unreachable => Err(Error::unsupported(format!(
            "AppArmor profile {name:?}: this host has no AppArmor"
        ))
        .with_hint("leave --security-opt apparmor=… out")),
        Answer::NotLoaded if name == DEFAULT => load(kernel).or_else(|error| match named {
            None if error.kind() == Kind::Denied => Ok(unprotected()),
            _ => Err(error),
        }),
        Answer::NotLoaded => {
            let text = format!("AppArmor profile {name:?} is not loaded");
            Err(Error::not_found(text).with_hint("load it with apparmor_parser -r <file>"))
        }
        Answer::Allows(permissions) if name == DEFAULT && permissions.write() => load(kernel)
            .or_else(|error| match error.kind() {
                // That of the other version does nearly the same.
                Kind::Denied => Ok(confined(name)),
                _ => Err(error),
            }),
        Answer::Allows(_) => Ok(confined(name)),
    }
}

fn confined(name: &str) -> Confinement {
    Confinement {
        profile: Some(name.to_owned()),
        warning: None,
    }
}

fn unprotected() -> Confinement {
    let warning = format!(
        "the container has no AppArmor profile: {DEFAULT} is not loaded, and loading it takes CAP_MAC_ADMIN"
    );
    Confinement {
        profile: None,
        warning: Some(warning),
    }
}

fn load(kernel: &impl Kernel) -> Result<Confinement> {
    kernel.load(POLICY).map_err(|error| {
        error
            .attempting(format!("AppArmor profile {DEFAULT:?}"))
            .with_hint("--security-opt apparmor=unconfined does without")
    })?;
    Ok(confined(DEFAULT))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Fake {
        answer: Answer,
        load: Option<Kind>,
        loads: Cell<u32>,
    }

    impl Kernel for Fake {
        fn query(&self, _profile: &str, _path: &str) -> Result<Answer> {
            Ok(self.answer)
        }

        fn load(&self, policy: &[u8]) -> Result<()> {
            assert!(
                policy
                    .windows(DEFAULT.len())
                    .any(|part| part == DEFAULT.as_bytes())
            );
            self.loads.set(self.loads.get() + 1);
            self.load.map_or(Ok(()), |kind| Err(Error::new(kind, "no")))
        }
    }

    const CURRENT: Answer = Answer::Allows(apparmor::Permissions::NONE);
    const OTHER: Answer = Answer::Allows(apparmor::Permissions::ALL);
    const MAY: Option<Kind> = None;
    const MAY_NOT: Option<Kind> = Some(Kind::Denied);
    const BROKEN: Option<Kind> = Some(Kind::InvalidInput);

    /// What comes of it: profile, whether there is a warning, or the error's kind; and how often ours is loaded.
    fn check(
        named: Option<&str>,
        answer: Answer,
        load: Option<Kind>,
        expect: Result<(Option<&str>, bool), Kind>,
        loads: u32,
    ) {
        let kernel = Fake {
            answer,
            load,
            loads: Cell::new(0),
        };
        let got = prepare_in(&kernel, named);
        let seen = got
            .as_ref()
            .map(|c| (c.profile.as_deref(), c.warning.is_some()))
            .map_err(Error::kind);
        assert_eq!(seen, expect, "{named:?}, {answer:?}, {load:?}");
        assert_eq!(kernel.loads.get(), loads, "{named:?}, {answer:?}, {load:?}");
    }

    #[test]
    fn without_apparmor_there_is_no_profile_and_none_can_be_named() {
        check(None, Answer::Unreachable, MAY, Ok((None, false)), 0);
        check(
            Some(UNCONFINED),
            Answer::Unreachable,
            MAY,
            Ok((None, false)),
            0,
        );
        for name in ["own", DEFAULT] {
            check(
                Some(name),
                Answer::Unreachable,
                MAY,
                Err(Kind::Unsupported),
                0,
            );
        }
    }

    #[test]
    fn ours_is_loaded_when_it_is_missing_or_another_and_only_then() {
        for named in [None, Some(DEFAULT)] {
            check(named, CURRENT, MAY, Ok((Some(DEFAULT), false)), 0);
            check(named, Answer::NotLoaded, MAY, Ok((Some(DEFAULT), false)), 1);
            check(named, OTHER, MAY, Ok((Some(DEFAULT), false)), 1);
        }
    }

    #[test]
    fn without_the_right_to_load_it_there_is_a_warning_or_the_older_one() {
        check(None, Answer::NotLoaded, MAY_NOT, Ok((None, true)), 1);
        check(None, OTHER, MAY_NOT, Ok((Some(DEFAULT), false)), 1);
        // Named, it must be what the container gets.
        check(
            Some(DEFAULT),
            Answer::NotLoaded,
            MAY_NOT,
            Err(Kind::Denied),
            1,
        );
    }

    #[test]
    fn a_kernel_that_does_not_take_ours_is_told() {
        check(None, Answer::NotLoaded, BROKEN, Err(Kind::InvalidInput), 1);
        check(None, OTHER, BROKEN, Err(Kind::InvalidInput), 1);
    }

    #[test]
    fn a_named_profile_must_be_loaded() {
        check(Some("own"), CURRENT, MAY, Ok((Some("own"), false)), 0);
        check(Some("own"), OTHER, MAY, Ok((Some("own"), false)), 0);
        check(
            Some(UNCONFINED),
            OTHER,
            MAY,
            Ok((Some(UNCONFINED), false)),
            0,
        );
        check(Some("own"), Answer::NotLoaded, MAY, Err(Kind::NotFound), 0);
    }

    #[test]
    fn the_mark_is_in_the_profile() {
        let text = include_str!("../../../assets/apparmor/wharf-default");
        assert!(text.contains(&format!("deny {MARK} w,")));
        assert!(text.contains(&format!("profile {DEFAULT} ")));
    }
}
