//! Command lines that dialogs make. Whoever starts the program says how they are read: the same parser as the command
//! line's, which is not known here.

use crate::engine::Engine;
use crate::engine::credentials::Store;
use crate::engine::error::Result;
use crate::engine::model::layers::Target;
use crate::engine::model::{Cancel, Platform, request};

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `create`, or `run` in the background.
    Create {
        /// What is asked.
        request: Box<request::Create>,
        /// The container is started, too.
        start: bool,
        /// What the user should know.
        warnings: Vec<String>,
    },
    /// `update`.
    Update(Box<request::Update>),
}

/// The parser.
#[derive(Debug, Clone, Copy)]
pub struct Commands {
    /// Reads the words after `wharf`: `run`, `create` or `update` first. Nothing is done.
    pub read: fn(&[String]) -> Result<Command>,
    /// Does what `cp` (the first word) does, and answers what came of it.
    pub copy: fn(&Engine, &[String], &Cancel) -> Result<String>,
    /// Where an image is that is named as for `layers`, for a platform if one is asked for.
    pub target: fn(&Store, &str, Option<&Platform>) -> Result<Target>,
}
