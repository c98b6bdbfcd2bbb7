//! What is different between two images, in words, as the command line and the screen tell it.

use super::{At, Diff, Fate, PathChange, Weight};
use crate::engine::model::layers::rules::percent;
use crate::engine::model::layers::{Entry, Explored, Kind};
use crate::engine::model::units;

impl Diff {
    /// How much larger or smaller the second image is, in one line.
    #[must_use]
    pub fn told(&self, before: &Explored, after: &Explored) -> String {
        let size = |bytes: u64| units::human_size_short(bytes);
        let (old, new) = (&self.before, &self.after);
        let change = new.bytes.abs_diff(old.bytes);
        let names = (&before.about.name, &after.about.name);
        let word = match self.verdict() {
            "same" => format!("{} and {} are the same", names.0, names.1),
            "times" => format!("{} and {} are the same but for times", names.0, names.1),
            "changed" => format!("{} weighs what {} does", names.1, names.0),
            word => format!(
                "{} is {} ({:.1} %) {word} than {}",
                names.1,
                size(change),
                percent(change, old.bytes),
                names.0
            ),
        };
        let side = |weight: &Weight| {
            format!(
                "{} in {}, {} hidden",
                size(weight.bytes),
                units::counted(weight.layers, "layer"),
                size(weight.wasted)
            )
        };
        format!("{word}: {}; before {}", side(new), side(old))
    }

    /// How many paths of each fate there are.
    #[must_use]
    pub fn counts(&self) -> String {
        let mut parts = Vec::new();
        for fate in Fate::ALL {
            let total = self.total(fate);
            if total.paths > 0 {
                let what = match fate {
                    Fate::Content => "with other content",
                    Fate::Kind => "of another kind",
                    Fate::Attributes => "with other attributes",
                    Fate::Time => "with another time only",
                    Fate::Added | Fate::Removed | Fate::Grown | Fate::Shrunk => fate.as_str(),
                };
                parts.push(format!("{} {what}", total.paths));
            }
        }
        if parts.is_empty() {
            "every path is the same".to_owned()
        } else {
            format!("paths: {}", parts.join(", "))
        }
    }
}

impl PathChange {
    /// `mode 644 -> 755, owner 0:0 -> 7:7`.
    #[must_use]
    pub fn told(&self, before: &Explored, after: &Explored) -> String {
        let both = (entry(before, self.before), entry(after, self.after));
        let (Some(old), Some(new)) = both else {
            return String::new();
        };
        if self.fate == Fate::Kind {
            return format!("{} -> {}", kind(old), kind(new));
        }
        let mut words = Vec::new();
        for word in self.differs.words() {
            words.push(match word {
                "mode" => format!("mode {:o} -> {:o}", old.mode & 0o7777, new.mode & 0o7777),
                "owner" => format!("owner {}:{} -> {}:{}", old.uid, old.gid, new.uid, new.gid),
                // It goes without saying where the content is another one.
                "time" if self.fate != Fate::Time => continue,
                word => word.to_owned(),
            });
        }
        words.join(", ")
    }
}

/// What an image has there: of another name of a file, the file.
#[must_use]
pub fn entry(image: &Explored, at: Option<At>) -> Option<&Entry> {
    at.map(|at| image.stack.entry(image.stack.inode_of(at)))
}

/// What an entry is, in one word.
#[must_use]
pub fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        Kind::File { .. } | Kind::HardLink { .. } => "file",
        Kind::Directory { .. } => "directory",
        Kind::Symlink { .. } => "symlink",
        Kind::Char { .. } => "char",
        Kind::Block { .. } => "block",
        Kind::Fifo => "fifo",
        Kind::Whiteout => "whiteout",
    }
}
