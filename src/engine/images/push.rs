//! Pushes: from an image of the store to a name in a registry.

use super::Images;
use super::registry::Client;
use crate::engine::error::{Error, Result};
use crate::engine::model::progress::Report;
use crate::engine::model::registry::{Pushed, Referrer};
use crate::engine::model::{Auth, Cancel, Reference, request};

impl Images {
    /// Sends images to a registry.
    ///
    /// # Errors
    /// As `Engine::push`.
    pub fn push(
        &self,
        _client: &Client,
        _request: &request::Push,
        _report: Report<'_>,
        _cancel: &Cancel,
    ) -> Result<Vec<Pushed>> {
        Err(Error::unsupported("push is not there yet"))
    }

    /// What refers to an image in its registry.
    ///
    /// # Errors
    /// As `Engine::referrers`.
    pub fn referrers(
        &self,
        _client: &Client,
        _reference: &Reference,
        _auth: &Auth,
    ) -> Result<Vec<Referrer>> {
        Err(Error::unsupported("referrers are not there yet"))
    }
}
