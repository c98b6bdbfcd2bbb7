//! Which of the host's ids a container's users are (`--userns`), by the administrator's files: subuid(5), subgid(5).

use std::path::Path;

use super::Engine;
use super::error::{Error, Result};
use super::model::modes::{IdRange, UserMode};
use super::records;
use super::sys::file;

/// Whose ids they are, the first that has any: wharf's own user, that of Docker, and that of Podman for `auto`.
const REMAP: &[&str] = &["wharf", "dockremap"];
const AUTO: &[&str] = &["wharf", "containers", "dockremap"];

/// How many users a container has.
const SIZE: u32 = 65536;

/// Ids for a new container; `None` if its users are the host's. The caller keeps others from making containers meanwhile.
///
/// # Errors
/// `Unsupported` if the administrator has given none, `Conflict` if all are in use.
pub(super) fn choose(engine: &Engine, mode: UserMode) -> Result<Option<IdRange>> {
    match mode {
        UserMode::Default | UserMode::Host => Ok(None),
        UserMode::Remap => {
            let (uids, gids) = given("remap", REMAP)?;
            let size = SIZE.min(uids.size).min(gids.size);
            Ok(Some(IdRange {
                uid: uids.first,
                gid: gids.first,
                size,
            }))
        }
        UserMode::Auto => {
            let (uids, gids) = given("auto", AUTO)?;
            let used = in_use(engine)?;
            free(uids, gids, &used).map(Some).ok_or_else(|| {
                Error::conflict("--userns auto: all ids of /etc/subuid are in use")
                    .with_hint("remove a container that was made with it, or add ids")
            })
        }
    }
}

/// A line's part: `name:first:size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ids {
    first: u32,
    size: u32,
}

fn given(mode: &str, names: &[&str]) -> Result<(Ids, Ids)> {
    let read = |path: &str| -> Result<Option<Ids>> {
        let content = file::read_optional(Path::new(path))?.unwrap_or_default();
        Ok(find(&String::from_utf8_lossy(&content), names))
    };
    match (read("/etc/subuid")?, read("/etc/subgid")?) {
        (Some(uids), Some(gids)) => Ok((uids, gids)),
        _ => Err(Error::unsupported(format!(
            "--userns {mode}: /etc/subuid and /etc/subgid have no ids for {}",
            names.join(" or ")
        ))
        .with_hint("add a line such as wharf:100000:65536 to both")),
    }
}

/// The first range of the first name that has one.
fn find(text: &str, names: &[&str]) -> Option<Ids> {
    let of = |wanted: &&str| {
        text.lines().find_map(|line| {
            let mut fields = line.trim().split(':');
            let name = fields.next()?;
            let first = fields.next()?.parse().ok()?;
            let size: u32 = fields.next()?.parse().ok()?;
            let ids = Ids { first, size };
            (name == *wanted && size > 0 && first > 0).then_some(ids)
        })
    };
    names.iter().find_map(of)
}

/// Ranges of all containers that have one of their own.
fn in_use(engine: &Engine) -> Result<Vec<IdRange>> {
    let mut used = Vec::new();
    for id in records::ids(engine.roots())? {
        if let Some(container) = records::load(engine.roots(), &id)? {
            used.extend(container.host.ids);
        }
    }
    Ok(used)
}

/// The first part that nobody has, of users and of groups at the same place.
fn free(uids: Ids, gids: Ids, used: &[IdRange]) -> Option<IdRange> {
    let parts = uids.size.min(gids.size) / SIZE;
    (0..parts).find_map(|part| {
        let candidate = IdRange {
            uid: uids.first.checked_add(part.checked_mul(SIZE)?)?,
            gid: gids.first.checked_add(part.checked_mul(SIZE)?)?,
            size: SIZE,
        };
        let meets =
            |a: u32, b: u32, size: u32| a < b.saturating_add(size) && b < a.saturating_add(SIZE);
        let taken = |other: &IdRange| {
            meets(candidate.uid, other.uid, other.size)
                || meets(candidate.gid, other.gid, other.size)
        };
        (!used.iter().any(taken)).then_some(candidate)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_first_name_that_has_any() {
        let text = "x:1:2\ncontainers:200000:131072\nbad\ndockremap:0:5\ndockremap:100000:65536\n";
        let ids = |first, size| Some(Ids { first, size });
        assert_eq!(find(text, REMAP), ids(100_000, 65536));
        assert_eq!(find(text, AUTO), ids(200_000, 131_072));
        assert_eq!(find("", AUTO), None);
    }

    #[test]
    fn two_containers_never_share_ids_of_their_own() {
        let uids = Ids {
            first: 100_000,
            size: 131_072,
        };
        let gids = Ids {
            first: 500_000,
            size: 200_000,
        };
        let first = free(uids, gids, &[]).unwrap();
        assert_eq!((first.uid, first.gid), (100_000, 500_000));
        let second = free(uids, gids, &[first]).unwrap();
        assert_eq!((second.uid, second.gid), (165_536, 565_536));
        assert_eq!(free(uids, gids, &[first, second]), None);
        // One in the middle of two parts takes both.
        let odd = IdRange {
            uid: 130_000,
            gid: 1,
            size: 65_536,
        };
        assert_eq!(free(uids, gids, &[odd]), None);
    }
}
