//! Prunes: images that nothing uses, what they hold, and what would come back.

use super::Images;
use super::removal::InUse;
use crate::engine::error::{Error, Result};
use crate::engine::model::registry::{PrunePlan, Pruned};
use crate::engine::model::request;

impl Images {
    /// What a prune would take.
    ///
    /// # Errors
    /// A damaged store.
    pub fn plan_prune(
        &self,
        _request: &request::PruneImages,
        _in_use: &InUse<'_>,
    ) -> Result<PrunePlan> {
        Err(Error::unsupported("prune is not there yet"))
    }

    /// Removes images that nothing uses.
    ///
    /// # Errors
    /// A damaged store.
    pub fn prune(&self, _request: &request::PruneImages, _in_use: &InUse<'_>) -> Result<Pruned> {
        Err(Error::unsupported("prune is not there yet"))
    }
}
