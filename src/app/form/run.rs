//! The dialog that makes and starts a container: fields for what is usual, any other flag as on the command line. What it
//! comes to is a command line, which is shown, and which the command line's own parser reads.

use super::{Ask, Form, Input, Kind, Problem};
use crate::app::words;

/// `run` or `create`.
const DO: &str = "do";
/// What is done when it is sent off.
const RUN: &str = "run";
const CREATE: &str = "create";
/// Answers of a switch.
const NO: &str = "no";
const YES: &str = "yes";

/// Fields whose text is the value of a flag; nothing, or what is usual anyway, is no flag.
const FLAGS: &[(&str, &str)] = &[
    ("name", "--name"),
    ("network", "--network"),
    ("restart", "--restart"),
    ("memory", "--memory"),
    ("cpus", "--cpus"),
    ("user", "--user"),
    ("directory", "--workdir"),
];

/// Fields whose words are the values of a flag each.
const LISTS: &[(&str, &str)] = &[
    ("variables", "--env"),
    ("volumes", "--volume"),
    ("publish", "--publish"),
];

/// What happens first: the choice that the dialog opens with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// The container is started.
    Run,
    /// It is only made.
    Create,
}

impl Form {
    /// Asks how to run an image; `images` and `networks` are offered.
    #[must_use]
    pub fn run(image: &str, images: Vec<String>, networks: Vec<String>, begin: Begin) -> Self {
        let begin = match begin {
            Begin::Run => RUN,
            Begin::Create => CREATE,
        };
        let inputs = vec![
            Input::new("image", Kind::Reference(images), image),
            Input::new("command", Kind::Words, "").or("the image's"),
            Input::new("name", Kind::Text, "").or("one is made up"),
            Input::new("variables", Kind::Words, "").or("NAME=value …"),
            Input::new("volumes", Kind::Words, "").or("volume-or-/path:/path[:ro] …"),
            Input::new("network", Kind::Choice(networks), "").or("bridge"),
            Input::new("publish", Kind::Words, "").or("8080:80 127.0.0.1:5353:53/udp …"),
            Input::new(
                "restart",
                Kind::Switch(&[NO, "on-failure", "unless-stopped", "always"]),
                NO,
            ),
            Input::new("memory", Kind::Text, "").or("no limit; 64m, 2g …"),
            Input::new("cpus", Kind::Text, "").or("no limit; 0.5, 2 …"),
            Input::new("user", Kind::Text, "").or("the image's"),
            Input::new("directory", Kind::Text, "").or("the image's"),
            Input::new("terminal", Kind::Switch(&[NO, YES]), NO),
            Input::new("remove at end", Kind::Switch(&[NO, YES]), NO),
            Input::new("more flags", Kind::Words, "")
                .or("as of wharf run: --read-only --cap-drop ALL …"),
            Input::new(DO, Kind::Switch(&[RUN, CREATE]), begin),
        ];
        Self::new(Ask::Run, inputs)
    }

    /// The words of the command, `run` or `create` first.
    ///
    /// # Errors
    /// What is no words.
    pub(super) fn run_words(&self) -> Result<Vec<String>, Problem> {
        let named = |label: &str| {
            let at = self.inputs.iter().position(|input| input.label == label);
            at.unwrap_or(0)
        };
        let text = |label: &str| self.text(named(label)).to_owned();
        let list = |label: &str| {
            let at = named(label);
            words::split(self.text(at)).map_err(|error| self.wrong_in(at, error.to_string()))
        };
        let begin = text(DO);
        let mut line = vec![begin.clone()];
        if begin == RUN {
            line.push("-d".to_owned());
        }
        if text("terminal") == YES {
            line.push("-it".to_owned());
        }
        if text("remove at end") == YES {
            line.push("--rm".to_owned());
        }
        for (label, flag) in FLAGS {
            let value = text(label);
            if !value.is_empty() && (*label != "restart" || value != NO) {
                line.extend([(*flag).to_owned(), value]);
            }
        }
        for (label, flag) in LISTS {
            for value in list(label)? {
                line.extend([(*flag).to_owned(), value]);
            }
        }
        line.extend(list("more flags")?);
        line.push(text("image"));
        line.extend(list("command")?);
        Ok(line)
    }
}
