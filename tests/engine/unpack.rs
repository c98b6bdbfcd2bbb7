//! Hostile and odd layers: whatever is in an archive, nothing outside of the layer's directory changes, and what is inside
//! is what a simple model of a file system says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use wharf::engine::images::unpack;
use wharf::engine::model::Digest;
use wharf::engine::sys::at::Dir;
use wharf::engine::{Error, Kind};

use crate::support::{Host, privileged};

/// One entry of a layer, written without the checks of the library that writes it.
#[derive(Debug, Clone)]
struct Entry {
    flag: u8,
    path: String,
    link: String,
    mode: u32,
    data: Vec<u8>,
    records: Vec<(String, String)>,
}

fn entry(flag: u8, path: &str, link: &str) -> Entry {
    Entry {
        flag,
        path: path.to_owned(),
        link: link.to_owned(),
        mode: 0o644,
        data: Vec::new(),
        records: Vec::new(),
    }
}

fn file(path: &str, data: &str) -> Entry {
    Entry {
        data: data.into(),
        ..entry(b'0', path, "")
    }
}

fn dir(path: &str, mode: u32) -> Entry {
    Entry {
        mode,
        ..entry(b'5', path, "")
    }
}

fn symlink(path: &str, target: &str) -> Entry {
    entry(b'2', path, target)
}

fn hard_link(path: &str, target: &str) -> Entry {
    entry(b'1', path, target)
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |flag: u8, path: &str, link: &str, mode: u32, data: &[u8]| {
        let mut header = tar::Header::new_ustar();
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        old.linkflag = [flag];
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len().try_into().unwrap());
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    };
    for entry in entries {
        let mut records = Vec::new();
        for (key, value) in &entry.records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            records.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
        }
        if !records.is_empty() {
            put(b'x', "pax", "", 0o644, &records);
        }
        put(
            entry.flag,
            &entry.path,
            &entry.link,
            entry.mode,
            &entry.data,
        );
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A layer's directory next to a decoy that must not change.
struct Ground {
    dir: PathBuf,
    decoy_before: Vec<String>,
}

impl Ground {
    fn new(host: &Host, name: &str) -> Self {
        let dir = host.dir().join(name);
        let decoy = dir.join("decoy");
        fs::create_dir_all(decoy.join("etc")).unwrap();
        fs::write(decoy.join("file"), "precious").unwrap();
        fs::write(decoy.join("etc/file"), "precious").unwrap();
        fs::set_permissions(&decoy, fs::Permissions::from_mode(0o750)).unwrap();
        fs::create_dir(dir.join("fs")).unwrap();
        let mut ground = Self {
            dir,
            decoy_before: Vec::new(),
        };
        ground.decoy_before = ground.decoy();
        ground
    }

    fn decoy(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for path in ["", "file", "etc", "etc/file"] {
            let path = self.dir.join("decoy").join(path);
            let stat = fs::symlink_metadata(&path).unwrap();
            lines.push(format!(
                "{} {:o} {} {} {}",
                path.display(),
                stat.mode(),
                stat.nlink(),
                stat.mtime(),
                stat.mtime_nsec()
            ));
        }
        for dir in ["", "etc"] {
            for entry in fs::read_dir(self.dir.join("decoy").join(dir)).unwrap() {
                lines.push(entry.unwrap().path().display().to_string());
            }
        }
        lines.sort();
        lines
    }

    fn fs(&self) -> PathBuf {
        self.dir.join("fs")
    }

    fn unpack(&self, entries: &[Entry], lowers: &[&Path]) -> Result<(), Error> {
        let bytes = archive(entries);
        let lowers: Vec<Dir> = lowers.iter().map(|dir| Dir::open(dir).unwrap()).collect();
        let result = unpack::unpack(
            &mut bytes.as_slice(),
            Dir::open(&self.fs()).unwrap(),
            &Arc::default(),
            &Arc::default(),
        )
        .and_then(|layer| layer.complete(&lowers));
        assert_eq!(self.decoy(), self.decoy_before, "the decoy was changed");
        let complete = result?;
        // The index and the tree must tell the same.
        let mut indexed: Vec<String> = complete
            .entries()
            .map(|entry| String::from_utf8(entry.path).unwrap())
            .filter(|path| !path.is_empty())
            .collect();
        indexed.sort();
        assert_eq!(indexed, self.paths());
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(root).unwrap().display().to_string());
                if fs::symlink_metadata(&path).unwrap().is_dir() {
                    walk(root, &path, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.fs(), &self.fs(), &mut found);
        found.sort();
        found
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.fs().join(path)).unwrap()
    }
}

#[track_caller]
fn assert_refused(result: Result<(), Error>, part: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    let text = error.to_string();
    assert!(text.contains(part), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn cve_2014_6407_links_do_not_lead_out_of_a_layer() {
    let Some(host) = privileged() else { return };
    let ground = Ground::new(&host, "a");
    let decoy = ground.dir.join("decoy").display().to_string();
    let entries = [
        symlink("abs", &decoy),
        file("abs/pwned", "x"),
        symlink("rel", "../decoy"),
        file("rel/etc/pwned", "x"),
        symlink("root", "/"),
        file("root/etc/pwned", "x"),
        file("/abs2/file", "x"),
    ];
    ground.unpack(&entries, &[]).unwrap();
    assert_eq!(ground.text("etc/pwned"), "x");
    assert_eq!(ground.text("abs2/file"), "x");
    let inside = format!("{}/pwned", decoy.trim_start_matches('/'));
    assert_eq!(ground.text(&inside), "x");

    for (name, entries, part) in [
        ("b", vec![file("../decoy/pwned", "x")], "leaves the layer"),
        ("c", vec![file("a/../../decoy/x", "x")], "leaves the layer"),
        (
            "d",
            vec![hard_link("h", "../decoy/file")],
            "target leaves the layer",
        ),
        (
            "e",
            vec![symlink("s", "../decoy"), hard_link("h", "s/file")],
            "is missing",
        ),
        ("f", vec![file(".", "x")], "root must be a directory"),
    ] {
        let ground = Ground::new(&host, name);
        assert_refused(ground.unpack(&entries, &[]), part);
    }
}

#[test]
fn cve_2026_33056_a_directorys_mode_is_not_set_through_a_link() {
    let Some(host) = privileged() else { return };
    for (name, target) in [("a", "../decoy"), ("b", "/decoy")] {
        let ground = Ground::new(&host, name);
        let entries = [symlink("d", target), dir("d", 0o777), dir("d/etc", 0o777)];
        ground.unpack(&entries, &[]).unwrap();
        assert!(
            fs::symlink_metadata(ground.fs().join("d"))
                .unwrap()
                .is_dir()
        );
    }
}

#[test]
fn cve_2026_17106_chains_of_links_and_whiteouts_stay_inside() {
    let Some(host) = privileged() else { return };
    let ground = Ground::new(&host, "a");
    let decoy = ground.dir.join("decoy").display().to_string();
    let entries = [
        symlink("one", "two"),
        symlink("two", &decoy),
        file("one/file", "inside"),
        hard_link("three", "two"),
        file("three/again", "inside"),
        file("one/.wh.etc", ""),
        file("three/.wh..wh..opq", ""),
        hard_link("four", "two"),
        file("four", "replaced"),
    ];
    ground.unpack(&entries, &[]).unwrap();
    assert_eq!(ground.text("four"), "replaced");
    assert!(
        fs::symlink_metadata(ground.fs().join("two"))
            .unwrap()
            .is_symlink()
    );
    let round = Ground::new(&host, "b");
    let entries = [symlink("x", "y"), symlink("y", "x"), file("x/f", "")];
    assert_refused(round.unpack(&entries, &[]), "too many links");
}

#[test]
fn whiteouts_become_what_overlayfs_expects() {
    let Some(host) = privileged() else { return };
    let ground = Ground::new(&host, "a");
    let entries = [
        dir("d", 0o755),
        file("d/.wh..wh..opq", ""),
        file("d/kept", "x"),
        file("gone/.wh.file", ""),
        // Removed and made again, in both orders: the directory hides what is below.
        file(".wh.again", ""),
        file("again/new", "x"),
        dir("before", 0o755),
        file("before/new", "x"),
        file(".wh.before", ""),
        // Storage-driver notes of old Dockers.
        file(".wh..wh.plnk/123.456", ""),
        file(".wh..wh.aufs", ""),
        // What the layer itself has is not removed by its own whiteout.
        file("own", "x"),
        file(".wh.own", ""),
    ];
    ground.unpack(&entries, &[]).unwrap();
    let opaque = |path: &str| {
        let mut value = [0_u8; 8];
        let path = ground.fs().join(path);
        rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value)
            .is_ok_and(|length| value[..length] == *b"y")
    };
    assert!(opaque("d") && opaque("again") && opaque("before"));
    assert!(!opaque("gone"));
    let whiteout = fs::symlink_metadata(ground.fs().join("gone/file")).unwrap();
    assert_eq!(
        (whiteout.mode() & 0o170_000, whiteout.rdev()),
        (0o020_000, 0)
    );
    assert_eq!(
        ground.paths(),
        [
            "again",
            "again/new",
            "before",
            "before/new",
            "d",
            "d/kept",
            "gone",
            "gone/file",
            "own"
        ]
    );
    let ground = Ground::new(&host, "b");
    for name in [".wh.", "a/.wh..", ".wh..."] {
        let result = ground.unpack(&[file(name, "")], &[]);
        assert_refused(result, "whiteout without a name");
    }
}

#[test]
fn later_entries_replace_earlier_ones_of_any_type() {
    let Some(host) = privileged() else { return };
    let ground = Ground::new(&host, "a");
    let entries = [
        file("x", "old"),
        hard_link("y", "x"),
        file("x", "new"),
        dir("tree/below", 0o755),
        file("tree/below/f", "old"),
        symlink("tree", "x"),
        symlink("link", "x"),
        dir("link", 0o700),
        file("link/f", "in"),
        entry(b'6', "link/f", ""),
    ];
    ground.unpack(&entries, &[]).unwrap();
    assert_eq!(
        (ground.text("x"), ground.text("y")),
        ("new".into(), "old".into())
    );
    assert_eq!(ground.paths(), ["link", "link/f", "tree", "x", "y"]);
}

#[test]
fn a_layer_takes_what_it_needs_from_those_below() {
    let Some(host) = privileged() else { return };
    let lower = Ground::new(&host, "lower");
    let mut setuid = file("bin/su", "program");
    setuid.mode = 0o4755;
    let entries = [
        dir("bin", 0o751),
        setuid,
        file("removed", "x"),
        file("bin/gone", "x"),
    ];
    lower.unpack(&entries, &[]).unwrap();
    let upper = Ground::new(&host, "upper");
    let entries = [
        hard_link("bin/su2", "bin/su"),
        hard_link("bin/su3", "bin/su"),
        // The target comes later in the same layer.
        hard_link("early", "late"),
        file("late", "late"),
    ];
    upper.unpack(&entries, &[&lower.fs()]).unwrap();
    let stat = fs::metadata(upper.fs().join("bin/su2")).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.nlink()), (0o4755, 2));
    assert_eq!(upper.text("bin/su3"), "program");
    assert_eq!(upper.text("early"), "late");
    let bin = fs::metadata(upper.fs().join("bin")).unwrap();
    assert_eq!(bin.mode() & 0o7777, 0o751, "as in the layer below");

    let middle = Ground::new(&host, "middle");
    middle
        .unpack(
            &[file(".wh.removed", ""), file("bin/.wh..wh..opq", "")],
            &[],
        )
        .unwrap();
    for (name, target) in [("x1", "removed"), ("x2", "bin/gone"), ("x3", "never")] {
        let top = Ground::new(&host, name);
        let result = top.unpack(&[hard_link("l", target)], &[&middle.fs(), &lower.fs()]);
        assert_refused(result, "is missing");
    }
}

#[test]
fn attributes_of_overlayfs_itself_are_not_taken_from_an_archive() {
    let Some(host) = privileged() else { return };
    let ground = Ground::new(&host, "a");
    let mut evil = dir("d", 0o755);
    evil.records = vec![
        (
            "SCHILY.xattr.trusted.overlay.redirect".into(),
            "/etc".into(),
        ),
        ("SCHILY.xattr.trusted.overlay.opaque".into(), "y".into()),
        ("SCHILY.xattr.trusted.other".into(), "kept".into()),
    ];
    ground.unpack(&[evil], &[]).unwrap();
    let mut names = [0_u8; 1024];
    let length = rustix::fs::llistxattr(ground.fs().join("d"), &mut names).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    assert!(names.contains("trusted.other"), "{names}");
    assert!(!names.contains("overlay"), "{names}");
}

/// The same entries applied to a map: what the tree must be in the end.
#[derive(Debug, Default)]
struct Model {
    nodes: BTreeMap<String, Node>,
    wanted: Vec<(String, String)>,
    inodes: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Dir(u32),
    File(usize),
    Link(String),
}

/// An entry that cannot be applied.
#[derive(Debug)]
struct Refused;

impl Model {
    fn is_dir(&self, path: &str) -> bool {
        path.is_empty() || matches!(self.nodes.get(path), Some(Node::Dir(_)))
    }

    /// The directory at a path, by its real name; missing ones are made if `make`.
    fn directory(&mut self, path: &str, make: bool) -> Result<Option<String>, Refused> {
        let mut real: Vec<String> = Vec::new();
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    real.pop();
                    continue;
                }
                _ => {}
            }
            real.push(part);
            let here = real.join("/");
            match self.nodes.get(&here) {
                Some(Node::Dir(_)) => {}
                Some(Node::File(_)) if make => return Err(Refused),
                Some(Node::Link(target)) => {
                    links += 1;
                    if links > 40 {
                        return Err(Refused);
                    }
                    real.pop();
                    if target.starts_with('/') {
                        real.clear();
                    }
                    todo.extend(target.split('/').rev().map(str::to_owned));
                }
                None if make => {
                    self.nodes.insert(here, Node::Dir(0o755));
                }
                Some(Node::File(_)) | None => return Ok(None),
            }
        }
        Ok(Some(real.join("/")))
    }

    fn clear(&mut self, path: &str) {
        let inside = format!("{path}/");
        self.nodes
            .retain(|known, _| known != path && !known.starts_with(&inside));
        self.wanted
            .retain(|(known, _)| known != path && !known.starts_with(&inside));
    }

    fn link(&mut self, path: &str, target: &str) -> Result<bool, Refused> {
        let (parent, name) = target.rsplit_once('/').unwrap_or(("", target));
        let Some(parent) = self.directory(parent, false)? else {
            return Ok(false);
        };
        let from = join(&parent, name);
        match self.nodes.get(&from).cloned() {
            None => Ok(false),
            Some(Node::Dir(_)) => Err(Refused),
            Some(_) if from == path => Ok(true),
            Some(_) if from.starts_with(&format!("{path}/")) => Err(Refused),
            Some(node) => {
                self.clear(path);
                self.nodes.insert(path.to_owned(), node);
                Ok(true)
            }
        }
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), Refused> {
        let (parent, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        let parent = self.directory(parent, true)?.unwrap_or_default();
        let path = join(&parent, name);
        match entry.flag {
            b'5' => {
                if !self.is_dir(&path) {
                    self.clear(&path);
                }
                self.nodes.insert(path, Node::Dir(entry.mode));
            }
            b'1' => {
                if !self.link(&path, &entry.link)? {
                    self.clear(&path);
                    self.wanted.push((path, entry.link.clone()));
                }
            }
            b'2' => {
                self.clear(&path);
                self.nodes.insert(path, Node::Link(entry.link.clone()));
            }
            _ => {
                self.clear(&path);
                self.inodes.push(entry.data.clone());
                self.nodes.insert(path, Node::File(self.inodes.len() - 1));
            }
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), Refused> {
        for (path, target) in std::mem::take(&mut self.wanted) {
            if !self.nodes.contains_key(&path) && !self.link(&path, &target)? {
                return Err(Refused);
            }
        }
        Ok(())
    }

    fn run(&mut self, entries: &[Entry]) -> Result<(), Refused> {
        for entry in entries {
            self.apply(entry)?;
        }
        self.complete()
    }

    fn lines(&self) -> Vec<String> {
        let line = |(path, node): (&String, &Node)| match node {
            Node::Dir(mode) => format!("{path} {mode:o}"),
            Node::File(inode) => format!("{path} {:?}", self.inodes[*inode]),
            Node::Link(target) => format!("{path} -> {target}"),
        };
        self.nodes.iter().map(line).collect()
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let path = prop::collection::vec("[abc]", 1..4).prop_map(|parts| parts.join("/"));
    let target = prop_oneof![
        path.clone(),
        path.clone().prop_map(|path| format!("/{path}")),
        path.clone().prop_map(|path| format!("../{path}")),
        Just("../../../decoy".to_owned()),
        Just("/".to_owned()),
    ];
    let data = prop::collection::vec(any::<u8>(), 0..4);
    prop_oneof![
        3 => (path.clone(), data).prop_map(|(path, data)| Entry { data, ..file(&path, "") }),
        2 => (path.clone(), prop::sample::select(vec![0o755, 0o700, 0o1777]))
            .prop_map(|(path, mode)| dir(&path, mode)),
        3 => (path.clone(), target).prop_map(|(path, target)| symlink(&path, &target)),
        2 => (path.clone(), path).prop_map(|(path, target)| hard_link(&path, &target)),
    ]
}

#[test]
fn any_list_of_entries_gives_the_tree_of_the_model_and_changes_nothing_outside() {
    let Some(host) = privileged() else { return };
    let number = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let entries = prop::collection::vec(any_entry(), 0..14);
    runner
        .run(&entries, |entries| {
            number.set(number.get() + 1);
            let ground = Ground::new(&host, &format!("case-{}", number.get()));
            let mut model = Model::default();
            let expected = model.run(&entries);
            let found = ground.unpack(&entries, &[]);
            prop_assert_eq!(found.is_ok(), expected.is_ok(), "{:?}", found);
            if found.is_ok() {
                let lines: Vec<String> = ground.paths().iter().map(|p| line(&ground, p)).collect();
                let mut expected = model.lines();
                expected.sort_by_key(|line| line.split(' ').next().unwrap_or("").to_owned());
                prop_assert_eq!(lines, expected);
            }
            fs::remove_dir_all(&ground.dir).unwrap();
            Ok(())
        })
        .unwrap();
}

fn line(ground: &Ground, path: &str) -> String {
    let full = ground.fs().join(path);
    let stat = fs::symlink_metadata(&full).unwrap();
    if stat.is_dir() {
        format!("{path} {:o}", stat.mode() & 0o7777)
    } else if stat.is_symlink() {
        format!("{path} -> {}", fs::read_link(full).unwrap().display())
    } else {
        format!("{path} {:?}", fs::read(full).unwrap())
    }
}

/// Digests are parsed before they are paths (CVE-2024-3727); this is the store's side of it.
#[test]
fn a_digest_is_a_file_name_and_nothing_else() {
    for text in ["sha256:../../x", "sha256:", "sha512:00", "../../x"] {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
}
