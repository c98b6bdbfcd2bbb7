//! Tables as the formats' writers make them, beside the archives that they are about.

use std::io::Write as _;

use base64::Engine as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Reading;
use super::super::paper::{self, FileHash};
use super::*;
use crate::engine::images::pack::Writer;
use crate::engine::model::Cancel;
use crate::engine::model::layers::Stack;

fn find(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// An entry and its content.
type File = (tarball::Entry, Vec<u8>);

const NAMES: [&str; 13] = [
    "a",
    "b",
    "a/b",
    "b/a",
    "a/b/a",
    "ü/\"\n",
    "a/../b",
    ".wh.a",
    "a/.wh.b",
    "b/.wh.a",
    ".wh..wh..opq",
    "a/.wh..wh..opq",
    ".",
];

fn any_file() -> impl Strategy<Value = File> {
    let kinds = prop_oneof![
        5 => Just(Kind::File),
        3 => Just(Kind::Directory),
        1 => Just(Kind::HardLink),
        1 => Just(Kind::Symlink),
        1 => Just(Kind::Char),
        1 => Just(Kind::Block),
        1 => Just(Kind::Fifo),
    ];
    let names = (0..NAMES.len(), 0..NAMES.len());
    let numbers = (0..0o10000_u32, 0..3_u32, any::<u32>(), 0..3_u32);
    let time = (-2_000_000_000..4_000_000_000_i64, 0..1_000_000_000_u32);
    let content = prop::collection::vec(any::<u8>(), 0..40);
    let xattr = prop::option::of(prop::collection::vec(any::<u8>(), 1..9));
    (kinds, names, numbers, time, content, xattr).prop_map(
        |(kind, (name, link), (mode, uid, gid, device), mtime, content, xattr)| {
            let is = |kinds: &[Kind]| kinds.contains(&kind);
            let content = if is(&[Kind::File]) {
                content
            } else {
                Vec::new()
            };
            let xattrs = xattr.map(|value| {
                vec![
                    (b"user.a".to_vec(), vec![1]),
                    (b"security.capability".to_vec(), value),
                ]
            });
            let entry = tarball::Entry {
                path: NAMES[name].into(),
                link: if is(&[Kind::HardLink, Kind::Symlink]) {
                    NAMES[link].into()
                } else {
                    Vec::new()
                },
                kind,
                mode,
                uid,
                gid: gid.min(u32::MAX - 1),
                size: content.len() as u64,
                mtime,
                device: if is(&[Kind::Char, Kind::Block]) {
                    (device, device)
                } else {
                    (0, 0)
                },
                xattrs: xattrs.unwrap_or_default(),
                sparse: None,
            };
            (entry, content)
        },
    )
}

fn tar(files: &[File]) -> Vec<u8> {
    let mut out = Vec::new();
    let cancel = Cancel::new();
    let mut writer = Writer::new(&mut out, &cancel);
    for (entry, content) in files {
        writer.head(entry).unwrap();
        writer
            .content(entry.size, &mut content.as_slice(), &entry.path)
            .unwrap();
    }
    writer.finish().unwrap();
    out
}

/// What the writers of tables say of an archive: they read it with Go's archive/tar.
fn items(files: &[File], nanoseconds: bool) -> Vec<Value> {
    let item = |(entry, content): &File| {
        let mut path = String::from_utf8(entry.path.clone()).unwrap();
        if entry.kind == Kind::Directory && !path.ends_with('/') {
            path.push('/');
        }
        let kind = match entry.kind {
            Kind::File => "reg",
            Kind::Directory => "dir",
            Kind::HardLink => "hardlink",
            Kind::Symlink => "symlink",
            Kind::Char => "char",
            Kind::Block => "block",
            Kind::Fifo => "fifo",
        };
        let mut item = json!({"type": kind, "name": path, "mode": entry.mode, "uid": entry.uid, "gid": entry.gid});
        let (seconds, rest) = entry.mtime;
        let time =
            Timestamp::from_nanosecond(i128::from(seconds) * 1_000_000_000 + i128::from(rest));
        if nanoseconds || seconds != 0 {
            item["modtime"] = json!(time.unwrap().to_string());
        }
        let mut set = |name: &str, value: Value, there: bool| {
            if there {
                item[name] = value;
            }
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        set("linkName", json!(text(&entry.link)), !entry.link.is_empty());
        set("size", json!(entry.size), entry.size > 0);
        set("devMajor", json!(entry.device.0), entry.device.0 > 0);
        set("devMinor", json!(entry.device.1), entry.device.1 > 0);
        let digest = json!(codec::digest_of(content).to_string());
        set("digest", digest, entry.size > 0);
        let xattrs: serde_json::Map<String, Value> = entry
            .xattrs
            .iter()
            .map(|(name, value)| (text(name), json!(BASE64.encode(value))))
            .collect();
        set("xattrs", json!(xattrs), !xattrs.is_empty());
        item
    };
    let mut items = Vec::new();
    for file in files {
        items.push(item(file));
        if file.0.size > 20 {
            let name = &items[items.len() - 1]["name"];
            items.push(json!({"type": "chunk", "name": name, "chunkOffset": 20}));
        }
    }
    items
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn footer(offset: u64) -> Vec<u8> {
    let mut footer = vec![
        0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0, b'S', b'G', 22, 0,
    ];
    footer.extend(format!("{offset:016x}STARGZ").bytes());
    footer.extend([1, 0, 0, 255, 255]);
    footer.extend([0; 8]);
    assert_eq!(footer.len() as u64, FOOTER);
    footer
}

/// An eStargz blob with `filler` bytes in front of its table, and its table's digest.
fn estargz(files: &[File], filler: usize) -> (Vec<u8>, Digest) {
    let document = json!({"version": 1, "entries": items(files, false)});
    let document = serde_json::to_vec_pretty(&document).unwrap();
    let digest = codec::digest_of(&document);
    let archive = tar(files);
    let mut blob = gzip(&archive[..archive.len() - 1024]);
    // Empty members: they say nothing.
    while blob.len() < filler {
        blob.extend(gzip(b""));
    }
    let start = blob.len() as u64;
    let head = tarball::Entry {
        path: TABLE_FILE.to_vec(),
        link: Vec::new(),
        kind: Kind::File,
        mode: 0,
        uid: 0,
        gid: 0,
        size: document.len() as u64,
        mtime: (0, 0),
        device: (0, 0),
        xattrs: Vec::new(),
        sparse: None,
    };
    blob.extend(gzip(&tar(&[(head, document)])));
    blob.extend(footer(start));
    (blob, digest)
}

/// A zstd:chunked blob, and the table that its descriptor announces.
fn chunked(files: &[File]) -> (Vec<u8>, Table) {
    let document =
        json!({"version": 1, "entries": items(files, true), "tarSplitDigest": "sha256:00"});
    let document = document.to_string().into_bytes();
    let packed = zstd::encode_all(document.as_slice(), 1).unwrap();
    let mut blob = zstd::encode_all(tar(files).as_slice(), 1).unwrap();
    blob.extend(0x184D_2A50_u32.to_le_bytes());
    blob.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
    let start = blob.len() as u64;
    blob.extend(&packed);
    let table = Table {
        digest: codec::digest_of(&packed),
        form: Form::Chunked(start, blob.len() as u64),
        size: blob.len() as u64,
    };
    (blob, table)
}

fn parts(blob: &[u8]) -> impl FnMut(u64, u64) -> Result<Option<Vec<u8>>> {
    |start, end| {
        let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        Ok(Some(blob[range].to_vec()))
    }
}

/// What the archive in a blob is, read as a whole.
fn streamed(blob: &[u8]) -> Result<Listed> {
    let look = Reading::Lists.look(FileHash::Sha256);
    paper::list(&mut codec::decode(blob).unwrap(), look)
}

/// Both say the same, or the table says what no layer can be.
fn check(blob: &[u8], table: &Table) -> Result<(), TestCaseError> {
    let listed = table.list(&mut parts(blob));
    match streamed(blob) {
        Ok(expected) => {
            let listed = listed.unwrap().unwrap();
            prop_assert_eq!(listed.entries, expected.entries);
            prop_assert_eq!(listed.wanted, expected.wanted);
            prop_assert_eq!(listed.repeated, expected.repeated);
        }
        Err(_) => prop_assert!(listed.is_err()),
    }
    Ok(())
}

fn of_estargz(blob: &[u8], digest: Digest) -> Table {
    Table {
        digest,
        form: Form::EStargz,
        size: blob.len() as u64,
    }
}

proptest! {
    #[test]
    fn every_byte_of_an_archive_is_seen_or_written_twice(files in prop::collection::vec(any_file(), 0..12)) {
        let look = Reading::Layers.look(FileHash::Blake3);
        if let Ok(listed) = paper::list(&mut tar(&files).as_slice(), look) {
            let is_whiteout = |path: &[u8]| path.starts_with(b".wh.") || find(path, b"/.wh.");
            let read = files.iter().filter(|(entry, _)| !is_whiteout(&entry.path));
            let read: u64 = read.map(|(entry, _)| entry.size).sum();
            let mut stack = Stack::default();
            stack.add(listed.entries);
            stack.note_repeated(&listed.repeated);
            let wasted: u64 = listed.repeated.iter().map(|one| one.bytes).sum();
            if listed.wanted.is_empty() {
                prop_assert_eq!((stack.bytes(), stack.wasted()), (read, wasted));
            }
        }
    }

    #[test]
    fn a_table_lists_what_its_archive_does(files in prop::collection::vec(any_file(), 0..12)) {
        let (blob, table) = chunked(&files);
        check(&blob, &table)?;
    }

    #[test]
    fn an_estargz_table_does_but_for_fractions_of_seconds(
        mut files in prop::collection::vec(any_file(), 0..12),
        filler in prop_oneof![Just(0), Just(1 << 17)],
    ) {
        for (entry, _) in &mut files {
            entry.mtime.1 = 0;
        }
        let (blob, digest) = estargz(&files, filler);
        check(&blob, &of_estargz(&blob, digest))?;
    }

    #[test]
    fn a_damaged_table_is_an_error(files in prop::collection::vec(any_file(), 1..6), at in any::<usize>(), bit in 0..8_u32) {
        for (mut blob, table) in [chunked(&files), {
            let (blob, digest) = estargz(&files, 0);
            let table = of_estargz(&blob, digest);
            (blob, table)
        }] {
            let (start, end) = match table.form {
                Form::Chunked(start, end) => (start, end),
                Form::EStargz => (offset_in(&blob[blob.len() - 51..]).unwrap(), table.size),
            };
            let at = usize::try_from(start).unwrap() + at % usize::try_from(end - start).unwrap();
            let whole = table.list(&mut parts(&blob)).map(|listed| listed.unwrap().entries);
            blob[at] ^= 1_u8 << bit;
            // What does not matter (a time in a gzip header) may be so; whatever is listed has the digest that was announced.
            if let Ok(Some(listed)) = table.list(&mut parts(&blob)) {
                prop_assert_eq!(Some(listed.entries), whole.ok());
            }
        }
    }
}

fn one_file() -> Vec<File> {
    let content = b"abc".to_vec();
    let entry = tarball::Entry {
        path: b"a".to_vec(),
        link: Vec::new(),
        kind: Kind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 3,
        mtime: (5, 6),
        device: (0, 0),
        xattrs: Vec::new(),
        sparse: None,
    };
    vec![(entry, content)]
}

#[test]
fn a_table_is_announced_by_annotations_that_make_sense() {
    let digest = codec::digest_of(b"");
    let of = |size, annotations: &[(&str, &str)]| {
        let mut layer = Descriptor::new("", digest.clone(), size);
        let all = annotations.iter();
        layer.annotations = all
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Table::of(&layer).map(|table| table.form)
    };
    let text = digest.as_str();
    let named = |(name, at): (&str, &str), position| of(1 << 20, &[(name, text), (at, position)]);
    for names in CHUNKED {
        let form = named(names, "500000:1000:90000:1");
        assert_eq!(form, Some(Form::Chunked(500_000, 501_000)));
    }
    let chunked = |position| named(CHUNKED[0], position);
    for wrong in [
        "",
        "500000:1000:90000:2",
        "500000:1000:90000",
        "1048576:1:1:1",
        "1:0:1:1",
        "1:2:999999999999:1",
        "18446744073709551615:2:3:1",
    ] {
        assert_eq!(chunked(wrong), None, "{wrong}");
    }
    assert_eq!(of(1 << 20, &[(ESTARGZ, text)]), Some(Form::EStargz));
    assert_eq!(of(1 << 20, &[(ESTARGZ, "md5:12")]), None);
    assert_eq!(of(1 << 20, &[]), None);
    // A small blob is read as a whole.
    assert_eq!(of(SMALL, &[(ESTARGZ, text)]), None);
}

#[test]
fn what_is_not_what_was_announced_is_refused() {
    let files = one_file();
    let (blob, mut table) = chunked(&files);
    assert!(table.list(&mut |_, _| Ok(None)).unwrap().is_none());
    table.digest = codec::digest_of(b"another");
    assert!(table.list(&mut parts(&blob)).is_err());
    let (mut blob, _) = estargz(&files, 0);
    let table = of_estargz(&blob, codec::digest_of(b"another"));
    let error = table.list(&mut parts(&blob)).unwrap_err();
    assert!(error.to_string().contains("is announced"), "{error}");
    for offset in [u64::MAX, blob.len() as u64, 0] {
        let start = blob.len() - 51;
        blob.splice(start.., footer(offset));
        assert!(table.list(&mut parts(&blob)).is_err(), "{offset}");
    }
}

#[test]
fn a_table_that_no_archive_can_have_is_refused() {
    let read = |text: &str| read(text.as_bytes(), &mut Paper::default());
    let entry = |rest: &str| format!(r#"{{"version":1,"entries":[{{{rest}}}]}}"#);
    read(&entry(r#""name":"a","type":"reg""#)).unwrap();
    for wrong in [
        "",
        "[]",
        r#"{"entries":[]}"#,
        r#"{"version":1}"#,
        r#"{"version":2,"entries":[]}"#,
        r#"{"version":1,"entries":[],"entries":[]}"#,
        r#"{"version":1,"entries":[]} more"#,
        &entry(r#""name":"","type":"reg""#),
        &entry(r#""name":"../a","type":"reg""#),
        &entry(r#""name":"a\u0000b","type":"reg""#),
        &entry(r#""name":"a\ufffd","type":"reg""#),
        &entry(r#""name":"a","type":"socket""#),
        &entry(r#""name":"a","type":"symlink""#),
        &entry(r#""name":"a","type":"reg","size":-1"#),
        &entry(r#""name":"a","type":"reg","size":9223372036854775808"#),
        &entry(r#""name":"a","type":"reg","uid":4294967295"#),
        &entry(r#""name":"a","type":"reg","modtime":"yesterday""#),
        &entry(r#""name":"a","type":"reg","size":1,"digest":"sha256:1""#),
        &entry(r#""name":"a","type":"reg","xattrs":{"user.a":"?"}"#),
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
