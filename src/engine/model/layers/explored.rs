//! An image looked into: its layers with what each brings, loses and hides, and what could be said in fewer bytes.

use std::collections::{BTreeMap, HashMap};

use super::entry::{Entry, Kind, Repeated};
use super::findings::nature::Nature;
use super::tree::LayerId;
use super::waste::{Cause, Stack};
use crate::engine::model::image::HistoryEntry;
use crate::engine::model::{Digest, Platform, Timestamp};

/// One layer, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFacts {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Digest of the blob.
    pub blob: Digest,
    /// Bytes of the blob.
    pub blob_size: u64,
    /// The directory of an archive that has it, as dive tells it: `blobs`, or one of its own in older archives.
    pub directory: String,
    /// As [`Part::from_table`].
    pub from_table: bool,
    /// Bytes of its files.
    pub size: u64,
    /// Its files, hard links not counted.
    pub files: usize,
    /// Bytes of its files that a later layer hides.
    pub wasted: u64,
    /// Bytes of earlier layers that it hides.
    pub hides: u64,
    /// The instruction that made it, as the history has it; empty if that says nothing.
    pub command: String,
    /// When.
    pub created: Option<Timestamp>,
}

/// Where a layer comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Digest of the blob.
    pub blob: Digest,
    /// Bytes of the blob.
    pub blob_size: u64,
    /// As [`LayerFacts::directory`].
    pub directory: String,
    /// What it has was told by its table of contents: nobody compared that with its files.
    pub from_table: bool,
    /// What its archive has more than once.
    pub repeated: Vec<Repeated>,
}

/// What looking into an image has come to: it is told step by step, as archives take their time.
#[derive(Debug)]
pub enum Step<'a> {
    /// What its documents say: all its layers, the lowest first, whose files are not known yet.
    Outline(&'a About, Vec<LayerFacts>),
    /// So many bytes have come: of an archive that is fetched before anything can be told, later of all layers together.
    /// With what has been read of the image so far.
    Read(u64, Option<&'a Explored>),
    /// One more layer has been read: this is the image up to it.
    Layer(&'a Explored),
}

/// What is known of an image besides its layers.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// As it was asked for.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its platform.
    pub platform: Platform,
    /// The user of its configuration; empty is root.
    pub user: String,
    /// It has a health check.
    pub has_healthcheck: bool,
    /// All instructions, oldest first.
    pub history: Vec<HistoryEntry>,
    /// Its variables, `NAME=value`.
    pub env: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A whole image, or one up to a layer. A copy shares the entries.
#[derive(Debug, Clone)]
pub struct Explored {
    /// What it is.
    pub about: About,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerFacts>,
    /// All their entries.
    pub stack: Stack,
}

/// Bytes that are hidden at once: everything of one layer that one entry of another hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// The path of the file, or of the directory that is removed or replaced.
    pub path: Vec<u8>,
    /// How many files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The layer that brought them.
    pub added: LayerId,
    /// The layer that hides them.
    pub hidden: LayerId,
    /// How.
    pub cause: Cause,
    /// What all of it is for, as far as paths tell.
    pub nature: Option<Nature>,
}

impl About {
    /// What the history says of a layer whose files are not known yet.
    #[must_use]
    pub fn layer(&self, number: usize, part: Part) -> LayerFacts {
        let mut made_by = self.history.iter().filter(|entry| !entry.empty);
        let instruction = made_by.nth(number);
        LayerFacts {
            diff_id: part.diff_id,
            blob: part.blob,
            blob_size: part.blob_size,
            directory: part.directory,
            from_table: part.from_table,
            size: 0,
            files: 0,
            wasted: 0,
            hides: 0,
            command: instruction.map_or(String::new(), |entry| entry.created_by.clone()),
            created: instruction.and_then(|entry| entry.created),
        }
    }

    /// How many layers, from the lowest, most likely came with the image that this one was built on: those before the last
    /// instruction that says what to run and is followed by layers (nobody says so in the middle of a build). 0 if nothing
    /// tells.
    #[must_use]
    pub fn base_layers(&self) -> usize {
        let ends = |entry: &HistoryEntry| {
            let command = instruction(&entry.created_by);
            entry.empty && (command.starts_with("CMD") || command.starts_with("ENTRYPOINT"))
        };
        let total = self.history.iter().filter(|entry| !entry.empty).count();
        let mut layers = 0;
        let mut base = 0;
        for entry in &self.history {
            layers += usize::from(!entry.empty);
            if ends(entry) && layers < total {
                base = layers;
            }
        }
        base
    }
}

/// An instruction of the history without what a builder puts in front of it, on one line.
#[must_use]
pub fn instruction(command: &str) -> String {
    let command = command.trim();
    let shell = "/bin/sh -c ";
    let command = command.strip_prefix(shell).unwrap_or(command).trim_start();
    let command = command
        .strip_prefix("#(nop) ")
        .unwrap_or(command)
        .trim_start();
    command.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Explored {
    /// An image without layers.
    #[must_use]
    pub fn new(about: About) -> Self {
        Self {
            about,
            layers: Vec::new(),
            stack: Stack::default(),
        }
    }

    /// Puts a layer on top: entries sorted by path, each path once, as an index has them.
    pub fn push(&mut self, part: Part, entries: Vec<Entry>) {
        let is_file = |entry: &&Entry| matches!(entry.kind, Kind::File { .. });
        let repeated = part.repeated.clone();
        let mut facts = self.about.layer(self.layers.len(), part);
        let shown: u64 = entries.iter().map(|entry| entry.size).sum();
        facts.size = repeated
            .iter()
            .fold(shown, |size, one| size.saturating_add(one.bytes));
        facts.files = entries.iter().filter(is_file).count();
        self.layers.push(facts);
        let known = self.stack.waste.len();
        self.stack.add(entries);
        self.stack.note_repeated(&repeated);
        for waste in &self.stack.waste[known..] {
            self.layers[usize::from(waste.added.0)].wasted += waste.bytes;
            if waste.cause != Cause::WrittenTwice {
                self.layers[usize::from(waste.hidden.0)].hides += waste.bytes;
            }
        }
    }

    /// Bytes of all files of all layers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// What is hidden, the largest first; files that went at once, with a directory, are one.
    #[must_use]
    pub fn hidden(&self) -> Vec<Hidden> {
        let nature = |at| Nature::of(&self.stack.entry(at).path).map(|(nature, _)| nature);
        let mut places: HashMap<(LayerId, LayerId, u32, Cause), usize> = HashMap::new();
        let mut all: Vec<Hidden> = Vec::new();
        for waste in &self.stack.waste {
            let key = (waste.added.0, waste.hidden.0, waste.hidden.1, waste.cause);
            let place = *places.entry(key).or_insert_with(|| {
                all.push(Hidden {
                    path: self.stack.entry(waste.hidden).path.clone(),
                    files: 0,
                    bytes: 0,
                    added: waste.added.0,
                    hidden: waste.hidden.0,
                    cause: waste.cause,
                    nature: nature(waste.added),
                });
                all.len() - 1
            });
            if all[place].nature != nature(waste.added) {
                all[place].nature = None;
            }
            all[place].files += 1;
            all[place].bytes += waste.bytes;
        }
        all.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        all
    }
}

impl Hidden {
    /// What to write instead, with what the instructions say where that is known.
    #[must_use]
    pub fn advice(&self, image: &Explored) -> String {
        if let Some(nature) = self.nature {
            return nature.advice().to_owned();
        }
        let command = image.layers.get(usize::from(self.hidden));
        let change = command.and_then(|layer| change_of_owner(&layer.command));
        match change.filter(|_| self.cause == Cause::CopiedAgain) {
            Some((tool, what)) => format!(
                "COPY --{tool}={what} in layer {}, or {tool} in the same RUN, instead of {tool} in layer {}",
                self.added, self.hidden
            ),
            None => self.cause.advice().to_owned(),
        }
    }
}

/// `chown` or `chmod`, and to what, of an instruction that has one of them.
fn change_of_owner(command: &str) -> Option<(&'static str, &str)> {
    let mut words = command.split_whitespace();
    let tool = words.find_map(|word| ["chown", "chmod"].into_iter().find(|tool| word == *tool))?;
    let what = words.find(|word| !word.starts_with('-'))?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":._,+=-".contains(c);
    what.chars().all(is_plain).then_some((tool, what))
}

impl Cause {
    /// One word, as the command line and JSON have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Overwritten => "overwritten",
            Self::CopiedAgain => "copied-again",
            Self::Replaced => "replaced",
            Self::WrittenTwice => "written-twice",
        }
    }

    /// What to write instead.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Removed => {
                "remove it in the instruction that makes it, or make it in an earlier stage"
            }
            Self::Overwritten => "write it once, in the later instruction",
            Self::CopiedAgain => {
                "set owner and mode where it is made: COPY --chown, --chmod, or in the same RUN"
            }
            Self::Replaced => "leave it out where it is made",
            Self::WrittenTwice => {
                "its layer's own archive has it more than once: have the tool write it once"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::layers::diff::tests::{directory, file, image, other};

    fn about(history: &[(&str, bool)]) -> About {
        let entry = |(by, empty): &(&str, bool)| HistoryEntry {
            created: None,
            created_by: (*by).to_owned(),
            comment: String::new(),
            size: 0,
            empty: *empty,
        };
        About {
            name: String::new(),
            id: String::new(),
            platform: Platform::default(),
            user: String::new(),
            has_healthcheck: false,
            history: history.iter().map(entry).collect(),
            env: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn the_base_ends_where_its_command_is_said() {
        let debian = ("/bin/sh -c #(nop) ADD file:1 in / ", false);
        let bash = ("/bin/sh -c #(nop)  CMD [\"bash\"]", true);
        let run = ("RUN /bin/sh -c make # buildkit", false);
        let copy = ("COPY app /app # buildkit", false);
        let cmd = ("CMD [\"/app\"]", true);
        assert_eq!(about(&[]).base_layers(), 0);
        assert_eq!(
            about(&[debian, bash]).base_layers(),
            0,
            "it is its own base"
        );
        assert_eq!(about(&[debian, bash, run, copy, cmd]).base_layers(), 1);
        assert_eq!(about(&[debian, bash, run, cmd, copy, cmd]).base_layers(), 2);
        assert_eq!(about(&[debian, run, cmd]).base_layers(), 0);
    }

    #[test]
    fn an_instruction_is_shown_without_its_shell() {
        let cases = [
            ("/bin/sh -c #(nop)  CMD [\"sh\"]", "CMD [\"sh\"]"),
            (
                "/bin/sh -c apt-get update &&\n  true",
                "apt-get update && true",
            ),
            ("RUN /bin/sh -c x # buildkit", "RUN /bin/sh -c x # buildkit"),
        ];
        for (from, to) in cases {
            assert_eq!(instruction(from), to);
        }
    }

    #[test]
    fn advice_is_about_what_the_instructions_say() {
        let mut again = file("app/x", 100, 2);
        again.uid = 7;
        let image = image(&[
            (
                1,
                "COPY . /app",
                vec![directory("app"), file("app/x", 100, 2)],
            ),
            (
                2,
                "RUN apt-get update",
                vec![
                    file("var/lib/apt/lists/a", 900, 1),
                    file("var/lib/apt/lists/b", 50, 3),
                ],
            ),
            (
                3,
                "RUN /bin/sh -c chown -R app:app /app # buildkit",
                vec![again],
            ),
            (
                4,
                "RUN rm -rf /var/lib/apt",
                vec![other("var/lib/apt", Kind::Whiteout)],
            ),
        ]);
        let hidden = image.hidden();
        let natures: Vec<_> = hidden
            .iter()
            .map(|one| one.nature.and_then(Nature::tool))
            .collect();
        assert_eq!(natures, [Some("apt"), None]);
        assert!(
            hidden[0]
                .advice(&image)
                .contains("rm -rf /var/lib/apt/lists")
        );
        assert_eq!(
            hidden[1].advice(&image),
            "COPY --chown=app:app in layer 0, or chown in the same RUN, instead of chown in layer 2"
        );
    }

    #[test]
    fn what_is_of_several_natures_is_of_none() {
        let image = image(&[
            (1, "", vec![file("x/.git/a", 9, 1), file("x/b", 9, 2)]),
            (2, "", vec![other("x", Kind::Whiteout)]),
        ]);
        assert_eq!(image.hidden()[0].nature, None);
        assert_eq!(image.hidden()[0].advice(&image), Cause::Removed.advice());
        assert_eq!(change_of_owner("RUN chmod -R $MODE /x"), None);
        assert_eq!(change_of_owner("RUN lchown x"), None);
    }
}
