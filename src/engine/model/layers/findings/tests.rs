//! What is found in small images.

use super::secrets::{Hit, What};
use super::*;
use crate::engine::model::image::HistoryEntry;
use crate::engine::model::layers::diff::tests::{directory, file, image, other};
use crate::engine::model::layers::{Entry, Kind};

fn with_mode(mut entry: Entry, mode: u32) -> Entry {
    entry.mode = mode;
    entry
}

fn of(rule: Rule, image: &Explored) -> Vec<Finding> {
    let all = findings(image, &Evidence::default());
    all.into_iter()
        .filter(|finding| finding.rule == rule)
        .collect()
}

fn places(found: &[Finding]) -> Vec<(String, Option<LayerId>, Option<LayerId>)> {
    let path = |finding: &Finding| finding.path.clone().unwrap_or_default();
    found
        .iter()
        .map(|finding| {
            (
                String::from_utf8_lossy(&path(finding)).into_owned(),
                finding.layer,
                finding.hidden,
            )
        })
        .collect()
}

#[test]
fn a_secret_that_a_later_layer_removes_is_in_the_image_all_the_same() {
    let layers = [
        (1, "", vec![directory("app"), file("app/.env", 9, 1)]),
        (2, "", vec![file("x", 1, 1)]),
        (3, "", vec![other("app", Kind::Whiteout)]),
    ];
    let image = image(&layers);
    let hit = Hit {
        what: What::Password,
        line: 3,
        shown: "X=…".to_owned(),
    };
    let evidence = Evidence {
        hits: vec![(0, b"app/.env".to_vec(), hit)],
        ..Evidence::default()
    };
    let all = findings(&image, &evidence);
    assert_eq!(
        (all[0].rule, all[0].line, all[0].detail.as_str()),
        (Rule::Password, Some(3), "X=…")
    );
    let place = ("app/.env".to_owned(), Some(0), Some(2));
    assert_eq!(places(&all[..1]), std::slice::from_ref(&place));
    assert_eq!(places(&of(Rule::EnvFile, &image)), [place]);
}

#[test]
fn rights_are_told_as_the_image_shows_them() {
    let layers = [
        (
            1,
            "",
            vec![
                with_mode(directory("open"), 0o777),
                with_mode(directory("sticky"), 0o1777),
                with_mode(file("su", 9, 1), 0o4755),
                with_mode(file("sudo", 9, 1), 0o6755),
                with_mode(file("w", 9, 1), 0o666),
            ],
        ),
        (2, "", vec![with_mode(file("su", 9, 1), 0o755)]),
    ];
    let image = image(&layers);
    assert_eq!(
        places(&of(Rule::Setuid, &image)),
        [("sudo".to_owned(), Some(0), None)]
    );
    let writable = of(Rule::WorldWritable, &image);
    let names: Vec<_> = places(&writable).into_iter().map(|place| place.0).collect();
    assert_eq!(names, ["open", "w"]);
    assert_eq!(writable[1].detail, "mode 0666");
}

#[test]
fn what_need_not_be_there_is_told_by_directory_with_its_bytes() {
    let layers = [
        (
            1,
            "",
            vec![
                directory("app/.git"),
                file("app/.git/HEAD", 20, 1),
                file("root/.cache/pip/a", 1000, 2),
                file("root/.cache/pip/b", 500, 3),
                file("tmp/x", 7, 4),
                file("var/lib/apt/lists/a", 5000, 5),
            ],
        ),
        (
            2,
            "",
            vec![
                other("var/lib/apt/lists/a", Kind::Whiteout),
                other("app/.git", Kind::Whiteout),
            ],
        ),
    ];
    let image = image(&layers);
    let caches = of(Rule::PackageCache, &image);
    assert_eq!(
        places(&caches),
        [("root/.cache/pip".to_owned(), Some(0), None)]
    );
    assert_eq!(
        (caches[0].files, caches[0].bytes, caches[0].detail.as_str()),
        (2, 1500, "pip")
    );
    assert_eq!(
        places(&of(Rule::VersionControl, &image)),
        [("app/.git".to_owned(), Some(0), Some(1))]
    );
    let all = findings(&image, &Evidence::default());
    assert_eq!(avoidable(&all), 1507);
}

#[test]
fn the_same_content_under_another_path_is_told_once() {
    let layers = [
        (
            1,
            "",
            vec![
                file("a", 5000, 1),
                file("small", 9, 2),
                file("small2", 9, 2),
            ],
        ),
        (
            2,
            "",
            vec![file("b", 5000, 1), file("c", 5000, 1), file("d", 5000, 3)],
        ),
    ];
    let copies = of(Rule::Duplicate, &image(&layers));
    assert_eq!(copies.len(), 1);
    assert_eq!((copies[0].files, copies[0].bytes), (2, 10_000));
    assert_eq!(copies[0].detail, "the same as /a and 1 more");
}

#[test]
fn the_configuration_tells_root_secrets_and_a_base_that_moves() {
    let mut image = image(&[
        (1, "FROM alpine", vec![]),
        (2, "RUN login --password hunter22", vec![]),
    ]);
    image.about.env = vec!["DB_PASSWORD=hunter22".to_owned(), "PATH=/bin".to_owned()];
    image.about.history.push(HistoryEntry {
        created: None,
        created_by: "ENV DB_PASSWORD=hunter22".to_owned(),
        comment: String::new(),
        size: 0,
        empty: true,
    });
    let layers = |rule| -> Vec<_> {
        of(rule, &image)
            .iter()
            .map(|finding| finding.layer)
            .collect()
    };
    assert_eq!(layers(Rule::EnvSecret), [None]);
    assert_eq!(layers(Rule::HistorySecret), [Some(1), Some(1)]);
    assert_eq!(layers(Rule::LatestBase), [Some(0)]);
    assert_eq!(
        layers(Rule::RootUser).len() + layers(Rule::NoHealthcheck).len(),
        2
    );
    image.about.user = "1000:1000".to_owned();
    image.about.has_healthcheck = true;
    assert_eq!(
        of(Rule::RootUser, &image).len() + of(Rule::NoHealthcheck, &image).len(),
        0
    );
}

#[test]
fn an_owner_without_a_name_is_told_once() {
    let owned = |path: &str, uid, gid| {
        let mut entry = file(path, 1, 1);
        (entry.uid, entry.gid) = (uid, gid);
        entry
    };
    let image = image(&[(
        1,
        "",
        vec![
            owned("a", 1000, 0),
            owned("b", 7, 8),
            owned("c", 7, 8),
            owned("d", 0, 0),
        ],
    )]);
    let evidence = Evidence {
        passwd: Some(b"app:x:1000:1000::/:/bin/sh\nbroken\n".to_vec()),
        group: Some(b"root:x:0:\n".to_vec()),
        ..Evidence::default()
    };
    let all = findings(&image, &evidence);
    let unknown: Vec<_> = all
        .iter()
        .filter(|finding| finding.rule == Rule::UnknownOwner)
        .collect();
    assert_eq!(unknown.len(), 1);
    assert_eq!((unknown[0].detail.as_str(), unknown[0].files), ("7:8", 2));
    // Where nobody has a name, nothing can be said.
    assert!(of(Rule::UnknownOwner, &image).is_empty());
}

#[test]
fn every_rule_has_a_name_of_its_own() {
    for rule in Rule::all() {
        assert_eq!(Rule::of(rule.as_str()), Some(rule));
    }
    assert_eq!(Rule::of("nosuch"), None);
}
