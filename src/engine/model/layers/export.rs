//! dive's JSON document of an image, byte for byte as dive writes it (dive 0.13, `--json`).

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::dive;
use super::entry::{Entry, Kind};
use super::explored::Explored;

/// Bits of Go's `os.FileMode` beside the permissions.
const DIR: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const FIFO: u32 = 1 << 25;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const CHAR_DEVICE: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;

/// The document.
#[must_use]
pub fn document(image: &Explored) -> String {
    let figures = dive::figures_of(image);
    let all = image.layers.iter().zip(&image.stack.layers).enumerate();
    let layers: Vec<Value> = all
        .map(|(index, (layer, entries))| {
            json!({
                "index": index,
                "id": layer.directory,
                "digestId": layer.diff_id.to_string(),
                "sizeBytes": layer.size,
                "command": layer.command.strip_prefix("/bin/sh -c ").unwrap_or(&layer.command),
                "fileList": files(entries),
            })
        })
        .collect();
    let references: Vec<Value> = figures
        .inefficient
        .iter()
        .rev()
        .map(|one| json!({ "count": one.count, "sizeBytes": one.bytes, "file": text(&one.path) }))
        .collect();
    let document = json!({
        "layer": layers,
        "image": {
            "sizeBytes": figures.size,
            "inefficientBytes": figures.wasted,
            "efficiencyScore": number(figures.efficiency),
            "fileReference": references,
        },
    });
    escape(&format!("{document:#}"))
}

/// Go writes a whole number without a fraction; a share is whole if it is all or nothing.
fn number(share: f64) -> Value {
    if share >= 1.0 {
        json!(1)
    } else if share <= 0.0 {
        json!(0)
    } else {
        json!(share)
    }
}

/// What Go's encoder escapes beyond what JSON asks for. None of it stands outside of texts.
fn escape(document: &str) -> String {
    let mut escaped = String::with_capacity(document.len());
    for c in document.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{fffd}' => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The path with the marker of a whiteout.
fn written(entry: &Entry) -> Vec<u8> {
    if entry.kind != Kind::Whiteout {
        return entry.path.clone();
    }
    let base = entry
        .path
        .iter()
        .rposition(|b| *b == b'/')
        .map_or(0, |at| at + 1);
    let (parent, base) = entry.path.split_at(base);
    [parent, b".wh.", base].concat()
}

/// Children before their directory, by name.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    let mut a = a.split(|b| *b == b'/');
    let mut b = b.split(|b| *b == b'/');
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (Some(a), Some(b)) if a != b => return a.cmp(b),
            (Some(_), Some(_)) => {}
        }
    }
}

fn files(entries: &[Entry]) -> Vec<Value> {
    let mut all: Vec<(Vec<u8>, &Entry)> = entries
        .iter()
        .filter(|entry| !entry.path.is_empty())
        .map(|entry| (written(entry), entry))
        .collect();
    all.sort_by(|(a, _), (b, _)| order(a, b));
    all.iter().map(|(path, entry)| file(path, entry)).collect()
}

fn file(path: &[u8], entry: &Entry) -> Value {
    let none: &[u8] = b"";
    // Type of the header, name of a link, and what the type adds to the mode.
    let (flag, link, kind) = match &entry.kind {
        // dive has nothing of a directory that the archive does not name.
        Kind::Directory { implied: true, .. } => {
            return json!({
                "path": "", "typeFlag": 0, "linkName": "", "size": 0,
                "fileMode": 0, "uid": 0, "gid": 0, "isDir": false,
            });
        }
        Kind::File { .. } | Kind::Whiteout => (b'0', none, 0),
        Kind::HardLink { target } => (b'1', target.as_slice(), 0),
        Kind::Symlink { target } => (b'2', target.as_slice(), SYMLINK),
        Kind::Char { .. } => (b'3', none, DEVICE | CHAR_DEVICE),
        Kind::Block { .. } => (b'4', none, DEVICE),
        Kind::Directory { .. } => (b'5', none, DIR),
        Kind::Fifo => (b'6', none, FIFO),
    };
    let bits = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
    let special = bits
        .iter()
        .filter(|(bit, _)| entry.mode & bit != 0)
        .fold(kind, |mode, (_, go)| mode | go);
    json!({
        "path": text(path),
        "typeFlag": flag,
        "linkName": text(link),
        "size": entry.size,
        "fileMode": entry.mode & 0o777 | special,
        "uid": entry.uid,
        "gid": entry.gid,
        "isDir": flag == b'5',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_come_before_their_directory_by_name() {
        let mut paths = ["b", "a/c", "a", "a/b/x", "a/b", "a-b", "a/.wh.z"];
        paths.sort_by(|a, b| order(a.as_bytes(), b.as_bytes()));
        assert_eq!(paths, ["a/.wh.z", "a/b/x", "a/b", "a/c", "a", "a-b", "b"]);
    }

    #[test]
    fn texts_are_escaped_as_go_does() {
        assert_eq!(escape("a<b>&\u{2028}é"), "a\\u003cb\\u003e\\u0026\\u2028é");
        assert_eq!(number(1.0).to_string(), "1");
        assert_eq!(
            number(0.984_421_213_418_430_9).to_string(),
            "0.9844212134184309"
        );
    }

    #[test]
    fn modes_are_those_of_go() {
        let entry = |kind, mode| Entry {
            path: b"a/b".to_vec(),
            kind,
            mode,
            uid: 1,
            gid: 2,
            size: 3,
            mtime: (0, 0),
            xattrs: Vec::new(),
        };
        let directory = Kind::Directory {
            opaque: false,
            implied: false,
        };
        let cases = [
            (directory, 0o755, 2_147_484_141_u32),
            (Kind::File { content: None }, 0o4755, 8_389_101),
            (Kind::Fifo, 0o644, 33_554_852),
            (Kind::Char { device: (1, 3) }, 0o666, 69_206_454),
        ];
        for (kind, mode, expected) in cases {
            let found = file(b"a/b", &entry(kind.clone(), mode));
            assert_eq!(found["fileMode"], expected, "{kind:?}");
        }
        assert_eq!(written(&entry(Kind::Whiteout, 0)), b"a/.wh.b");
    }
}
