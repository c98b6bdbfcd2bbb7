//! What a file is, told by its first bytes: text, a picture with its size, a program with what it needs, or just bytes.

/// What the first bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// It can be read as lines.
    pub is_text: bool,
    /// What else is known, in a few words each.
    pub facts: Vec<String>,
}

/// Looks at the beginning of a file.
#[must_use]
pub fn look(start: &[u8]) -> Content {
    if start.is_empty() {
        return Content {
            is_text: true,
            facts: vec!["empty".to_owned()],
        };
    }
    if let Some(facts) = elf(start) {
        return Content {
            is_text: false,
            facts,
        };
    }
    if let Some(fact) = picture(start).or_else(|| known(start).map(str::to_owned)) {
        return Content {
            is_text: false,
            facts: vec![fact],
        };
    }
    let is_text = is_text(start);
    let facts = match first_line(start) {
        Some(program) if is_text => vec![format!("script for {program}")],
        _ if is_text => vec!["text".to_owned()],
        _ => vec!["data".to_owned()],
    };
    Content { is_text, facts }
}

/// UTF-8 without control characters but those that texts have; it may be cut in the middle of a character.
fn is_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{1b}');
    !text.chars().any(control)
}

fn first_line(bytes: &[u8]) -> Option<String> {
    let line = bytes.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let line = line.get(..line.len().min(80))?;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}

/// Formats that are known by how they begin.
fn known(bytes: &[u8]) -> Option<&'static str> {
    const STARTS: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip (also jar, whl, apk)"),
        (b"!<arch>\n", "ar archive (also deb, a)"),
        (b"\xca\xfe\xba\xbe", "Java class"),
        (b"SQLite format 3\0", "SQLite database"),
        (b"%PDF-", "PDF"),
        (b"\0asm", "WebAssembly"),
        (b"wOFF", "font"),
        (b"wOF2", "font"),
        (b"\0\x01\0\0\0", "font"),
        (b"TZif", "time zone"),
        (b"\xde\x12\x04\x95", "message catalogue"),
    ];
    let found = STARTS.iter().find(|(start, _)| bytes.starts_with(start));
    found.map(|(_, name)| *name)
}

/// Kind and size of a picture: PNG, GIF, BMP, WebP, JPEG.
fn picture(bytes: &[u8]) -> Option<String> {
    let be32 = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let le32 = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let le16 = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let told =
        |name: &str, width: u32, height: u32| Some(format!("{name} picture, {width} x {height}"));
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return told("PNG", be32(16)?, be32(20)?);
    }
    if bytes.starts_with(b"GIF8") {
        return told("GIF", le16(6)?.into(), le16(8)?.into());
    }
    if bytes.starts_with(b"BM") && le32(14)? >= 40 {
        return told("BMP", le32(18)?, le32(22)?.cast_signed().unsigned_abs());
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12)? == b"WEBP" {
        return match bytes.get(12..16)? {
            b"VP8X" => {
                let three = |at: usize| Some(le32(at)? & 0xff_ffff);
                told("WebP", three(24)? + 1, three(27)? + 1)
            }
            b"VP8 " => told(
                "WebP",
                u32::from(le16(26)?) & 0x3fff,
                u32::from(le16(28)?) & 0x3fff,
            ),
            _ => Some("WebP picture".to_owned()),
        };
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Some(jpeg(bytes).map_or_else(
            || "JPEG picture".to_owned(),
            |(width, height)| format!("JPEG picture, {width} x {height}"),
        ));
    }
    None
}

/// The size stands in the start-of-frame segment (ITU T.81, B.2.2).
fn jpeg(bytes: &[u8]) -> Option<(u16, u16)> {
    let be16 = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let mut at = 2;
    loop {
        let marker = *bytes.get(at + 1)?;
        match marker {
            0xff => at += 1,
            0xc4 | 0xc8 | 0xcc => at += 2 + usize::from(be16(at + 2)?.max(2)),
            0xc0..=0xcf => return Some((be16(at + 7)?, be16(at + 5)?)),
            _ => at += 2 + usize::from(be16(at + 2)?.max(2)),
        }
    }
}

/// Class, machine, kind, interpreter (elf(5)).
fn elf(bytes: &[u8]) -> Option<Vec<String>> {
    if !bytes.starts_with(b"\x7fELF") {
        return None;
    }
    let read = Elf {
        bytes,
        wide: bytes.get(4) == Some(&2),
        big: bytes.get(5) == Some(&2),
    };
    let class = if read.wide { "64-bit" } else { "32-bit" };
    let mut facts = vec![format!("ELF {class}")];
    let machine = read.number(18, 2);
    let name = match machine {
        Some(3) => "x86",
        Some(40) => "ARM",
        Some(62) => "x86-64",
        Some(183) => "AArch64",
        Some(243) => "RISC-V",
        Some(21) => "PowerPC 64",
        Some(22) => "S390",
        _ => "another machine",
    };
    facts.push(name.to_owned());
    let interpreter = read.interpreter();
    facts.push(
        match (read.number(16, 2), &interpreter) {
            (Some(1), _) => "object file",
            (Some(2 | 3), Some(_)) => "dynamic program",
            (Some(2), None) => "static program",
            (Some(3), None) => "shared library or static program",
            (Some(4), _) => "core dump",
            _ => "unknown kind",
        }
        .to_owned(),
    );
    facts.extend(interpreter.map(|path| format!("loaded by {path}")));
    Some(facts)
}

struct Elf<'a> {
    bytes: &'a [u8],
    wide: bool,
    big: bool,
}

impl Elf<'_> {
    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Some(if self.big {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        })
    }

    fn place(&self, at: usize, width: usize) -> Option<usize> {
        usize::try_from(self.number(at, width)?).ok()
    }

    /// The text of the program header `PT_INTERP`.
    fn interpreter(&self) -> Option<String> {
        let (table, size, count) = if self.wide {
            (self.place(32, 8)?, self.place(54, 2)?, self.place(56, 2)?)
        } else {
            (self.place(28, 4)?, self.place(42, 2)?, self.place(44, 2)?)
        };
        for number in 0..count.min(64) {
            let header = table.checked_add(number.checked_mul(size)?)?;
            if self.number(header, 4)? != 3 {
                continue;
            }
            let (offset, length) = if self.wide {
                (
                    self.place(header.checked_add(8)?, 8)?,
                    self.place(header.checked_add(32)?, 8)?,
                )
            } else {
                (
                    self.place(header.checked_add(4)?, 4)?,
                    self.place(header.checked_add(16)?, 4)?,
                )
            };
            let text = self
                .bytes
                .get(offset..offset.checked_add(length.min(256))?)?;
            let text = text.split(|b| *b == 0).next()?;
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        None
    }
}

/// A row of a hex view: offset, sixteen bytes in two groups, and those of them that are letters.
#[must_use]
pub fn hex_row(offset: usize, bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut row = format!("{offset:08x} ");
    for place in 0..16 {
        if place % 8 == 0 {
            row.push(' ');
        }
        match bytes.get(place) {
            Some(byte) => {
                let _ = write!(row, "{byte:02x} ");
            }
            None => row.push_str("   "),
        }
    }
    row.push(' ');
    let letter = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '.',
    };
    row.extend(bytes.iter().take(16).map(letter));
    row
}

/// Rows of sixteen bytes in which a text begins (small letters fit capitals, too), or the bytes that `0x7f45` names.
#[must_use]
pub fn rows_with(bytes: &[u8], needle: &str) -> Vec<usize> {
    let named = needle.strip_prefix("0x").and_then(named_bytes);
    let exact = named.is_some() || needle.bytes().any(|byte| byte.is_ascii_uppercase());
    let wanted = named.unwrap_or_else(|| needle.as_bytes().to_vec());
    if wanted.is_empty() {
        return Vec::new();
    }
    let fits = |window: &[u8]| {
        if exact {
            window == wanted
        } else {
            window.eq_ignore_ascii_case(&wanted)
        }
    };
    let windows = bytes.windows(wanted.len()).enumerate();
    let mut rows: Vec<usize> = windows
        .filter(|(_, window)| fits(window))
        .map(|(offset, _)| offset / 16)
        .collect();
    rows.dedup();
    rows
}

/// `7f45` as bytes.
fn named_bytes(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_by_their_row() {
        let mut bytes = vec![0; 64];
        bytes[14..19].copy_from_slice(b"Magic");
        bytes[40] = 0x7f;
        bytes[41] = b'E';
        let rows = |needle| rows_with(&bytes, needle);
        assert_eq!((rows("magic"), rows("MAGIC")), (vec![0], vec![]));
        assert_eq!((rows("0x7f45"), rows("0x7F45")), (vec![2], vec![2]));
        assert_eq!(
            (rows("0x7f4"), rows("0xzz"), rows("")),
            (vec![], vec![], vec![])
        );
        assert_eq!(rows("0x00").len(), 4);
    }
    use proptest::prelude::*;

    #[track_caller]
    fn check(bytes: &[u8], is_text: bool, facts: &[&str]) {
        let content = look(bytes);
        assert_eq!(
            (
                content.is_text,
                content.facts.iter().map(String::as_str).collect::<Vec<_>>()
            ),
            (is_text, facts.to_vec())
        );
    }

    #[test]
    fn files_tell_what_they_are() {
        check(b"", true, &["empty"]);
        check(b"a = 1\n", true, &["text"]);
        check("gr\u{fc}n".as_bytes(), true, &["text"]);
        // Cut in the middle of a character.
        check(b"gr\xc3", true, &["text"]);
        check(b"gr\xc3(", false, &["data"]);
        check(b"a\0b", false, &["data"]);
        check(
            b"#!/usr/bin/env python3\nprint()",
            true,
            &["script for /usr/bin/env python3"],
        );
        check(b"\x1f\x8b\x08", false, &["gzip"]);
    }

    #[test]
    fn pictures_tell_their_size() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend(640_u32.to_be_bytes());
        png.extend(480_u32.to_be_bytes());
        check(&png, false, &["PNG picture, 640 x 480"]);
        check(b"GIF89a\x10\0\x20\0", false, &["GIF picture, 16 x 32"]);
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\x01\x02\x03\x04";
        check(jpeg, false, &["JPEG picture, 772 x 258"]);
        check(b"\xff\xd8\xff\xe0", false, &["JPEG picture"]);
    }

    #[test]
    fn programs_tell_what_loads_them() {
        let mut elf = vec![0_u8; 200];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[16] = 3;
        elf[18] = 62;
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        elf[64] = 3;
        elf[64 + 8] = 150;
        elf[64 + 32] = 15;
        elf[150..165].copy_from_slice(b"/lib64/ld.so.2\0");
        check(
            &elf,
            false,
            &[
                "ELF 64-bit",
                "x86-64",
                "dynamic program",
                "loaded by /lib64/ld.so.2",
            ],
        );
    }

    #[test]
    fn rows_of_bytes_stand_below_each_other() {
        assert_eq!(
            hex_row(16, b"0123456789abcde\n"),
            "00000010  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 0a  0123456789abcde."
        );
        assert_eq!(
            hex_row(0, b"a").len(),
            hex_row(0, b"0123456789abcdef").len() - 15
        );
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(start in prop::sample::select(vec![&b""[..], b"\x7fELF", b"\x7fELF\x02\x01", b"\xff\xd8\xff", b"BM", b"RIFF1234WEBPVP8X", b"\x89PNG\r\n\x1a\n"]), rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = start.to_vec();
            bytes.extend(rest);
            let _ = look(&bytes);
        }
    }
}
