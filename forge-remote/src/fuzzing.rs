//! The functions of the fuzz targets (feature `fuzzing`, which is not for apps), one for each reader
//! of foreign input. Each takes any bytes and panics if a property does not hold.
//!
//! The functions are next to the code that they test. `fuzz/README.md` has the list, and how to run
//! them.

pub use crate::client::fuzzing::{dates, pages, paths, retry_after};
pub use crate::kinds::fuzzing::{payloads, web_trigger};
pub use crate::token::fuzzing::sealed;
pub use forge_remote_fit::fuzzing::{key_set, verifier};

/// The manifest's YAML, for the properties of its updates. Its types are of a crate that apps do not see.
#[cfg(feature = "cli")]
pub mod yaml {
    use serde_yaml::{Mapping, Value};

    use crate::manifest::{Entry, ManifestFile};

    pub use crate::manifest::tree::{Entry as NodeEntry, Node, parse};

    /// Returns a file's value.
    pub fn value(file: &ManifestFile) -> &Value {
        file.value()
    }

    /// Returns the item of an entry.
    pub fn item(entry: &Entry) -> &Mapping {
        &entry.item
    }
}
