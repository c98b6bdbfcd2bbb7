//! Two images beside each other, by cases and by random layers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::model::layers::oracle::a_layer;
use crate::engine::model::layers::{About, Part};
use crate::engine::model::{Digest, Platform};

pub(in super::super) fn image(layers: &[(u8, &str, Vec<Entry>)]) -> Explored {
    let history = layers.iter().map(
        |(_, command, _)| crate::engine::model::image::HistoryEntry {
            created: None,
            created_by: (*command).to_owned(),
            comment: String::new(),
            size: 0,
            empty: false,
        },
    );
    let mut image = Explored::new(About {
        name: String::new(),
        id: String::new(),
        platform: Platform::host(),
        user: String::new(),
        has_healthcheck: false,
        history: history.collect(),
        env: Vec::new(),
        labels: BTreeMap::new(),
    });
    for (id, _, entries) in layers {
        let digest = Digest::from_sha256(&[*id; 32]);
        let part = Part {
            diff_id: digest.clone(),
            blob: digest,
            blob_size: 10,
            directory: String::new(),
            from_table: false,
            repeated: Vec::new(),
        };
        image.push(part, entries.clone());
    }
    image
}

pub(in super::super) fn file(path: &str, size: u64, content: u8) -> Entry {
    Entry {
        path: path.into(),
        kind: Kind::File {
            content: Some([content; 32]),
        },
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        mtime: (0, 0),
        xattrs: Vec::new(),
    }
}

pub(in super::super) fn other(path: &str, kind: Kind) -> Entry {
    Entry {
        kind,
        size: 0,
        ..file(path, 0, 0)
    }
}

pub(in super::super) fn directory(path: &str) -> Entry {
    let (opaque, implied) = (false, false);
    other(path, Kind::Directory { opaque, implied })
}

pub(in super::super) fn link(path: &str, target: &str) -> Entry {
    let target = target.into();
    other(path, Kind::HardLink { target })
}

fn told(diff: &Diff) -> Vec<(String, &'static str, Vec<&'static str>)> {
    let path = |change: &PathChange| String::from_utf8_lossy(&change.path).into_owned();
    let told = diff.paths.iter();
    told.map(|change| (path(change), change.fate.as_str(), change.differs.words()))
        .collect()
}

#[test]
fn every_fate_of_a_path_is_told() {
    let before = image(&[(
        1,
        "",
        vec![
            file("content", 5, 1),
            file("gone", 7, 1),
            file("grown", 5, 1),
            file("kind", 5, 1),
            file("mode", 5, 1),
            file("same", 5, 1),
            file("shrunk", 5, 1),
            file("touched", 5, 1),
        ],
    )]);
    let mut mode = file("mode", 5, 1);
    (mode.mode, mode.uid) = (0o600, 7);
    let mut touched = file("touched", 5, 1);
    touched.mtime = (9, 0);
    let after = image(&[(
        2,
        "",
        vec![
            file("content", 5, 2),
            file("grown", 6, 2),
            other("kind", Kind::Fifo),
            mode,
            file("new", 3, 1),
            file("same", 5, 1),
            file("shrunk", 1, 2),
            touched,
        ],
    )]);
    let diff = Diff::of(&before, &after);
    let expected = [
        ("content", "content", vec![]),
        ("gone", "removed", vec![]),
        ("grown", "grown", vec![]),
        ("kind", "kind", vec![]),
        ("mode", "attributes", vec!["mode", "owner"]),
        ("new", "added", vec![]),
        ("shrunk", "shrunk", vec![]),
        ("touched", "time", vec!["time"]),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(path, fate, words)| (path.to_owned(), fate, words))
        .collect();
    assert_eq!(told(&diff), expected);
    assert_eq!(
        diff.total(Fate::Removed),
        Total {
            paths: 1,
            before: 7,
            after: 0
        }
    );
    assert_eq!((diff.before.seen(), diff.after.seen()), (42, 30));
    assert_eq!(diff.verdict(), "smaller");
}

#[test]
fn what_layers_say_together_counts_and_not_how_they_say_it() {
    let (opaque, implied) = (true, false);
    let before = image(&[
        (
            1,
            "",
            vec![directory("d"), file("d/a", 5, 1), file("d/b", 5, 2)],
        ),
        (
            2,
            "",
            vec![
                other("d", Kind::Directory { opaque, implied }),
                file("d/a", 5, 1),
            ],
        ),
    ]);
    let after = image(&[(3, "", vec![directory("d"), file("d/a", 5, 1)])]);
    let diff = Diff::of(&before, &after);
    assert_eq!((told(&diff), diff.is_same(true)), (vec![], true));
    assert_eq!((diff.before.wasted, diff.after.wasted), (10, 0));
    // The same file system, in fewer bytes.
    assert_eq!(diff.verdict(), "smaller");
}

#[test]
fn another_name_of_a_file_is_no_copy_of_it() {
    let two = image(&[(1, "", vec![file("a", 5, 1), link("b", "a")])]);
    let copy = image(&[(2, "", vec![file("a", 5, 1), file("b", 5, 1)])]);
    let turned = image(&[(3, "", vec![link("a", "b"), file("b", 5, 1)])]);
    let diff = Diff::of(&two, &copy);
    let links = |path: &str| (path.to_owned(), "attributes", vec!["links"]);
    assert_eq!(told(&diff), [links("a"), links("b")]);
    assert_eq!((diff.before.files, diff.after.files), (1, 2));
    assert_eq!(Diff::of(&two, &turned).verdict(), "same");
}

#[test]
fn a_file_that_is_mostly_holes_is_the_same_in_a_layer_that_both_have() {
    let mut holes = file("disk", 5, 1);
    holes.kind = Kind::File { content: None };
    let first = image(&[(1, "", vec![holes.clone()])]);
    let again = image(&[(1, "", vec![holes.clone()])]);
    let elsewhere = image(&[(2, "", vec![holes])]);
    assert_eq!(Diff::of(&first, &again).verdict(), "same");
    assert_eq!(Diff::of(&first, &elsewhere).paths[0].fate, Fate::Content);
}

#[test]
fn layers_are_paired_by_content_and_then_by_instruction() {
    let layer = |id: u8, command: &'static str| (id, command, vec![file("x", 1, id)]);
    let before = image(&[
        layer(1, "base"),
        layer(2, "copy"),
        layer(3, "run"),
        layer(4, "old"),
        layer(5, "end"),
    ]);
    let after = image(&[
        layer(1, "base"),
        layer(9, "new"),
        layer(8, "copy"),
        layer(5, "end"),
    ]);
    let told: Vec<_> = Diff::of(&before, &after)
        .layers
        .iter()
        .map(|change| (change.fate.as_str(), change.before, change.after))
        .collect();
    assert_eq!(
        told,
        [
            ("shared", Some(0), Some(0)),
            ("added", None, Some(1)),
            ("rebuilt", Some(1), Some(2)),
            ("removed", Some(2), None),
            ("removed", Some(3), None),
            ("moved", Some(4), Some(3)),
        ]
    );
}

#[test]
fn what_came_with_its_directory_is_one_group() {
    let before = image(&[(1, "", vec![file("a", 5, 1)])]);
    let after = image(&[(
        2,
        "",
        vec![
            file("a", 6, 1),
            directory("d"),
            file("d-e", 1, 1),
            directory("d/e"),
            file("d/e/f", 100, 1),
            file("d/g", 10, 1),
        ],
    )]);
    let diff = Diff::of(&before, &after);
    let groups: Vec<_> = diff
        .groups()
        .iter()
        .map(|group| {
            (
                String::from_utf8_lossy(&group.top.path).into_owned(),
                group.paths,
                group.bytes_after,
            )
        })
        .collect();
    let group = |path: &str, paths, bytes| (path.to_owned(), paths, bytes);
    assert_eq!(
        groups,
        [group("d", 4, 110), group("a", 1, 6), group("d-e", 1, 1)]
    );
    let inside = |path: &[u8]| -> Vec<_> {
        let told = |one: &Group<'_>| (one.top.path.clone(), one.paths, one.bytes_after);
        diff.inside(path).iter().map(told).collect()
    };
    assert_eq!(
        inside(b"d"),
        [(b"d/e".to_vec(), 2, 100), (b"d/g".to_vec(), 1, 10)]
    );
    assert_eq!(inside(b"d/e"), [(b"d/e/f".to_vec(), 1, 100)]);
    assert_eq!(inside(b"d-e"), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn totals_are_what_is_seen_and_both_ways_agree(
        one in prop::collection::vec(a_layer(), 1..4),
        two in prop::collection::vec(a_layer(), 1..4),
    ) {
        let numbered = |layers: &[Vec<Entry>], first: u8| -> Explored {
            let layers: Vec<_> = (first..).zip(layers).map(|(id, entries)| (id, "", entries.clone())).collect();
            image(&layers)
        };
        let (before, after) = (numbered(&one, 1), numbered(&two, 100));
        let diff = Diff::of(&before, &after);
        let shown = |image: &Explored| -> BTreeMap<Vec<u8>, (u64, Kind)> {
            let stack = &image.stack;
            (0..).take(stack.tree.paths())
                .filter_map(|node| {
                    let at = stack.inode_of(stack.tree.current(node)?);
                    Some((stack.tree.path(node), (stack.entry(at).size, stack.entry(at).kind.clone())))
                })
                .collect()
        };
        let (a, b) = (shown(&before), shown(&after));
        for (fate, expected) in [
            (Fate::Added, b.keys().filter(|path| !a.contains_key(*path)).count()),
            (Fate::Removed, a.keys().filter(|path| !b.contains_key(*path)).count()),
        ] {
            prop_assert_eq!(diff.total(fate).paths, expected);
        }
        let back = Diff::of(&after, &before);
        prop_assert_eq!(diff.paths.len(), back.paths.len());
        for (there, again) in diff.paths.iter().zip(&back.paths) {
            prop_assert_eq!(&there.path, &again.path);
            prop_assert_eq!((there.bytes_before, there.bytes_after), (again.bytes_after, again.bytes_before));
        }
        let grouped: usize = diff.groups().iter().map(|group| group.paths).sum();
        prop_assert_eq!(grouped, diff.paths.len());
        for group in diff.groups().iter().filter(|group| group.paths > 1) {
            let inside = diff.inside(&group.top.path);
            prop_assert_eq!(inside.iter().map(|one| one.paths).sum::<usize>(), group.paths - 1);
            prop_assert!(inside.iter().all(|one| one.top.fate == group.top.fate));
        }
        prop_assert!(Diff::of(&before, &numbered(&one, 50)).is_same(true));
        // All that is seen of an image is added to nothing.
        let nothing = Diff::of(&image(&[]), &before);
        let added: u64 = nothing.paths.iter().map(|change| change.bytes_after).sum();
        prop_assert_eq!(added, nothing.after.seen());
        prop_assert_eq!(nothing.after.seen(), before.size() - before.stack.wasted());
    }
}
