//! Pulls: from a name in a registry to an image of the store.

use super::Images;
use super::registry::Client;
use crate::engine::error::{Error, Result};
use crate::engine::model::progress::Report;
use crate::engine::model::registry::Pulled;
use crate::engine::model::{Cancel, request};

impl Images {
    /// Brings images of a registry into the store.
    ///
    /// # Errors
    /// As `Engine::pull`.
    pub fn pull(
        &self,
        _client: &Client,
        _request: &request::Pull,
        _report: Report<'_>,
        _cancel: &Cancel,
    ) -> Result<Vec<Pulled>> {
        Err(Error::unsupported("pull is not there yet"))
    }
}
