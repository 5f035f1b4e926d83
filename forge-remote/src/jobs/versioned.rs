//! The stored format of contents: JSON with a version.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Contents whose first field is the version that wrote them.
pub(super) trait Versioned: Serialize + DeserializeOwned {
    /// The version that this version of forge-remote writes and reads.
    const VERSION: u8;

    /// Returns the version of these contents.
    fn version(&self) -> u8;
}

/// Why contents cannot be read.
#[derive(Debug)]
pub(crate) enum UnreadableContents {
    /// A newer version of forge-remote wrote them.
    Newer,
    Damaged,
}

pub(super) fn write(contents: &impl Versioned) -> Zeroizing<Vec<u8>> {
    // A struct of texts and numbers is always JSON.
    Zeroizing::new(serde_json::to_vec(contents).unwrap_or_default())
}

pub(super) fn read<T: Versioned>(bytes: &[u8]) -> Result<T, UnreadableContents> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    match serde_json::from_slice::<T>(bytes) {
        Ok(contents) if contents.version() == T::VERSION => Ok(contents),
        // Contents of another version may have other fields.
        _ => match serde_json::from_slice::<Version>(bytes) {
            Ok(found) if found.version > u64::from(T::VERSION) => Err(UnreadableContents::Newer),
            _ => Err(UnreadableContents::Damaged),
        },
    }
}
