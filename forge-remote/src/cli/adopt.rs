//! `manifest --adopt`: the program that an existing manifest describes.

use std::path::{Path, PathBuf};

use super::output::{FAILED, NEGATIVE, OK, print, print_error};
use crate::app::App;
use crate::manifest::{Adopted, ManifestError, ManifestFile, adopt};

/// The reason why nothing is printed.
#[derive(Debug, thiserror::Error)]
enum AdoptError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(
        "{} does not exist: copy the app's manifest there, or name it with FORGE_REMOTE_MANIFEST",
        path.display()
    )]
    NoManifest { path: PathBuf },
    #[error(
        "{} has no endpoints of remotes, and no remote that Forge functions may call (`operations: [compute]`), so there is \
             nothing to adopt: annotate functions, and add their endpoints with `manifest --write`",
        path.display()
    )]
    NoEndpoints { path: PathBuf },
}

/// Prints the program, and returns the exit status.
pub(super) fn run(app: &App) -> i32 {
    let path = app.settings().manifest;
    match adopted(&path) {
        Ok(adopted) => {
            print(&adopted.program);
            report(&path, &adopted)
        }
        Err(error) => {
            print_error(&format!("error: {error}"));
            FAILED
        }
    }
}

/// Prints the parts that the program lacks, and returns the exit status.
fn report(path: &Path, adopted: &Adopted) -> i32 {
    let file = path.display();
    let parts = |count: usize, one: &str| {
        let s = if count == 1 { "" } else { "s" };
        format!("{count} {one}{s}")
    };
    if adopted.mistakes > 0 {
        print_error(&format!(
            "warning: {file} has {}: correct the manifest, and print the program again. The first comment has a line \
             for each, and `manifest --check` shows the fixes",
            parts(adopted.mistakes, "mistake")
        ));
    }
    if adopted.gaps > 0 {
        print_error(&format!(
            "note: the program lacks {} of {file}: its first comment has a line for each",
            parts(adopted.gaps, "part")
        ));
    }
    if adopted.called_by_functions > 0 {
        print_error(&format!(
            "note: Forge functions may call {} of {file}, at paths that the manifest does not have: write a \
             `#[function_call]` for each. The first comment has a line for each remote",
            parts(adopted.called_by_functions, "remote")
        ));
    }
    if adopted.of_connect > 0 {
        print_error(&format!(
            "note: Connect calls {} of {file} at the program's remotes, which the program does not serve: the first \
             comment has a line for each",
            parts(adopted.of_connect, "module")
        ));
    }
    if adopted.functions == 0 && adopted.called_by_functions == 0 {
        print_error(&format!(
            "error: no endpoint of {file} can be adopted: the first comment of the output has the reasons"
        ));
        return NEGATIVE;
    }
    OK
}

fn adopted(path: &PathBuf) -> Result<Adopted, AdoptError> {
    let file = ManifestFile::read(path)?;
    let path = path.to_owned();
    if !file.exists() {
        return Err(AdoptError::NoManifest { path });
    }
    adopt(&file).ok_or(AdoptError::NoEndpoints { path })
}
