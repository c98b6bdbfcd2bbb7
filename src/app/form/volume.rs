//! The dialog that makes a volume.

use std::collections::BTreeMap;

use super::{Ask, Form, Input, Kind, Problem};
use crate::app::jobs::Request;
use crate::app::words;
use crate::engine::model::request;

const NAME: usize = 0;
const TYPE: usize = 1;
const DEVICE: usize = 2;
const OPTIONS: usize = 3;
const LABELS: usize = 4;

/// Kinds that are usual.
const TYPES: &[&str] = &["none", "tmpfs", "nfs"];

impl Form {
    /// Asks for a new volume.
    #[must_use]
    pub fn create_volume() -> Self {
        let types = TYPES.iter().map(|&name| name.to_owned()).collect();
        let inputs = vec![
            Input::new("name", Kind::Text, "").or("one is made up"),
            Input::new("type", Kind::Choice(types), "").or("a directory of wharf's own"),
            Input::new("device", Kind::Text, "").or("what is mounted"),
            Input::new("options", Kind::Text, "").or("as mount -o has them: bind, addr=…"),
            Input::new("labels", Kind::Pairs, "").or("key=value …"),
        ];
        Self::new(Ask::CreateVolume, inputs)
    }

    pub(super) fn volume_request(&self) -> Result<(Request, String), Problem> {
        let name = self.text(NAME).to_owned();
        let given = [("type", TYPE), ("device", DEVICE), ("o", OPTIONS)];
        let options = given
            .into_iter()
            .map(|(key, input)| (key.to_owned(), self.text(input).to_owned()))
            .filter(|(_, value)| !value.is_empty());
        let request = request::CreateVolume {
            name: name.clone(),
            labels: pairs(self.text(LABELS)).map_err(|text| self.wrong_in(LABELS, text))?,
            options: options.collect(),
        };
        Ok((Request::CreateVolume(request), name))
    }
}

/// `key=value` words; a key alone has no value.
///
/// # Errors
/// What is no such word.
pub(super) fn pairs(text: &str) -> Result<BTreeMap<String, String>, String> {
    let words = words::split(text).map_err(|error| error.to_string())?;
    words
        .into_iter()
        .map(|word| {
            let (key, value) = word.split_once('=').unwrap_or((&word, ""));
            if key.is_empty() {
                return Err(format!("{word}: there is no key before the ="));
            }
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}
