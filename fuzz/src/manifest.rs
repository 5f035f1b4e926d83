//! The manifest's reader and merger on any text, with any selection of a few handlers.
//!
//! The first byte selects the handlers, the second the remotes; the rest is the manifest.

use std::collections::BTreeSet;

use forge_remote::manifest::{DesiredManifest, ManifestFile, Remote, check, render};
use forge_remote::prelude::*;
use forge_remote::registry::{Registration, Registry};

use crate::writes::{self, Outcome};

#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:jira-work"])]
async fn tick(_token: SystemToken) -> Result<()> {
    Ok(())
}

#[scheduled_trigger(interval = "day", licensed_only)]
async fn sweep() -> Result<()> {
    Ok(())
}

#[scheduled_trigger(interval = "week", key = "on", endpoint = "yes", path = "/1e3")]
async fn words() -> Result<()> {
    Ok(())
}

#[endpoint(auth = [system, user], scopes = ["write:jira-work"])]
async fn lookup(_user: UserToken) -> Result<()> {
    Ok(())
}

#[endpoint(key = "page", path = "/page", method = "GET")]
async fn page() -> Result<()> {
    Ok(())
}

#[endpoint(key = "page", path = "/page/save")]
async fn save() -> Result<()> {
    Ok(())
}

#[endpoint(remote = "other")]
async fn elsewhere() -> Result<()> {
    Ok(())
}

#[endpoint(key = "123")]
async fn number() -> Result<()> {
    Ok(())
}

fn wanted(handlers: u8, remotes: u8) -> DesiredManifest {
    let all: [Registration; 8] = [
        forge_remote::handler!(tick),
        forge_remote::handler!(sweep),
        forge_remote::handler!(words),
        forge_remote::handler!(lookup),
        forge_remote::handler!(page),
        forge_remote::handler!(save),
        forge_remote::handler!(elsewhere),
        forge_remote::handler!(number),
    ];
    let chosen = (0..8)
        .filter(|at| handlers >> at & 1 == 1)
        .map(|at| all[at].clone());
    let backend = Remote::new("backend");
    let backend = match remotes & 3 {
        0 => backend,
        1 => backend.base_url("${BASE_URL}"),
        _ => backend.base_url("https://backend.example.com"),
    };
    let mut declared = vec![backend];
    if remotes & 4 != 0 || handlers & 64 != 0 {
        declared.push(Remote::new("other").base_url("https://other.example.com"));
    }
    let mut sections = Registry::from_registrations(chosen).desired_manifest(&declared);
    for scope in &mut sections.scopes {
        scope.impersonation = remotes & 8 != 0 && scope.name.ends_with("jira-work");
    }
    sections
}

/// Checks a manifest, which follows a byte for the handlers and one for the remotes.
pub(crate) fn manifest(input: &[u8]) {
    let Some(([handlers, remotes], text)) = input.split_first_chunk::<2>() else {
        return;
    };
    // The file is read as text: bytes that aren't UTF-8 are rejected before.
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let wanted = wanted(*handlers, *remotes);
    match writes::write(text, &wanted) {
        Ok(Outcome::Written(new)) => drop(new),
        Ok(Outcome::Rejected(error)) => assert!(!error.to_string().is_empty()),
        Err(broken) => panic!("{broken}\n--- of\n{text}"),
    }
    // The output of the `manifest` command.
    if let Ok(file) = ManifestFile::parse("manifest.yml", Some(text.to_owned())) {
        render(&file, &check(&file, &wanted, &BTreeSet::new()), false);
    }
}
