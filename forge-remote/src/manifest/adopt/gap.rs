//! The parts of a manifest that the printed code does not have.

use crate::manifest::path::ManifestPath;

/// A part of the manifest that the printed code does not have, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) path: ManifestPath,
    pub(super) reason: String,
}

impl Gap {
    pub(super) fn new(path: ManifestPath, reason: impl Into<String>) -> Self {
        Self {
            path,
            reason: reason.into(),
        }
    }
}
