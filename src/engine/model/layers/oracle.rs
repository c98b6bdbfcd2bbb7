//! Exact waste beside a brute-force count: a file system as a plain map, every layer applied to it path by path.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::entry::{Entry, Kind};
use super::waste::Stack;

/// What a path of the map is: a file by layer and entry, or something without bytes.
#[derive(Debug, Clone, PartialEq)]
enum There {
    File(usize, usize),
    Directory,
    Other,
}

fn below(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() && !path.is_empty()
        || path.len() > dir.len() && path.starts_with(dir) && path[dir.len()] == b'/'
}

/// The file that a name stands for.
fn linked(entries: &[Entry], number: usize, steps: u32) -> Option<usize> {
    match &entries[number].kind {
        Kind::File { .. } => Some(number),
        Kind::HardLink { target } if steps < 16 => linked(
            entries,
            entries.iter().position(|other| other.path == *target)?,
            steps + 1,
        ),
        _ => None,
    }
}

/// Unpack, overlay, count.
fn brute(layers: &[Vec<Entry>]) -> (u64, BTreeSet<Vec<u8>>) {
    let mut system: BTreeMap<Vec<u8>, There> = BTreeMap::new();
    for (layer, entries) in layers.iter().enumerate() {
        for entry in entries {
            let gone = |path: &Vec<u8>| match &entry.kind {
                Kind::Whiteout => *path == entry.path || below(path, &entry.path),
                Kind::Directory { opaque, .. } => *opaque && below(path, &entry.path),
                _ => below(path, &entry.path),
            };
            system.retain(|path, _| !gone(path));
        }
        for (number, entry) in entries.iter().enumerate() {
            let there = match &entry.kind {
                Kind::Whiteout => continue,
                Kind::File { .. } => There::File(layer, number),
                Kind::HardLink { .. } => match linked(entries, number, 0) {
                    Some(file) => There::File(layer, file),
                    None => There::Other,
                },
                Kind::Directory { .. } => There::Directory,
                _ => There::Other,
            };
            system.insert(entry.path.clone(), there);
        }
    }
    let shown: BTreeSet<(usize, usize)> = system
        .values()
        .filter_map(|there| {
            if let There::File(a, b) = there {
                Some((*a, *b))
            } else {
                None
            }
        })
        .collect();
    let mut wasted = 0;
    for (layer, entries) in layers.iter().enumerate() {
        for (number, entry) in entries.iter().enumerate() {
            if matches!(entry.kind, Kind::File { .. }) && !shown.contains(&(layer, number)) {
                wasted += entry.size;
            }
        }
    }
    (wasted, system.into_keys().collect())
}

fn entry(path: Vec<u8>, kind: Kind, size: u64) -> Entry {
    let size = if matches!(kind, Kind::File { .. }) {
        size
    } else {
        0
    };
    Entry {
        path,
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        mtime: (0, 0),
        xattrs: Vec::new(),
    }
}

pub(super) fn file(path: &str, size: u64, content: u8) -> Entry {
    let content = Some([content; 32]);
    entry(path.into(), Kind::File { content }, size)
}

pub(super) fn directory(path: &str) -> Entry {
    let kind = Kind::Directory {
        opaque: false,
        implied: false,
    };
    entry(path.into(), kind, 0)
}

pub(super) fn whiteout(path: &str) -> Entry {
    entry(path.into(), Kind::Whiteout, 0)
}

pub(super) fn a_layer() -> impl Strategy<Value = Vec<Entry>> {
    let part = prop::sample::select(vec!["a", "b", "c", "a-b"]);
    let path = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/").into_bytes());
    let other = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..3)
        .prop_map(|parts| parts.join("/").into_bytes());
    let kind = prop_oneof![
        5 => (0_u8..4).prop_map(|n| Kind::File { content: Some([n; 32]) }),
        3 => any::<bool>().prop_map(|opaque| Kind::Directory { opaque, implied: false }),
        3 => Just(Kind::Whiteout),
        1 => Just(Kind::Symlink { target: b"a".to_vec() }),
        2 => other.prop_map(|target| Kind::HardLink { target }),
        1 => Just(Kind::Fifo),
    ];
    prop::collection::vec((path, kind, 0_u64..50), 0..14).prop_map(|list| {
        let mut entries: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
        for (path, kind, size) in list {
            entries.insert(path.clone(), entry(path, kind, size));
        }
        // As when it is unpacked: what is below something else than a directory cannot be there, and directories are
        // made for what is below them.
        let paths: Vec<Vec<u8>> = entries.keys().cloned().collect();
        for path in paths {
            for end in path
                .iter()
                .enumerate()
                .filter(|(_, b)| **b == b'/')
                .map(|(at, _)| at)
            {
                let above = path[..end].to_vec();
                let implied = || {
                    entry(
                        above.clone(),
                        Kind::Directory {
                            opaque: false,
                            implied: true,
                        },
                        0,
                    )
                };
                let there = entries.entry(above.clone()).or_insert_with(implied);
                match there.kind {
                    Kind::Directory { .. } => {}
                    Kind::Whiteout => {
                        there.kind = Kind::Directory {
                            opaque: true,
                            implied: true,
                        };
                    }
                    _ => {
                        *there = entry(
                            above.clone(),
                            Kind::Directory {
                                opaque: false,
                                implied: false,
                            },
                            0,
                        );
                    }
                }
            }
        }
        entries.into_values().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_count_is_that_of_brute_force(layers in prop::collection::vec(a_layer(), 1..6)) {
        let mut stack = Stack::default();
        for layer in &layers { stack.add(layer.clone()); }
        let (wasted, shown) = brute(&layers);
        prop_assert_eq!(stack.wasted(), wasted);
        let top = stack.tree.layers() - 1;
        let ours: BTreeSet<Vec<u8>> = (1..u32::try_from(stack.tree.paths()).unwrap())
            .filter(|node| stack.tree.at(*node, top).is_some())
            .map(|node| stack.tree.path(node))
            .collect();
        prop_assert_eq!(ours, shown);
    }
}

mod defects {
    use super::*;
    use crate::engine::model::layers::{Cause, dive};

    fn opaque(path: &str) -> Entry {
        let kind = Kind::Directory {
            opaque: true,
            implied: false,
        };
        entry(path.into(), kind, 0)
    }

    /// `etc/a` of 1,000 bytes, `var/big/{1,2}` of 500,000 each.
    fn base() -> Vec<Entry> {
        vec![
            directory("etc"),
            file("etc/a", 1000, 1),
            directory("var"),
            directory("var/big"),
            file("var/big/1", 500_000, 2),
            file("var/big/2", 500_000, 3),
        ]
    }

    /// Exact waste, and dive's.
    fn both(upper: Vec<Entry>) -> (u64, u64, f64) {
        let layers = [base(), upper];
        let mut stack = Stack::default();
        for layer in &layers {
            stack.add(layer.clone());
        }
        let sizes: Vec<u64> = layers
            .iter()
            .map(|layer| layer.iter().map(|entry| entry.size).sum())
            .collect();
        let figures = dive::figures(&layers, &sizes);
        (stack.wasted(), figures.wasted, figures.efficiency)
    }

    #[test]
    fn a_removed_directory_is_waste_that_dive_does_not_see() {
        let upper = vec![directory("var"), whiteout("var/big")];
        assert_eq!(both(upper), (1_000_000, 0, 1.0));
    }

    #[test]
    fn removed_files_are_waste_for_both() {
        let upper = vec![
            directory("var"),
            directory("var/big"),
            whiteout("var/big/1"),
            whiteout("var/big/2"),
        ];
        let (exact, dives, efficiency) = both(upper);
        assert_eq!((exact, dives), (1_000_000, 1_000_000));
        assert!(efficiency < 0.01, "{efficiency}");
    }

    /// Nothing was added by the user, and something is there twice.
    #[test]
    fn removed_files_are_infinitely_much_of_what_was_added_for_dive() {
        let upper = vec![whiteout("var/big/1"), whiteout("var/big/2")];
        let figures = dive::figures(&[base(), upper], &[1_001_000, 0]);
        assert_eq!((figures.wasted, figures.user_size), (1_000_000, 0));
        assert!(figures.user_wasted.is_infinite());
    }

    #[test]
    fn an_opaque_directory_hides_what_was_there() {
        let upper = vec![opaque("var/big"), file("var/big/new", 10, 9)];
        assert_eq!(both(upper), (1_000_000, 0, 1.0));
    }

    #[test]
    fn the_same_file_with_another_mode_is_there_once_too_often() {
        let mut again = file("var/big/1", 500_000, 2);
        again.mode = 0o755;
        let (exact, dives, _) = both(vec![again.clone()]);
        assert_eq!((exact, dives), (500_000, 1_000_000));
        let mut stack = Stack::default();
        stack.add(base());
        stack.add(vec![again]);
        assert_eq!(stack.waste[0].cause, Cause::CopiedAgain);
    }

    #[test]
    fn a_whiteout_of_nothing_ends_no_look_at_its_layer() {
        let upper = vec![
            whiteout("etc/none"),
            directory("var"),
            directory("var/big"),
            file("var/big/1", 500_000, 7),
        ];
        assert_eq!(both(upper), (500_000, 0, 1.0));
    }

    #[test]
    fn a_directory_that_is_removed_and_made_again_is_waste_as_a_whole() {
        let upper = vec![opaque("var/big"), file("var/big/1", 500_000, 2)];
        assert_eq!(both(upper), (1_000_000, 1_000_000, 1001.0 / 1501.0));
    }

    #[test]
    fn a_file_with_two_names_is_waste_when_both_are_gone() {
        let mut lower = base();
        lower.push(entry(
            b"var/link".to_vec(),
            Kind::HardLink {
                target: b"var/big/1".to_vec(),
            },
            0,
        ));
        let mut stack = Stack::default();
        stack.add(lower);
        stack.add(vec![whiteout("var/big/1")]);
        assert_eq!(stack.wasted(), 0);
        stack.add(vec![whiteout("var/link")]);
        assert_eq!(stack.wasted(), 500_000);
        let waste = &stack.waste[0];
        assert_eq!(stack.tree.path(waste.node), b"var/link");
        assert_eq!((waste.added.0, waste.hidden.0), (0, 2));
    }
}
