//! `manifest.yml`: the sections the code declares, the file that should hold them, and the
//! differences between the two. This room never knows HTTP.

mod compare;
mod emit;
mod file;
mod model;

pub use compare::{Difference, Finding, compare};
pub use emit::to_yaml;
pub use file::{ManifestError, ManifestFile};
pub use model::{Entry, Remote, Scope, Sections};
