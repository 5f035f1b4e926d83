//! `Cargo.lock`: finds out whether handlers may be in another package of the same workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The framework's packages; they and their dependencies have no handlers.
const OURS: [&str; 2] = ["forge-remote", "forge-remote-build"];

/// Returns whether a package depends on others by path, except forge-remote; `true` if that is not
/// known.
pub(crate) fn may_have_local_dependencies(folder: &Path, package: &str) -> bool {
    let lock = folder
        .ancestors()
        .find_map(|folder| fs::read_to_string(folder.join("Cargo.lock")).ok());
    lock.is_none_or(|lock| depends_on_local(&lock, package))
}

fn depends_on_local(lock: &str, package: &str) -> bool {
    // Packages by path have no source.
    let local: BTreeMap<&str, Vec<&str>> = lock
        .split("[[package]]")
        .filter(|entry| !entry.lines().any(|line| line.starts_with("source = ")))
        .filter_map(|entry| {
            let name = entry
                .lines()
                .find_map(|line| line.strip_prefix("name = "))?;
            Some((name.trim_matches('"'), dependencies(entry)))
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut left = vec![package];
    while let Some(name) = left.pop() {
        match local.get(name) {
            Some(_) if OURS.contains(&name) => {}
            Some(_) if name != package => return true,
            Some(dependencies) if seen.insert(name) => left.extend(dependencies),
            // The lock file has every package that cargo builds.
            None if name == package => return true,
            _ => {}
        }
    }
    false
}

/// Returns the names in lines of the form ` "name",` or ` "name 1.0.0",`.
fn dependencies(entry: &str) -> Vec<&str> {
    entry
        .lines()
        .filter_map(|line| line.strip_prefix(" \"")?.split([' ', '"']).next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = [
 "forge-remote",
 "serde 1.0.0",
]

[[package]]
name = "forge-remote"
version = "0.1.0"
dependencies = [
 "forge-remote-macros",
]

[[package]]
name = "forge-remote-macros"
version = "0.1.0"
dependencies = [
 "forge-remote-schema",
]

[[package]]
name = "forge-remote-schema"
version = "0.1.0"

[[package]]
name = "serde"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"

[[package]]
name = "server"
version = "0.1.0"
dependencies = [
 "app",
]
"#;

    #[test]
    fn packages_by_path_are_found_except_the_frameworks() {
        assert!(!depends_on_local(LOCK, "app"));
        assert!(depends_on_local(LOCK, "server"));
        assert!(depends_on_local(LOCK, "unknown"));
    }
}
